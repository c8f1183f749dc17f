"""Read targets and masks of a data set, one structure at a time."""

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase
import numpy as np
from omegaconf import OmegaConf

from ..utils.files import refuse_special_file
from .calculation import check_structure
from .defaults import SOURCES_FILE
from .readers.extxyz import read_structures
from .sections import Section


@dataclass(frozen=True, eq=False)
class Sample:
    """
    One structure of a data set with its target and mask, as they are in the file.

    :param index: position in the file
    :param atoms: the structure; from XYZ, with all entries of its comment line
    :param target: target, ``(rows, columns)``; a row is a component, or an atom
    :param mask: mask, ``(rows, columns)``, also where NaN in the target and its padding
        stands for it; ``None`` if there is none
    :param source: file of its calculation, and number in it, if the data set has them
    :param kpoint_error: estimated error of the target that its k-points leave, as a
        fraction; NaN if the data set does not have it
    """

    index: int
    atoms: ase.Atoms
    target: np.ndarray
    mask: np.ndarray | None
    source: str | None = None
    kpoint_error: float = np.nan

    @property
    def counts(self) -> np.ndarray:
        """Points that count, ``(rows, columns)``: the mask, or without one, numbers."""
        return ~np.isnan(self.target) if self.mask is None else self.mask

    @property
    def composition(self) -> tuple[tuple[int, int], ...]:
        """Formula in smallest whole numbers: atomic numbers with their counts."""
        counts = Counter(self.atoms.numbers.tolist())
        unit = int(np.gcd.reduce(list(counts.values()))) if counts else 1
        return tuple(sorted((z, count // unit) for z, count in counts.items()))

    @property
    def density(self) -> float:
        r"""Atoms per volume, Å\ :sup:`-3`, 0 without a cell."""
        volume = self.atoms.cell.volume
        return len(self.atoms) / volume if volume > 0 else 0.0


def samples(section: Section, target: str) -> Iterator[Sample]:
    """
    Read a target and its mask, structure by structure.

    Extended XYZ and metatrain's two formats for large data are read piece by piece,
    everything else by metatrain, all at once.

    :param section: the data set
    :param target: name of the target
    :return: every structure of the section that is used
    :raises Exception: of many kinds, if a file cannot be read
    """
    mask = f"{target}_mask"
    names = [target, mask] if mask in section.entries else [target]
    files = [section.source, *(section.entries[name]["read_from"] for name in names)]
    if section.source.is_dir():
        files += section.source.iterdir()
    for file in files:
        refuse_special_file(file)
    if section.source.is_dir():
        found = _from_memmap(section, names)
    elif all(_is_plain_xyz(section, name) for name in names):
        found = _from_xyz(section, names)
    else:
        found = _from_metatrain(section, names)
    sources = _read_sources(section.source)
    for index, (atoms, arrays) in enumerate(found):
        if section.indices is None or index in section.indices:
            check_structure(atoms)
            mask_array = arrays[1] if arrays[1:] else None
            if mask_array is None and np.isnan(arrays[0][:, 0]).all():
                # `prepare` writes NaN for a mask that is false, in the padding, too.
                mask_array = ~np.isnan(arrays[0])
            origin = sources.get(index, {})
            listed = f"{origin['source']}@{origin['number']}" if origin else None
            source = atoms.info.get("source", listed)
            error = float(origin.get("kpoint_error") or np.nan)
            yield Sample(index, atoms, arrays[0], mask_array, source, error)


def _read_sources(data: Path) -> dict[int, dict[str, str]]:
    """Read which calculations are in a file that ``mtt-dos prepare`` has written."""
    table = data.parent / SOURCES_FILE
    if not table.is_file():
        return {}
    with table.open(encoding="utf-8", newline="") as file:
        return {
            int(row["index"]): row
            for row in csv.DictReader(file)
            if row["split"] == f"{data.stem}_set"
        }


Structures = Iterator[tuple[ase.Atoms, list[np.ndarray]]]


def _is_plain_xyz(section: Section, name: str) -> bool:
    """Tell whether an entry is in the XYZ file of the structures, as numbers."""
    entry = section.entries[name]
    is_xyz = section.source.suffix in (".xyz", ".extxyz")
    same_file = entry["read_from"] == str(section.source)
    plain = entry["type"] == "scalar" and entry["reader"] in (None, "ase")
    return is_xyz and same_file and plain


def _from_xyz(section: Section, names: list[str]) -> Structures:
    """Read the entries with ASE, of any width."""
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
        yield atoms, arrays


def _from_memmap(section: Section, names: list[str]) -> Structures:
    """Read metatrain's memory-mapped arrays, in the width of the files."""
    folder = section.source
    ends = np.load(folder / "na.npy")  # after a 0 in front
    types = np.memmap(folder / "a.bin", dtype="int32", mode="r", shape=(int(ends[-1]),))
    positions = np.memmap(folder / "x.bin", "float32", "r", shape=(len(types), 3))
    cells = np.zeros((len(ends) - 1, 3, 3))
    if (folder / "c.bin").exists():
        cells = np.memmap(folder / "c.bin", "float32", "r", shape=cells.shape)
    arrays = []
    for name in names:
        entry = section.entries[name]
        per_atom = entry["sample_kind"] == "atom"
        rows = int(ends[-1]) if per_atom else len(ends) - 1
        file = folder / f"{entry['key']}.bin"
        array = np.memmap(file, dtype="float32", mode="r")
        if len(array) % rows:
            raise ValueError(
                f"{file} has {len(array)} numbers, which is no multiple of {rows}, the "
                f"number of {'atoms' if per_atom else 'structures'}"
            )
        arrays.append((array.reshape(rows, -1), per_atom))
    for index in range(len(ends) - 1):
        atoms = slice(int(ends[index]), int(ends[index + 1]))
        own = slice(index, index + 1)
        yield (
            _atoms(types[atoms], positions[atoms], cells[index]),
            [
                np.asarray(array[atoms if per_atom else own], dtype=np.float64)
                for array, per_atom in arrays
            ],
        )


def _from_metatrain(section: Section, names: list[str]) -> Structures:
    """Let metatrain read its ``DiskDataset``, or targets in a file of their own."""
    from metatrain.utils.data import DiskDataset, get_dataset

    if section.source.suffix == ".zip":
        keys = [section.entries[name]["key"] for name in names]
        dataset = DiskDataset(str(section.source), fields=keys)
    else:
        keys = names
        config = {
            "systems": section.config["systems"],
            "targets": {names[0]: section.entries[names[0]]},
            "extra_data": {name: section.entries[name] for name in names[1:]},
        }
        dataset, _, _ = get_dataset(OmegaConf.create(config))
    for index in range(len(dataset)):
        sample = dataset[index]
        system = (getattr(sample["system"], x) for x in ("types", "positions", "cell"))
        yield _atoms(*(x.numpy() for x in system)), [_rows(sample[key]) for key in keys]


def _atoms(types: np.ndarray, positions: np.ndarray, cell: np.ndarray) -> ase.Atoms:
    """Make a structure, periodic where its cell is not zero, as metatrain does."""
    return ase.Atoms(types, positions, cell=cell, pbc=cell.any(axis=1))


def _rows(tensor_map: Any) -> np.ndarray:
    """Stack the samples and components of all blocks."""
    values = [block.values.numpy() for block in tensor_map.blocks()]
    return np.concatenate([each.reshape(-1, each.shape[-1]) for each in values])
