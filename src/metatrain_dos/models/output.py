"""Write predictions one after another, to a file that is there when it is whole."""

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
"""Numbers that a structure has, next to its DOS."""

# Decimals in text of states/eV and of eV. Far below any model's error.
DECIMALS = 6


class Output(Protocol):
    """
    Write predictions one after another.

    :param path: file to write
    :param states: whether to write the number of states below each energy, too
    """

    def __init__(self, path: Path, states: bool) -> None: ...

    def write(self, atoms: ase.Atoms, predicted: PredictedDOS) -> None: ...

    def close(self) -> None: ...


class ExtxyzOutput:
    """Write extended XYZ: structures with DOS, energies and levels in their info."""

    def __init__(self, path: Path, states: bool) -> None:
        self._file = path.open("w", encoding="utf-8")
        self._states = states

    def write(self, atoms: ase.Atoms, predicted: PredictedDOS) -> None:
        """Write one structure, without what else has been computed for it."""
        atoms = atoms.copy()
        ours = {*_curves(predicted, True), *LEVELS, *INFO_KEYS}
        atoms.info = {
            key: value
            for key, value in atoms.info.items()
            if key not in ours and isinstance(value, (str, int, float))
        }
        for name, values in _curves(predicted, self._states).items():
            atoms.info[name] = np.round(values, DECIMALS)
        for name in LEVELS:
            value = getattr(predicted, name)
            if value is not None and not np.isnan(value):
                atoms.info[name] = round(value, DECIMALS)
        ase.io.write(self._file, atoms, format="extxyz")

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


class CsvOutput:
    """Write a table with a line for each energy of each structure."""

    def __init__(self, path: Path, states: bool) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._states = states
        self._table = csv.writer(self._file)
        self._number = 0

    def write(self, atoms: ase.Atoms, predicted: PredictedDOS) -> None:
        """Write the lines of one structure."""
        curves = _curves(predicted, self._states)
        if self._number == 0:
            self._table.writerow(["structure", "formula", *LEVELS, *curves])
        levels = [getattr(predicted, name) for name in LEVELS]
        # An empty field is what tables take for a number that is missing.
        start = [
            self._number,
            atoms.get_chemical_formula(),
            *(
                "" if x is None or np.isnan(x) else str(round(x, DECIMALS))
                for x in levels
            ),
        ]
        for numbers in zip(*curves.values(), strict=True):
            self._table.writerow([*start, *(f"{x:.{DECIMALS}f}" for x in numbers)])
        self._number += 1

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


class NpzOutput:
    """Write arrays, of which the first axis is that of the structures."""

    def __init__(self, path: Path, states: bool) -> None:
        self._path = path
        self._states = states
        # The length of an array comes in front of it, and is not known yet.
        self._files: dict[str, BufferedRandom] = {}
        self._points = 0
        self._formulas: list[str] = []
        self._levels: dict[str, list[float]] = {name: [] for name in LEVELS}

    def write(self, atoms: ase.Atoms, predicted: PredictedDOS) -> None:
        """Write the rows of one structure."""
        for name, values in _curves(predicted, self._states).items():
            if name not in self._files:
                self._files[name] = self._path.with_suffix(f".{name}").open("w+b")
            self._files[name].write(np.asarray(values, dtype="<f8").tobytes())
            self._points = len(values)
        self._formulas.append(atoms.get_chemical_formula())
        for name, numbers in self._levels.items():
            value = getattr(predicted, name)
            numbers.append(np.nan if value is None else value)

    def close(self) -> None:
        """Put the arrays into one file."""
        shape = (len(self._formulas), self._points)
        header = {"descr": "<f8", "fortran_order": False, "shape": shape}
        with zipfile.ZipFile(self._path, "w") as archive:
            for name, values in {"formula": self._formulas, **self._levels}.items():
                with archive.open(f"{name}.npy", "w") as member:
                    np.lib.format.write_array(member, np.array(values))
            for name, file in self._files.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array_header_1_0(member, header)
                    file.seek(0)
                    shutil.copyfileobj(file, member)
                file.close()


FORMATS: dict[str, type[Output]] = {
    "xyz": ExtxyzOutput,
    "csv": CsvOutput,
    "npz": NpzOutput,
}
"""Name of a format -> what writes it."""

ENDINGS = {".xyz": "xyz", ".extxyz": "xyz", ".csv": "csv", ".npz": "npz"}
"""Ending of a file -> its format, unless another one is asked for."""


def find_format(path: Path, format: str | None) -> str:
    """
    Choose the format of a file.

    :param path: the file
    :param format: one of :data:`FORMATS`, if it is asked for
    :return: one of :data:`FORMATS`
    :raises ValueError: if neither says it
    """
    found = format or ENDINGS.get(path.suffix.lower())
    if found is None:
        raise ValueError(
            f"output: expected a file that ends in {', '.join(ENDINGS)}, got {path}; "
            "choose one of them, or say --format"
        )
    return found


@contextmanager
def open_output(
    path: Path, format: str, *, states: bool = False, force: bool = False
) -> Iterator[Output]:
    """
    Open a file for predictions, which is there once the block ends without an error.

    :param path: file to write
    :param format: one of :data:`FORMATS`
    :param states: whether to write the number of states below each energy, too
    :param force: whether to replace a file that is there
    :return: what writes it
    :raises ValueError: if there is a file, or no folder for it
    """
    with atomic_file(path, force=force) as made:
        output = FORMATS[format](made, states)
        try:
            yield output
        finally:
            output.close()


def _curves(predicted: PredictedDOS, states: bool) -> dict[str, np.ndarray]:
    """Name what there is for each energy."""
    curves = {"dos_energies": predicted.dos_energies, "dos": predicted.dos}
    return {**curves, "states": predicted.states} if states else curves
