"""Read finished calculations: the structure, its eigenvalues and k-point weights.

A reader for another code is a module with one function, and one row of :data:`READERS`.
"""

from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

from ...utils.files import refuse_special_file
from ..calculation import Calculation, calculation_to_atoms
from ._common import calculation_from_ase
from .abinit import read_abinit_gsr
from .espresso import read_espresso_text, read_espresso_xml
from .extxyz import read_extxyz
from .gpaw import read_gpw
from .vasp import read_vasprun


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


class Reader(NamedTuple):
    """
    Say which files a function reads.

    :param pattern: shell pattern of the file name, in lower case
    :param read: function from a path to one calculation, or to several
    :param mark: text that is near the beginning of every such file; empty where the
        name says enough
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
    opened, to look at its beginning. A file that cannot be opened gets the first reader
    that its name fits, whose error says why. Pipes and devices, which may have no end,
    are no files.

    :param path: file, or a folder that is one calculation
    :return: the reader; ``None`` for files of another kind
    """
    path = Path(path)
    name = path.name.lower()
    fitting = [row for row in READERS.values() if fnmatch(name, row.pattern)]
    if any(row.mark for row in fitting):
        try:
            refuse_special_file(path)
            with path.open("rb") as stream:
                head = stream.read(HEAD)
        except (OSError, ValueError):
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
    refuse_special_file(path)
    reader = find_reader(path)
    if reader is None:
        raise ValueError(f"{path}: {_no_reader(path.name)}")
    found = reader.read(path)
    yield from (found,) if isinstance(found, Calculation) else found


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
