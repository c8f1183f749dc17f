"""Writers of the files from which metatrain reads structures and targets."""

import io
from pathlib import Path
from typing import Any, ClassVar, Protocol

import ase
import ase.io
import numpy as np
from ase.stress import voigt_6_to_full_3x3_stress


class Writer(Protocol):
    """
    Write structures one after another.

    A structure carries its targets and masks in its info, padded, ``(columns,)`` each,
    and energy, forces and stress in its calculator. ``encode`` may run in another
    process; ``write`` is then called in the order of the file.
    """

    suffix: ClassVar[str]
    in_memory: ClassVar[bool]

    def __init__(self, path: Path, keys: tuple[str, ...]) -> None: ...

    @staticmethod
    def encode(frame: ase.Atoms, keys: tuple[str, ...]) -> Any: ...

    def write(self, encoded: Any) -> None: ...

    def close(self) -> None: ...


class ExtxyzWriter:
    """
    Write extended XYZ, which people can read, and metatrain reads into memory at once.

    :param path: file to write
    :param keys: targets, masks and further results of every structure
    """

    suffix: ClassVar[str] = ".xyz"
    in_memory: ClassVar[bool] = True

    def __init__(self, path: Path, keys: tuple[str, ...]) -> None:
        self._file = path.open("w", encoding="utf-8")

    @staticmethod
    def encode(frame: ase.Atoms, keys: tuple[str, ...]) -> str:
        """Format one structure."""
        text = io.StringIO()
        ase.io.write(text, frame, format="extxyz")
        return text.getvalue()

    def write(self, encoded: str) -> None:
        """Write one structure."""
        self._file.write(encoded)

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


class DiskDatasetWriter:
    """
    Write metatrain's ``DiskDataset``: one zip file, read structure by structure.

    :param path: file to write
    :param keys: targets, masks and further results of every structure
    """

    suffix: ClassVar[str] = ".zip"
    in_memory: ClassVar[bool] = False

    def __init__(self, path: Path, keys: tuple[str, ...]) -> None:
        from metatrain.utils.data.writers import DiskDatasetWriter as MetatrainWriter

        self._writer = MetatrainWriter(path)
        self._keys = keys

    @staticmethod
    def encode(frame: ase.Atoms, keys: tuple[str, ...]) -> ase.Atoms:
        """Keep the structure: it becomes tensors only where torch is loaded anyway."""
        return frame

    def write(self, encoded: ase.Atoms) -> None:
        """Write one structure."""
        import torch
        from metatensor.torch import Labels, TensorBlock, TensorMap
        from metatomic.torch import systems_to_torch

        results = [key for key in self._keys if key not in ("forces", "stress")]
        maps = {}
        for key in results:
            values = torch.tensor(_result(encoded, key), dtype=torch.float64)
            # The properties of a mask carry the name of the mask.
            block = TensorBlock(
                values=values.reshape(1, -1),
                samples=Labels.range("system", 1),
                components=[],
                properties=Labels.range(key, values.numel()),
            )
            if key == "energy":
                self._add_gradients(block, encoded)
            maps[key] = TensorMap(Labels.single(), [block])
        self._writer.write([systems_to_torch(encoded, dtype=torch.float64)], maps)

    def close(self) -> None:
        """Finish the file."""
        self._writer.finish()

    def _add_gradients(self, block: Any, frame: ase.Atoms) -> None:
        """Add forces and stress to the energy, where all structures have them."""
        import torch
        from metatensor.torch import Labels, TensorBlock

        gradients = {}
        if "forces" in self._keys:
            atoms = torch.arange(len(frame))
            samples = torch.stack([atoms * 0, atoms], dim=1)
            gradients["positions"] = (
                -_result(frame, "forces")[None],
                Labels(["sample", "atom"], samples),
                ["xyz"],
            )
        if "stress" in self._keys:
            gradients["strain"] = (
                _result(frame, "stress")[None, None] * frame.cell.volume,
                Labels.range("sample", 1),
                ["xyz_1", "xyz_2"],
            )
        for name, (values, labels, axes) in gradients.items():
            shape = (len(labels), *[3] * len(axes), 1)
            gradient = TensorBlock(
                values=torch.tensor(values, dtype=torch.float64).reshape(shape),
                samples=labels,
                components=[Labels.range(axis, 3) for axis in axes],
                properties=block.properties,
            )
            block.add_gradient(name, gradient)


class MemmapWriter:
    """
    Write metatrain's memory-mapped data set: a folder of arrays, the fastest to read.

    Numbers are single precision, as that format wants them.

    :param path: folder to write
    :param keys: targets, masks and further results of every structure
    """

    suffix: ClassVar[str] = ""
    in_memory: ClassVar[bool] = False

    def __init__(self, path: Path, keys: tuple[str, ...]) -> None:
        path.mkdir()
        self._path = path
        self._atoms = [0]
        self._files = {
            name: (path / f"{name}.bin").open("wb") for name in ("x", "a", "c", *keys)
        }

    @staticmethod
    def encode(frame: ase.Atoms, keys: tuple[str, ...]) -> dict[str, np.ndarray]:
        """Convert one structure to arrays."""
        return {
            "x": frame.positions.astype(np.float32),
            "a": frame.numbers.astype(np.int32),
            "c": frame.cell.array.astype(np.float32),
            **{key: _result(frame, key).astype(np.float32) for key in keys},
        }

    def write(self, encoded: dict[str, np.ndarray]) -> None:
        """Write one structure."""
        for name, file in self._files.items():
            file.write(encoded[name].tobytes())
        self._atoms.append(self._atoms[-1] + len(encoded["a"]))

    def close(self) -> None:
        """Finish the folder."""
        for file in self._files.values():
            file.close()
        np.save(self._path / "ns.npy", len(self._atoms) - 1)
        np.save(self._path / "na.npy", np.array(self._atoms, dtype=np.int64))


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
    value = find_result(atoms, key)
    assert value is not None  # the index knows that all structures have it
    return value


DATASET_FORMATS: dict[str, type[Writer]] = {
    "xyz": ExtxyzWriter,
    "zip": DiskDatasetWriter,
    "memmap": MemmapWriter,
}
"""Name of a format -> its writer."""
