"""Read finished calculations: the structure, its eigenvalues and k-point weights.

A reader for another code is one function and one row of :data:`READERS`. The readers of
codes have modules of their own; this one has the table, and extended XYZ.
"""

from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import ase
import ase.io
import numpy as np

from .calculation import INFO_KEYS, Calculation, calculation_to_atoms
from .readers_abinit import read_abinit_gsr
from .readers_espresso import read_espresso_text, read_espresso_xml
from .readers_gpaw import read_gpw
from .readers_vasp import read_vasprun
from .reading import calculation_from_ase


__all__ = [
    "READERS",
    "Calculation",
    "Reader",
    "calculation_from_ase",
    "calculation_to_atoms",
    "find_reader",
    "read_abinit_gsr",
    "read_calculations",
    "read_espresso_text",
    "read_espresso_xml",
    "read_extxyz",
    "read_gpw",
    "read_vasprun",
]


def read_extxyz(path: str | Path) -> Iterator[Calculation]:
    """
    Read calculations from an extended XYZ file, one at a time.

    Every structure needs ``eigenvalues`` (eV) and ``kpoint_weights`` in its info, in
    the form that :func:`calculation_to_atoms` gives them; ``spin_channels`` (1),
    ``fermi_level`` (eV) and ``n_electrons`` are optional.

    :param path: file to read
    :return: calculations in the order of the file
    :raises ValueError: if the file cannot be read, or a structure lacks a key or has
        values that do not fit
    """
    path = Path(path)
    structures = _structures(path)
    number = 0
    while True:
        try:
            atoms = next(structures)
        except StopIteration:
            if number == 0:
                raise ValueError(
                    f"{path}: expected extended XYZ, got no structure; check the path"
                ) from None
            return
        # Damaged files make the parser of ASE stumble in ways that cannot be listed.
        except Exception as error:
            raise ValueError(
                f"{path}: expected extended XYZ, but structure {number} cannot be read "
                f"({error}); check the path and whether the file is complete"
            ) from error
        try:
            calculation = _from_info(atoms)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}, structure {number}: {error}") from error
        yield calculation
        number += 1


class Reader(NamedTuple):
    """
    Say which files a function reads.

    :param pattern: shell pattern of the file name, in lower case
    :param read: function from a path to one calculation, or to several
    :param mark: text that is among the first :data:`HEAD` bytes of every such file;
        empty where the name says enough
    """

    pattern: str
    read: Callable[[Path], Calculation | Iterator[Calculation]]
    mark: bytes = b""


READERS = {
    "Quantum ESPRESSO": Reader("*.xml", read_espresso_xml, b":espresso"),
    "Quantum ESPRESSO folder": Reader("*.save", read_espresso_xml),
    "VASP": Reader("*.xml", read_vasprun, b"<modeling"),
    "GPAW": Reader("*.gpw", read_gpw),
    "ABINIT": Reader("*_gsr.nc", read_abinit_gsr),
    "extended XYZ": Reader("*xyz", read_extxyz),
    "Quantum ESPRESSO text": Reader("*.out", read_espresso_text, b"Program PWSCF"),
    "Quantum ESPRESSO output": Reader("*.pwo", read_espresso_text, b"Program PWSCF"),
}
"""
Format -> reader. The first row is used that fits a file.

What holds all digits comes before what is printed.
"""

HEAD = 4096
"""How much of a file is looked at to tell formats with the same names apart, bytes."""


def find_reader(path: str | Path) -> Reader | None:
    """
    Find the reader of a file without reading it.

    Names decide first, at no cost; only a file whose name fits a reader with a mark is
    opened, to look at its first :data:`HEAD` bytes. A file that cannot be opened gets
    the first reader that its name fits, whose error says why.

    :param path: file, or a folder that is one calculation
    :return: the reader; ``None`` for files of another kind
    """
    path = Path(path)
    name = path.name.lower()
    fitting = [row for row in READERS.values() if fnmatch(name, row.pattern)]
    if any(row.mark for row in fitting):
        try:
            with path.open("rb") as stream:
                head = stream.read(HEAD)
        except OSError:
            return fitting[0]
        fitting = [row for row in fitting if row.mark in head]
    return fitting[0] if fitting else None


def read_calculations(path: str | Path) -> Iterator[Calculation]:
    """
    Read all calculations in a file, with the reader of :func:`find_reader`.

    :param path: file to read
    :return: calculations in the order of the file
    :raises ValueError: if the file is of no known format, or cannot be read
    """
    path = Path(path)
    reader = find_reader(path)
    if reader is None:
        raise ValueError(f"{path}: {_no_reader(path.name)}")
    found = reader.read(path)
    yield from (found,) if isinstance(found, Calculation) else found


def _structures(path: Path) -> Iterator[ase.Atoms]:
    """
    Read structures one by one.

    ASE goes through the whole file first, and takes any number of atoms at its word.
    """
    with path.open(encoding="utf-8") as stream:
        for line in stream:
            if not line.strip():
                continue
            count = int(line)
            lines = [line, *islice(stream, count + 1)]
            if len(lines) != count + 2 or not lines[-1].endswith("\n"):
                raise ValueError(
                    f"{count} atoms are announced, and {len(lines) - 2} follow, or the "
                    "last line has no end"
                )
            yield from ase.io.iread(StringIO("".join(lines)), format="extxyz")


def _from_info(atoms: ase.Atoms) -> Calculation:
    """Take a calculation out of the info of a structure, which loses those entries."""
    found = {key: atoms.info.pop(key) for key in INFO_KEYS if key in atoms.info}
    for key in ("eigenvalues", "kpoint_weights"):
        if key not in found:
            raise ValueError(
                f"{key}: expected in the info of the structure, got only "
                f"{sorted([*found, *atoms.info])}; write it with calculation_to_atoms"
            )
    # A list of one number comes back from extended XYZ as that number.
    eigenvalues = np.ravel(found["eigenvalues"])
    weights = np.ravel(found["kpoint_weights"])
    channels = found.get("spin_channels", 1)
    if channels not in (1, 2):
        raise ValueError(
            f"spin_channels: expected 1 or 2, got {channels!r}; leave it out if there "
            "is no spin"
        )
    if weights.size == 0 or eigenvalues.size % (channels * weights.size):
        raise ValueError(
            f"eigenvalues: expected a multiple of {channels} (spin channels) x "
            f"{weights.size} (k-points) numbers, got {eigenvalues.size}; give every "
            "k-point the same number of bands"
        )
    return Calculation(
        atoms=atoms,
        eigenvalues=eigenvalues.reshape(channels, weights.size, -1),
        kpoint_weights=weights,
        fermi_level=found.get("fermi_level"),
        n_electrons=found.get("n_electrons"),
    )


def _no_reader(name: str) -> str:
    """Say why no reader fits a file of that name."""
    fitting = [
        f"{format} (which has {row.mark.decode()!r} near its beginning)"
        for format, row in READERS.items()
        if row.mark and fnmatch(name.lower(), row.pattern)
    ]
    if fitting:
        return (
            f"expected output of {' or '.join(fitting)}, got other content; check "
            "whether the run began, and with which code"
        )
    known = ", ".join(f"{row.pattern} ({format})" for format, row in READERS.items())
    return (
        f"expected a file name like {known}, got {name!r}; rename the file or convert "
        "it to extended XYZ"
    )
