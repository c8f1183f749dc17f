"""Read targets and masks of a data set, one structure at a time."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from ..readers.extxyz import read_structures
from .training_sets import Section


@dataclass(frozen=True, eq=False)
class Sample:
    r"""
    Hold what a file says of one structure, before anything is checked.

    :param index: position in the file
    :param types: atomic numbers, ``(atoms,)``
    :param volume: volume of the cell, Å\ :sup:`3`, 0 where there is none
    :param target: target, ``(rows, columns)``; a row is a component, or an atom
    :param mask: mask, ``(rows, columns)``, ``None`` where there is none
    """

    index: int
    types: np.ndarray
    volume: float
    target: np.ndarray
    mask: np.ndarray | None

    @property
    def composition(self) -> tuple[tuple[int, int], ...]:
        """Smallest whole numbers of atoms of each element."""
        counts = Counter(self.types.tolist())
        unit = int(np.gcd.reduce(list(counts.values()))) if counts else 1
        return tuple(sorted((z, count // unit) for z, count in counts.items()))

    @property
    def density(self) -> float:
        r"""Atoms per volume, Å\ :sup:`-3`, 0 without a cell."""
        return len(self.types) / self.volume if self.volume > 0 else 0.0


def samples(section: Section, target: str) -> Iterator[Sample]:
    """
    Read a target and its mask, structure by structure.

    Extended XYZ and metatrain's two formats for large data are read piece by piece,
    anything else as metatrain does, which is all at once.

    :param section: where from
    :param target: name of the target
    :return: every structure of the section that is used
    :raises Exception: whatever goes wrong while a file is read
    """
    mask = f"{target}_mask"
    names = [target, mask] if mask in section.entries else [target]
    if section.source.suffix == ".zip":
        found = _from_zip(section, names)
    elif section.source.is_dir():
        found = _from_memmap(section, names)
    elif all(_is_plain_xyz(section, name) for name in names):
        found = _from_xyz(section, names)
    else:
        found = _from_metatrain(section, names)
    for index, (types, volume, arrays) in enumerate(found):
        if section.indices is None or index in section.indices:
            mask_array = arrays[1] if arrays[1:] else None
            yield Sample(index, types, volume, arrays[0], mask_array)


Structures = Iterator[tuple[np.ndarray, float, list[np.ndarray]]]


def _is_plain_xyz(section: Section, name: str) -> bool:
    """Say whether an entry stands in the XYZ file of the structures, as numbers."""
    entry = section.entries[name]
    is_xyz = section.source.suffix in (".xyz", ".extxyz")
    same_file = entry["read_from"] == str(section.source)
    plain = entry["type"] == "scalar" and entry["reader"] in (None, "ase")
    return is_xyz and same_file and plain


def _from_xyz(section: Section, names: list[str]) -> Structures:
    """Read what ASE finds under the key of each name, whatever its size."""
    file = section.source
    for atoms in read_structures(file):
        arrays = []
        for name in names:
            entry = section.entries[name]
            per_atom = entry["sample_kind"] == "atom"
            values = (atoms.arrays if per_atom else atoms.info).get(entry["key"])
            if values is None:
                raise ValueError(
                    f"no {entry['key']!r} in its {'columns' if per_atom else 'info'}"
                )
            rows = len(atoms) if per_atom else 1
            arrays.append(np.asarray(values, dtype=np.float64).reshape(rows, -1))
        yield atoms.numbers, atoms.cell.volume, arrays


def _from_memmap(section: Section, names: list[str]) -> Structures:
    """Read metatrain's memory-mapped arrays, with the width that the files have."""
    folder = section.source
    ends = np.load(folder / "na.npy")
    types = np.memmap(folder / "a.bin", dtype="int32", mode="r", shape=(int(ends[-1]),))
    cells = np.zeros((len(ends) - 1, 3, 3))
    if (folder / "c.bin").exists():
        cells = np.memmap(folder / "c.bin", "float32", "r", shape=cells.shape)
    arrays, per_atom = [], []
    for name in names:
        entry = section.entries[name]
        per_atom.append(entry["sample_kind"] == "atom")
        rows = int(ends[-1]) if per_atom[-1] else len(ends) - 1
        file = folder / f"{entry['key']}.bin"
        array = np.memmap(file, dtype="float32", mode="r")
        if len(array) % rows:
            raise ValueError(
                f"{file} holds {len(array)} numbers, which are not the same number "
                f"for each of {rows} {'atoms' if per_atom[-1] else 'structures'}"
            )
        arrays.append(array.reshape(rows, -1))
    for index in range(len(ends) - 1):
        atoms = slice(int(ends[index]), int(ends[index + 1]))
        rows_of = [atoms if each else slice(index, index + 1) for each in per_atom]
        yield (
            np.array(types[atoms]),
            abs(float(np.linalg.det(cells[index]))),
            [
                np.asarray(array[rows], dtype=np.float64)
                for array, rows in zip(arrays, rows_of, strict=True)
            ],
        )


def _from_zip(section: Section, names: list[str]) -> Structures:
    """Read metatrain's ``DiskDataset``."""
    from metatrain.utils.data import DiskDataset

    keys = [section.entries[name]["key"] for name in names]
    dataset = DiskDataset(str(section.source), fields=keys)
    for index in range(len(dataset)):
        sample = dataset[index]
        yield *_types_and_volume(sample), [_rows(sample[key]) for key in keys]


def _from_metatrain(section: Section, names: list[str]) -> Structures:
    """Read whatever metatrain reads, such as targets in a file of their own."""
    from metatrain.utils.data import get_dataset

    config = {
        "systems": section.config["systems"],
        "targets": {names[0]: section.entries[names[0]]},
        "extra_data": {name: section.entries[name] for name in names[1:]},
    }
    dataset, _, _ = get_dataset(OmegaConf.create(config))
    for index in range(len(dataset)):
        sample = dataset[index]
        yield *_types_and_volume(sample), [_rows(sample[name]) for name in names]


def _types_and_volume(sample: Any) -> tuple[np.ndarray, float]:
    """Read what is needed of a structure."""
    system = sample["system"]
    return system.types.numpy(), abs(float(np.linalg.det(system.cell.numpy())))


def _rows(tensor_map: Any) -> np.ndarray:
    """Put the samples and components of all blocks below each other."""
    values = [block.values.numpy() for block in tensor_map.blocks()]
    return np.concatenate([each.reshape(-1, each.shape[-1]) for each in values])
