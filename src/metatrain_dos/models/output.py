"""Write predictions to a file, one after another."""

import csv
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedRandom
from pathlib import Path
from typing import Protocol

import ase
import ase.io
import numpy as np

from ..data.calculation import INFO_KEYS
from ..utils.atomic import atomic_file
from .predictor import PredictedDOS


LEVELS = (
    "electrons",
    "fermi_level",
    "highest_occupied",
    "lowest_unoccupied",
    "gap",
    "axis_zero",
)
"""Numbers of a structure, next to its DOS."""

# Decimals in text of states/eV and of eV. Far below any model's error.
DECIMALS = 6


class Output(Protocol):
    """Write predictions to a path, with or without the number of states."""

    def __init__(self, path: Path, states: bool) -> None: ...

    def write(self, atoms: ase.Atoms, predicted: PredictedDOS) -> None: ...

    def close(self) -> None: ...


class ExtxyzOutput:
    """Write extended XYZ: structures with DOS, energies and levels in their info."""

    def __init__(self, path: Path, states: bool) -> None:
        self._file = path.open("w", encoding="utf-8")
        self._states = states
        self.close = self._file.close

    def write(self, atoms: ase.Atoms, predicted: PredictedDOS) -> None:
        """Write one structure, without results of other calculations."""
        atoms = atoms.copy()
        ours = {*_curves(predicted, True), *LEVELS, *INFO_KEYS}
        atoms.info = {
            key: value
            for key, value in atoms.info.items()
            if key not in ours and isinstance(value, (str, int, float))
        }
        for name, values in _curves(predicted, self._states).items():
            atoms.info[name] = np.round(values, DECIMALS)
        for name, value in _levels(predicted).items():
            if not np.isnan(value):
                atoms.info[name] = round(value, DECIMALS)
        ase.io.write(self._file, atoms, format="extxyz")


class CsvOutput:
    """Write a table with one line for each energy of each structure."""

    def __init__(self, path: Path, states: bool) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._states = states
        self._table = csv.writer(self._file)
        self._number = 0
        self.close = self._file.close

    def write(self, atoms: ase.Atoms, predicted: PredictedDOS) -> None:
        """Write the lines of one structure."""
        curves, levels = _curves(predicted, self._states), _levels(predicted)
        if self._number == 0:
            self._table.writerow(["structure", "formula", *levels, *curves])
        # Programs that read tables take an empty field for a missing number.
        numbers = (
            "" if np.isnan(x) else str(round(x, DECIMALS)) for x in levels.values()
        )
        start = [self._number, atoms.get_chemical_formula(), *numbers]
        for row in zip(*curves.values(), strict=True):
            self._table.writerow([*start, *(f"{x:.{DECIMALS}f}" for x in row)])
        self._number += 1


class NpzOutput:
    """Write arrays whose first axis is that of the structures."""

    def __init__(self, path: Path, states: bool) -> None:
        self._path = path
        self._states = states
        # The length of an array precedes it in the file, and is known last.
        self._files: dict[str, BufferedRandom] = {}
        self._points = 0
        self._small: dict[str, list[str | float]] = {
            name: [] for name in ("formula", *LEVELS)
        }

    def write(self, atoms: ase.Atoms, predicted: PredictedDOS) -> None:
        """Write the rows of one structure."""
        for name, values in _curves(predicted, self._states).items():
            if name not in self._files:
                self._files[name] = self._path.with_suffix(f".{name}").open("w+b")
            self._files[name].write(np.asarray(values, dtype="<f8").tobytes())
            self._points = len(values)
        self._small["formula"].append(atoms.get_chemical_formula())
        for name, value in _levels(predicted).items():
            self._small[name].append(value)

    def close(self) -> None:
        """Combine the arrays in one file."""
        shape = (len(self._small["formula"]), self._points)
        header = {"descr": "<f8", "fortran_order": False, "shape": shape}
        with zipfile.ZipFile(self._path, "w") as archive:
            for name, values in self._small.items():
                with archive.open(f"{name}.npy", "w") as member:
                    np.lib.format.write_array(member, np.array(values))
            for name, file in self._files.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array_header_1_0(member, header)
                    file.seek(0)
                    shutil.copyfileobj(file, member)
                file.close()


OUTPUT_FORMATS: dict[str, type[Output]] = {
    "xyz": ExtxyzOutput,
    "csv": CsvOutput,
    "npz": NpzOutput,
}
"""Name of a format -> its writer."""

ENDINGS = {".xyz": "xyz", ".extxyz": "xyz", ".csv": "csv", ".npz": "npz"}
"""Ending of a file -> its format, unless another one is given."""


@contextmanager
def open_output(
    path: Path, format: str | None, *, states: bool = False, force: bool = False
) -> Iterator[Output]:
    """
    Open a file for predictions, which appears once the block ends without an error.

    :param path: file to write
    :param format: one of :data:`OUTPUT_FORMATS`; by the ending of the file unless given
    :param states: whether to write the number of states below each energy, too
    :param force: whether to replace an existing file
    :return: writer
    :raises ValueError: if the file exists, or its folder or its format does not
    """
    found = format or ENDINGS.get(path.suffix.lower())
    if found is None:
        raise ValueError(
            f"output: expected a file that ends in {', '.join(ENDINGS)}, got {path}; "
            "choose one of them, or pass --format"
        )
    with atomic_file(path, force=force) as made:
        output = OUTPUT_FORMATS[found](made, states)
        try:
            yield output
        finally:
            output.close()


def _curves(predicted: PredictedDOS, states: bool) -> dict[str, np.ndarray]:
    """Collect the arrays with one number for each energy."""
    curves = {"dos_energies": predicted.dos_energies, "dos": predicted.dos}
    return {**curves, "states": predicted.states} if states else curves


def _levels(predicted: PredictedDOS) -> dict[str, float]:
    """Collect the levels, NaN where one is missing."""
    values = {name: getattr(predicted, name) for name in LEVELS}
    return {name: np.nan if x is None else x for name, x in values.items()}
