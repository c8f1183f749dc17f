"""Read extended XYZ with eigenvalues: the form for every code without a reader."""

import re
from collections.abc import Iterator
from io import StringIO
from itertools import count, islice
from pathlib import Path
from typing import Any, TextIO

import ase
import ase.io
import numpy as np
from ase.calculators.calculator import all_properties

from ...utils.compressed import open_text
from ...utils.text import shorten
from ..calculation import INFO_KEYS, Calculation, InputError
from ._common import label, make_calculation, reading


# Numbers in a matrix, which ASE knows by its name.
MATRIX = 9
# Letters of the name of an array that is read here and not by ASE.
LONGEST_KEY = 99

# Used by others for the weights of k-points
OTHER_NAMES = {"k-point weights", "kpoints_weights", "kweights", "weights"}


def read_extxyz(path: str | Path) -> Iterator[Calculation]:
    """
    Read calculations from an extended XYZ file, one at a time.

    Every structure needs ``eigenvalues`` (eV) and ``kpoint_weights`` in its info, in
    the form of :func:`~metatrain_dos.data.calculation.calculation_to_atoms`;
    ``kpoints`` (fractional coordinates), ``spin_channels`` (1), ``fermi_level`` (eV)
    and ``n_electrons`` are optional.

    :param path: file to read
    :return: calculations in the order of the file
    :raises ValueError: if the file cannot be read, or a structure lacks a key or has
        values that do not fit
    """
    with reading(path, "extended XYZ"):
        stream = open_text(path)
    with stream:
        structures = _structures(stream, whole=True)
        for number in count():
            with reading(f"{path}, structure {number}", "extended XYZ"):
                atoms = next(structures, None)
                if atoms is None and number == 0:
                    raise InputError("expected one at least, got none; check the path")
                if atoms is None:
                    return
                calculation = _from_info(atoms)
            yield calculation


def read_structures(path: Path, *, whole: bool = True) -> Iterator[ase.Atoms]:
    """
    Read the structures of an extended XYZ file, one by one.

    ASE goes through the whole file first, and takes any number of atoms, and of
    columns, at its word.

    :param path: file to read
    :param whole: whether the last line must have an end, without which the last number
        in it may have lost digits
    :return: structures in the order of the file
    :raises Exception: whatever ASE raises where the file is damaged
    """
    with open_text(path) as stream:
        yield from _structures(stream, whole)


def _structures(stream: TextIO, whole: bool) -> Iterator[ase.Atoms]:
    for line in stream:
        if not line.strip():
            continue
        atoms = int(line)
        lines = [line, *islice(stream, atoms + 1)]
        cut = whole and not lines[-1].endswith("\n")
        if len(lines) != atoms + 2 or cut:
            raise InputError(
                f"expected {atoms} complete lines of atoms, got {len(lines) - 2} "
                "lines, of which the last may be cut; check whether the file is "
                "complete"
            )
        _check_columns(lines)
        lines[1], arrays = _take_arrays(lines[1])
        for structure in ase.io.iread(StringIO("".join(lines)), format="extxyz"):
            structure.info.update(arrays)
            yield structure


def _take_arrays(comment: str) -> tuple[str, dict[str, np.ndarray]]:
    """
    Take long arrays, such as a DOS, out of a comment line, and return its rest.

    ASE goes through the line letter by letter, which takes most of its time.
    """
    parts = comment.split('"')  # every second one is between quotes
    plain = "".join(parts[::2])
    arrays: dict[str, np.ndarray] = {}
    # ASE takes what follows an empty text for a part of it.
    simple = len(parts) % 2 and "\\" not in comment and all(parts[1::2])
    if not simple or any(mark in plain for mark in "'[{"):
        return comment, arrays
    rest = parts[0]
    for quoted, after in zip(parts[1::2], parts[2::2], strict=True):
        key = re.search(r"(?:^|\s)(\w+)=$", rest[-LONGEST_KEY:])
        array = _numbers(quoted) if after[:1].isspace() or not after else None
        if array is None or key is None or key[1] in all_properties:
            rest += f'"{quoted}"{after}'
        else:
            arrays[key[1]] = array
            rest = rest[: len(rest) - len(key[1]) - 1] + after
    return rest, arrays


def _numbers(text: str) -> np.ndarray | None:
    """Read floating-point numbers, or T and F, as ASE does; None for all else."""
    words = text.split()
    if len(words) <= MATRIX:
        return None
    if {"T", "F"}.issuperset(words):
        return np.array(words) == "T"
    try:
        return np.array(words, dtype=np.float64) if "." in words[0] else None
    except ValueError:
        return None


def _check_columns(lines: list[str]) -> None:
    """Refuse a structure that announces more columns than its lines have."""
    announced = re.search(r'Properties="?([^\s"]+)', lines[1], re.IGNORECASE)
    if announced is None or len(lines) < 3:
        return
    counts = [int(count) for count in announced[1].split(":")[2::3]]
    found = len(lines[2].split())
    if sum(counts) > found:
        raise InputError(
            f"expected the {sum(counts)} columns that Properties announces, got "
            f"{found}; check whether the file is complete"
        )


def _from_info(atoms: ase.Atoms) -> Calculation:
    """Take a calculation out of the info of a structure, which loses those entries."""
    _refuse_objects(atoms.info)
    for name in OTHER_NAMES & atoms.info.keys():
        atoms.info.setdefault("kpoint_weights", atoms.info.pop(name))
    found = {key: atoms.info.pop(key) for key in INFO_KEYS if key in atoms.info}
    for key in ("eigenvalues", "kpoint_weights"):
        if key not in found:
            raise InputError(
                f"{key}: expected in the info of the structure, got only "
                f"{shorten(sorted([*found, *atoms.info]))}; write it with "
                "calculation_to_atoms"
            )
    # A list of one number comes back from extended XYZ as that number.
    eigenvalues = np.ravel(found["eigenvalues"])
    weights = np.ravel(found["kpoint_weights"])
    channels = found.get("spin_channels", 1)
    if channels not in (1, 2):
        raise InputError(
            f"spin_channels: expected 1 or 2, got {shorten(channels)}; leave it "
            "out if there is no spin"
        )
    if weights.size == 0 or eigenvalues.size % (channels * weights.size):
        raise InputError(
            f"eigenvalues: expected a multiple of {channels} (spin channels) x "
            f"{weights.size} (k-points) numbers, got {eigenvalues.size}; give every "
            "k-point the same number of bands"
        )
    kpoints = found.get("kpoints")
    if atoms.calc is not None:  # where ASE puts energy, forces and stress
        results, atoms.calc = atoms.calc.results, None
        label(atoms, *map(results.get, ("energy", "forces", "stress")))
    return make_calculation(
        atoms=atoms,
        eigenvalues=eigenvalues.reshape(channels, weights.size, -1),
        kpoint_weights=weights,
        kpoints=None if kpoints is None else np.reshape(kpoints, (-1, 3)),
        fermi_level=found.get("fermi_level"),
        n_electrons=found.get("n_electrons"),
    )


def _refuse_objects(value: Any) -> None:
    """
    Refuse JSON that ASE, when it reads it again, would take for an object of Python.

    Such an object may be an array of any size.
    """
    if isinstance(value, dict):
        for key, entry in value.items():
            if str(key).startswith("__"):
                raise InputError(
                    f"info: expected numbers, text and lists of them, got a mapping "
                    f"with the key {key!r}; leave it out"
                )
            _refuse_objects(entry)
    elif isinstance(value, list) or (
        isinstance(value, np.ndarray) and value.dtype.kind == "O"
    ):
        for entry in value:
            _refuse_objects(entry)
