"""Find the number of electrons of a structure, which a predicted DOS does not tell."""

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
"""Entry of the info of structures that contains their number of electrons."""

ElectronCounter = Callable[[int, ase.Atoms], float | None]
"""Position of a structure, and structure -> its number of electrons, if known."""


def electron_counter(
    electrons: str | float | None = None,
    valences: str | Mapping[str, float] | None = None,
    default_valences: Mapping[str, float] | None = None,
) -> ElectronCounter:
    """
    Choose how electrons are counted.

    :param electrons: a number for all structures, a file with one number per structure,
        or the name of an entry of their info
    :param valences: electrons of each element, as :func:`read_valences` takes them;
        structures are neutral
    :param default_valences: valences of structures without ``n_electrons`` in their
        info, unless one of the others is given
    :return: function that counts the electrons of a structure
    :raises ValueError: if both are given, or an argument cannot be read
    """
    if electrons is not None and valences is not None:
        raise ValueError(
            "electrons: expected either these or valences, got both; leave one out"
        )
    if valences is not None:
        known = read_valences(valences)
        return lambda number, atoms: valence_electrons(atoms, known, number)
    if electrons is None:

        def count(number: int, atoms: ase.Atoms) -> float | None:
            if INFO_KEY in atoms.info:
                return _from_info(number, atoms, INFO_KEY)
            symbols = set(atoms.get_chemical_symbols())
            if default_valences and symbols <= set(default_valences):
                return valence_electrons(atoms, default_valences, number)
            return None

        return count
    try:
        same = float(electrons)
    except ValueError:
        path = Path(str(electrons))
        if path.is_file():
            return _from_file(path)
        return lambda number, atoms: _from_info(number, atoms, str(electrons))
    return lambda number, atoms: _positive(same, "the argument")


def refuse_more_lines(electrons: str | float | None, structures: int) -> None:
    """
    Refuse a file with more numbers of electrons than there are structures.

    :param electrons: as :func:`electron_counter` takes it, which refuses fewer
    :param structures: number of structures
    :raises ValueError: if there are more
    """
    path = Path(str(electrons))
    if path.is_file() and (lines := np.loadtxt(path, ndmin=1).size) > structures:
        raise ValueError(
            f"electrons: expected one number per structure, got the {lines} of {path} "
            f"for {structures} structures; write one line for each"
        )


def read_valences(valences: str | Mapping[str, float]) -> dict[str, float]:
    """
    Read the number of valence electrons of each element.

    :param valences: mapping, text such as ``"Si=4 O=6"``, or the path of a YAML or JSON
        file with a mapping
    :return: symbol of the element -> electrons
    :raises ValueError: if a symbol is no element, or a value is no number >= 0
    """
    expected = 'expected electrons by element, such as "Si=4 O=6", or a YAML file'
    pairs: Any = valences
    if isinstance(valences, str):
        if Path(valences).is_file():
            try:
                # All as text, because to YAML nobelium is a No.
                pairs = yaml.load(read_text(valences), yaml.BaseLoader)
            # The last: lists in thousands of lists
            except (yaml.YAMLError, ValueError, RecursionError) as error:
                raise ValueError(
                    f"valences: {expected}, got {valences}, which cannot be read "
                    f"({shorten(error)}); correct the file"
                ) from error
        else:
            words = valences.replace(",", " ").split()
            pairs = dict(word.partition("=")[::2] for word in words)
    if not isinstance(pairs, Mapping) or not pairs:
        raise ValueError(f"valences: {expected}, got {shorten(valences)}")
    found = {}
    for symbol, text in pairs.items():
        try:
            number = float(text)
        except (TypeError, ValueError):
            number = np.nan
        if atomic_numbers.get(str(symbol), 0) < 1 or not 0 <= number < np.inf:
            raise ValueError(
                f"valences: {expected}, got {shorten(symbol)} with {shorten(text)}; "
                "give each element the valence electrons of its pseudopotential"
            )
        found[symbol] = number
    return found


def valence_electrons(
    atoms: ase.Atoms, valences: Mapping[str, float], number: int = 0
) -> float:
    """
    Sum the valence electrons of the atoms of a neutral structure.

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


def _positive(value: Any, source: str) -> float:
    """Convert a number of electrons, and refuse any that is none."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if not 0 < number < np.inf:
        raise ValueError(
            f"electrons: expected a number > 0, got {shorten(value)} from {source}; "
            "correct it, or give valences"
        )
    return number


def _from_info(number: int, atoms: ase.Atoms, key: str) -> float:
    """Read the number of electrons from the info of a structure."""
    if key not in atoms.info:
        raise ValueError(
            f"electrons: expected a number, a file, or an entry of the info of every "
            f"structure, but there is no file {key!r}, and structure {number} has only "
            f"{', '.join(sorted(atoms.info)) or 'nothing'}; check the name, or give "
            "valences"
        )
    return _positive(atoms.info[key], f"{key!r} of structure {number}")


def _from_file(path: Path) -> ElectronCounter:
    """Read one number per structure."""
    try:
        numbers = np.loadtxt(path, ndmin=1)
        if numbers.ndim != 1:
            raise ValueError(f"{numbers.shape[-1]} in a line")
    except ValueError as error:
        raise ValueError(
            f"electrons: expected a file with one number in each line, got {path} "
            f"({shorten(error)}); write one line for each structure"
        ) from error

    def count(number: int, atoms: ase.Atoms) -> float:
        if number >= len(numbers):
            raise ValueError(
                f"electrons: expected one number per structure, got the {len(numbers)} "
                f"of {path}, and none for structure {number}; write one line for each"
            )
        return _positive(numbers[number], f"line {number + 1} of {path}")

    return count
