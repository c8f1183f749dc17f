"""Say how many electrons a structure has, which a predicted DOS does not."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ase
import numpy as np
import yaml
from ase.data import atomic_numbers

from ..utils.files import read_text
from ..utils.text import shorten


INFO_KEY = "n_electrons"
"""Where a structure says so itself."""

ElectronCount = Callable[[int, ase.Atoms], float | None]
"""Number of a structure, and structure -> its number of electrons, if it is known."""


def electron_count(
    electrons: str | float | None = None,
    valences: str | Mapping[str, float] | None = None,
) -> ElectronCount:
    """
    Find out what says how many electrons structures have.

    :param electrons: a number for all structures, a file with one number per structure,
        or the name of an entry of their info; unless given, ``n_electrons``, for
        structures that have it
    :param valences: electrons of each element, as :func:`read_valences` takes them;
        the structure is taken to be neutral
    :return: function that says how many a structure has
    :raises ValueError: if both are given, or what is given cannot be read
    """
    if electrons is not None and valences is not None:
        raise ValueError(
            "electrons: expected either these or valences, got both; leave one out"
        )
    if valences is not None:
        known = read_valences(valences)
        return lambda number, atoms: valence_electrons(atoms, known, number)
    if electrons is None:
        return _from_info_if_there
    try:
        same = float(electrons)
    except ValueError:
        path = Path(str(electrons))
        return _from_file(path) if path.is_file() else _from_info(str(electrons))
    return lambda number, atoms: same


def read_valences(valences: str | Mapping[str, float]) -> dict[str, float]:
    """
    Read how many electrons each element brings along.

    :param valences: mapping, text such as ``"Si=4 O=6"``, or the path of a YAML or JSON
        file with a mapping
    :return: symbol of the element -> electrons
    :raises ValueError: if a symbol is no element, or a number is none
    """
    expected = 'expected electrons by element, such as "Si=4 O=6", or a YAML file'
    pairs: Any = valences
    if isinstance(valences, str):
        if Path(valences).is_file():
            pairs = _read_yaml(Path(valences), expected)
        else:
            words = valences.replace(",", " ").split()
            pairs = dict(word.partition("=")[::2] for word in words)
    if not isinstance(pairs, Mapping) or not pairs:
        raise ValueError(
            f"valences: {expected}, got {shorten(valences)}; write it like that"
        )
    found = {}
    for symbol, text in pairs.items():
        try:
            number = float(text)
        except (TypeError, ValueError):
            number = np.nan
        if atomic_numbers.get(str(symbol), 0) < 1 or not 0 <= number < np.inf:
            raise ValueError(
                f"valences: {expected}, got {shorten(symbol)} with "
                f"{shorten(text)}; give each "
                "element the valence electrons of its pseudopotential"
            )
        found[symbol] = number
    return found


def valence_electrons(
    atoms: ase.Atoms, valences: Mapping[str, float], number: int = 0
) -> float:
    """
    Add up the valence electrons of the atoms of a neutral structure.

    :param atoms: the structure
    :param valences: symbol of the element -> electrons
    :param number: position of the structure, for messages
    :return: number of electrons
    :raises ValueError: if an element is missing
    """
    symbols = atoms.get_chemical_symbols()
    missing = sorted(set(symbols) - set(valences))
    if missing:
        raise ValueError(
            f"valences: expected every element of structure {number} "
            f"({atoms.get_chemical_formula()}), got none for {', '.join(missing)}; add "
            f"{' '.join(f'{symbol}=...' for symbol in missing)}"
        )
    return float(sum(valences[symbol] for symbol in symbols))


def _read_yaml(path: Path, expected: str) -> Any:
    """Read a file, all as text, because to YAML nobelium is a No."""
    try:
        return yaml.load(read_text(path), yaml.BaseLoader)
    # The last: lists in thousands of lists
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(
            f"valences: {expected}, got {path}, which cannot be read "
            f"({shorten(error)}); correct it there"
        ) from error


def _number(number: int, atoms: ase.Atoms, key: str) -> float:
    """Take a number from the info of a structure."""
    try:
        return float(atoms.info[key])
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"electrons: expected a number as {key!r} of structure {number}, got "
            f"{shorten(atoms.info[key])}; correct it, or give valences"
        ) from error


def _from_info_if_there(number: int, atoms: ase.Atoms) -> float | None:
    """Look the number up where it usually is."""
    return _number(number, atoms, INFO_KEY) if INFO_KEY in atoms.info else None


def _from_info(key: str) -> ElectronCount:
    """Look the number up in each structure."""

    def count(number: int, atoms: ase.Atoms) -> float:
        if key not in atoms.info:
            raise ValueError(
                f"electrons: expected a number, a file, or an entry of the info of "
                f"every structure, but there is no file {key!r}, and structure "
                f"{number} has only {', '.join(sorted(atoms.info)) or 'nothing'}; "
                "check the name, or give valences"
            )
        return _number(number, atoms, key)

    return count


def _from_file(path: Path) -> ElectronCount:
    """Read one number per structure."""
    try:
        numbers = np.loadtxt(path, ndmin=1)
        if numbers.ndim != 1:
            raise ValueError(f"{numbers.shape[-1]} in a line")
    except ValueError as error:
        raise ValueError(
            f"electrons: expected a file with one number in each line, got {path} "
            f"({error}); write one line for each structure"
        ) from error

    def count(number: int, atoms: ase.Atoms) -> float:
        if number >= len(numbers):
            raise ValueError(
                f"electrons: expected a number for each structure, got only the "
                f"{len(numbers)} of {path} for structure {number}; write one line for "
                "each structure"
            )
        return float(numbers[number])

    return count
