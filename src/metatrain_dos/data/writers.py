"""Writers of the files from which metatrain reads structures and targets."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol
from zipfile import ZipFile

import ase
import numpy as np
from ase.io.extxyz import write_xyz
from ase.stress import voigt_6_to_full_3x3_stress

from ..utils.files import BUFFER
from .disk_dataset import add_members, array_bytes, system_bytes, tensor_map_bytes


class Writer(Protocol):
    """
    Write structures one after another.

    A structure carries its targets and masks in its info, padded, ``(columns,)`` each,
    or those of atoms in its arrays, ``(atoms, columns)``, and energy, forces and stress
    in its calculator.

    :param path: file or folder to write
    :param keys: targets, masks and further results of every structure
    """

    suffix: ClassVar[str] = ""
    in_memory: ClassVar[bool] = False
    has_masks: ClassVar[bool] = False

    def __init__(self, path: Path, keys: tuple[str, ...]) -> None: ...

    @staticmethod
    def encode(frames: Sequence[ase.Atoms], keys: tuple[str, ...], first: int) -> Any:
        """Do all the work for some structures that follow each other in the file."""

    def write(self, encoded: Any) -> None:
        """Write some structures, in the order of the file."""

    def close(self) -> None:
        """Finish the file."""


class ExtxyzWriter(Writer):
    """Write extended XYZ for people; metatrain reads it into memory at once."""

    suffix = ".xyz"
    in_memory = True
    has_masks = True

    def __init__(self, path: Path, keys: tuple[str, ...]) -> None:
        self._file = path.open("w", BUFFER, encoding="utf-8")

    @staticmethod
    def encode(frames: Sequence[ase.Atoms], keys: tuple[str, ...], first: int) -> str:
        text = io.StringIO()
        for frame in frames:
            for key in keys:
                values = frame.info.get(key)
                # ASE would write the same, number by number, in four times the time.
                if isinstance(values, np.ndarray) and values.ndim == 1:
                    is_bool = values.dtype == bool
                    words = np.where(values, "T", "F") if is_bool else values
                    frame.info[key] = " ".join(map(str, words.tolist()))
            write_xyz(text, frame)
        return text.getvalue()

    def write(self, encoded: str) -> None:
        self._file.write(encoded)

    def close(self) -> None:
        self._file.close()


class DiskDatasetWriter(Writer):
    """
    Write metatrain's ``DiskDataset``: one zip file, read structure by structure.

    There are no masks, as in :class:`MemmapWriter`.
    """

    suffix = ".zip"

    def __init__(self, path: Path, keys: tuple[str, ...]) -> None:
        self._archive = ZipFile(path, "w")
        self._atoms: list[int] = []

    @staticmethod
    def encode(
        frames: Sequence[ase.Atoms], keys: tuple[str, ...], first: int
    ) -> tuple[dict[str, bytes], list[int]]:
        # Members of the archive, and numbers of atoms
        members = {}
        for index, frame in enumerate(frames, first):
            members[f"{index}/system.mta"] = system_bytes(frame)
            for key in _without_masks(keys):
                if key in ("forces", "stress"):
                    continue
                more = _gradients(frame, keys) if key == "energy" else {}
                content = tensor_map_bytes(
                    index, key, _result(frame, key), key in frame.arrays, **more
                )
                # metatrain wants that in an array of bytes.
                array = array_bytes(np.frombuffer(content, np.uint8))
                members[f"{index}/{key}.mts"] = array
        return members, [len(frame) for frame in frames]

    def write(self, encoded: tuple[dict[str, bytes], list[int]]) -> None:
        members, atoms = encoded
        add_members(self._archive, members)
        self._atoms += atoms

    def close(self) -> None:
        # What metatrain needs for batches that are limited in their number of atoms
        atoms = array_bytes(np.array(self._atoms, dtype=np.int64))
        add_members(self._archive, {"metadata/atom_counts.npy": atoms})
        self._archive.close()


class MemmapWriter(Writer):
    """
    Write metatrain's memory-mapped data set: a folder of arrays, the fastest to read.

    Numbers are single precision, as that format wants them. A mask of ones and zeros
    would take as much space as its target, so the target is NaN where it is false.
    """

    def __init__(self, path: Path, keys: tuple[str, ...]) -> None:
        path.mkdir()
        self._path = path
        self._files = {
            name: (path / f"{name}.bin").open("wb", BUFFER)
            for name in ("x", "a", "c", *_without_masks(keys))
        }
        self._atoms = [np.zeros(1, dtype=np.int64)]

    @staticmethod
    def encode(
        frames: Sequence[ase.Atoms], keys: tuple[str, ...], first: int
    ) -> dict[str, np.ndarray]:
        # Arrays of some structures; ``atoms`` has their numbers of atoms.
        rows = [
            {
                "x": frame.positions.astype(np.float32),
                "a": frame.numbers.astype(np.int32),
                "c": frame.cell.array.astype(np.float32),
                **{
                    key: _result(frame, key).astype(np.float32).reshape(-1)
                    for key in _without_masks(keys)
                },
            }
            for frame in frames
        ]
        return {
            "atoms": np.array([len(frame) for frame in frames]),
            **{name: np.concatenate([row[name] for row in rows]) for name in rows[0]},
        }

    def write(self, encoded: dict[str, np.ndarray]) -> None:
        for name, file in self._files.items():
            file.write(encoded[name].tobytes())
        self._atoms.append(encoded["atoms"])

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        ends = np.concatenate(self._atoms).cumsum()
        np.save(self._path / "ns.npy", len(ends) - 1)
        np.save(self._path / "na.npy", ends)


def _without_masks(keys: tuple[str, ...]) -> list[str]:
    """Select the keys that are no mask of another one."""
    return [
        key
        for key in keys
        if not (key.endswith("_mask") and key.removesuffix("_mask") in keys)
    ]


def _gradients(frame: ase.Atoms, keys: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Find the gradients of the energy, where all structures have them."""
    found = {}
    if "forces" in keys:
        found["forces"] = _result(frame, "forces")
    if "stress" in keys:
        found["strain"] = _result(frame, "stress") * frame.cell.volume
    return found


def find_result(atoms: ase.Atoms, key: str) -> np.ndarray | None:
    """
    Find a target, a mask or another result of a structure.

    :param atoms: structure
    :param key: key in its info, its arrays or the results of its calculator
    :return: the numbers, ``(3, 3)`` for a stress; ``None`` if there are none
    """
    results = atoms.calc.results if atoms.calc else {}
    for place in (atoms.info, atoms.arrays, results):
        if key in place:
            value = np.asarray(place[key], dtype=np.float64)
            if key != "stress":
                return value
            is_voigt = value.size == 6
            return (
                voigt_6_to_full_3x3_stress(value) if is_voigt else value.reshape(3, 3)
            )
    return None


def _result(atoms: ase.Atoms, key: str) -> np.ndarray:
    """Find what all structures have, with NaN where a target is not trusted."""
    value, mask = find_result(atoms, key), find_result(atoms, f"{key}_mask")
    assert value is not None  # the index knows that all structures have it
    return value if mask is None else np.where(mask != 0, value, np.nan)


DATASET_FORMATS: dict[str, type[Writer]] = {
    "xyz": ExtxyzWriter,
    "zip": DiskDatasetWriter,
    "memmap": MemmapWriter,
}
"""Name of a format -> its writer."""
