"""Write predictions to a file, one after another."""

import csv
import io
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedRandom
from pathlib import Path

import ase
import ase.io
import numpy as np

from ..data.calculation import INFO_KEYS
from ..utils.atomic import atomic_file
from .prediction import PredictedDOS


# Decimals in text of eV, states/eV and eV/K; far below any model's error.
DECIMALS = 6
DIGITS = 7
NPZ_DTYPE = "<f4"
"""Single precision, as in nearly all models, for arrays over energies."""


class ExtxyzOutput:
    """Write extended XYZ: structures with DOS, energies and levels in their info."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")
        self.close = self._file.close

    def write(self, atoms: ase.Atoms, predicted: PredictedDOS) -> None:
        """Write one structure, without results of other calculations."""
        atoms = atoms.copy()
        curves = _curves(predicted)
        ours = {*curves, "states", *predicted.numbers, *INFO_KEYS}
        atoms.info = {
            key: value
            for key, value in atoms.info.items()
            if key not in ours and isinstance(value, (str, int, float))
        }
        for name, values in curves.items():
            atoms.info[name] = np.round(values, DECIMALS)
        for name, value in predicted.numbers.items():
            if not np.isnan(value):
                atoms.info[name] = _rounded(value)
        if "0" in predicted.parts:
            rows = np.array(list(predicted.parts.values()))
            atoms.set_array("dos_of_atoms", np.round(rows, DECIMALS))
        else:
            for name, values in predicted.parts.items():
                atoms.info[f"dos_{name}"] = np.round(values, DECIMALS)
        ase.io.write(self._file, atoms, format="extxyz")


class CsvOutput:
    """Write a table with one line for each energy of each structure."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._table = csv.writer(self._file)
        self._number = 0
        self.close = self._file.close

    def write(self, atoms: ase.Atoms, predicted: PredictedDOS) -> None:
        """Write the lines of one structure."""
        curves, levels = _curves(predicted), predicted.numbers
        part = ["part"] if predicted.parts else []
        if self._number == 0:
            head = ["structure", *part, "formula", *levels, *curves]
            self._table.writerow(head)
        # Programs that read tables take an empty field for a missing number.
        numbers = ["" if np.isnan(x) else str(_rounded(x)) for x in levels.values()]
        numbers.insert(0, atoms.get_chemical_formula())
        for name, dos in _parts(predicted).items():
            start = io.StringIO()
            csv.writer(start, lineterminator="").writerow(
                [self._number, *([name] if part else []), *numbers]
            )
            columns = np.stack(list((curves | {"dos": dos}).values()), axis=-1)
            # Much faster than the module, line by line
            line = start.getvalue() + f",%.{DECIMALS}f" * columns.shape[1] + "\r\n"
            self._file.write(line * len(columns) % tuple(columns.ravel().tolist()))
        self._number += 1


class NpzOutput:
    """Write arrays whose first axis is that of the structures, or of their parts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # The length of an array precedes it in the file, and is known last.
        self._files: dict[str, BufferedRandom] = {}
        self._points = 0
        self._small: dict[str, list[str | float]] = {"formula": []}
        self._number = 0

    def write(self, atoms: ase.Atoms, predicted: PredictedDOS) -> None:
        """Write the rows of one structure."""
        for part, dos in _parts(predicted).items():
            curves = _curves(predicted) | {"dos": dos}
            for name, values in curves.items():
                if name not in self._files:
                    self._files[name] = self._path.with_suffix(f".{name}").open("w+b")
                self._files[name].write(np.asarray(values, NPZ_DTYPE).tobytes())
                self._points = len(values)
            small = {"formula": atoms.get_chemical_formula(), **predicted.numbers}
            if predicted.parts:
                small |= {"structure": self._number, "part": part}
            for name, value in small.items():
                self._small.setdefault(name, []).append(value)
        self._number += 1

    def close(self) -> None:
        """Combine the arrays in one file."""
        shape = (len(self._small["formula"]), self._points)
        header = {"descr": NPZ_DTYPE, "fortran_order": False, "shape": shape}
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


Output = ExtxyzOutput | CsvOutput | NpzOutput

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
    path: Path, format: str | None, *, force: bool = False
) -> Iterator[Output]:
    """
    Open a file for predictions, which appears once the block ends without an error.

    :param format: one of :data:`OUTPUT_FORMATS`; by the ending of the file unless given
    :param force: whether to replace an existing file
    :raises ValueError: if the file exists, or its folder or its format does not
    """
    found = format or ENDINGS.get(path.suffix.lower())
    if found is None:
        raise ValueError(
            f"output: expected a file that ends in {', '.join(ENDINGS)}, got {path}; "
            "choose one of them, or pass --format"
        )
    with atomic_file(path, force=force) as made:
        output = OUTPUT_FORMATS[found](made)
        try:
            yield output
        finally:
            output.close()


def _curves(predicted: PredictedDOS) -> dict[str, np.ndarray]:
    """Collect the arrays with one number for each energy."""
    curves = {"dos_energies": predicted.dos_energies, "dos": predicted.dos}
    return {**curves, **predicted.curves}


def _parts(predicted: PredictedDOS) -> dict[str, np.ndarray]:
    """Collect the DOS of the structure and its parts."""
    return {"all": predicted.dos, **predicted.parts}


def _rounded(value: float) -> float:
    """Round energies to decimals, and smaller numbers, such as eV/K, to digits."""
    return round(value, DECIMALS) if abs(value) > 0.1 else float(f"{value:.{DIGITS}g}")
