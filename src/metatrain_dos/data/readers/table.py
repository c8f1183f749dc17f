"""Which reader reads which files: a row of :data:`READERS` for each format."""

import re
from collections.abc import Callable, Iterable, Iterator
from fnmatch import translate
from functools import cache
from inspect import signature
from pathlib import Path
from typing import NamedTuple

from ...utils.compressed import plain_name
from ..calculation import Calculation
from ..gridded_dos import AnyCalculation
from . import (
    _vasp_text,
    castep,
    dos_arrays,
    espresso,
    espresso_dos,
    espresso_projections,
    espresso_text,
    vasp_projections,
)
from .abinit import read_abinit_gsr
from .castep import read_castep
from .cp2k import read_cp2k
from .dos_arrays import read_deepmd, read_dos_json, read_dos_npz
from .doscar import read_doscar
from .eigenval import read_eigenval
from .espresso import read_espresso_xml
from .espresso_dos import read_espresso_dos
from .espresso_text import read_espresso_text, read_espresso_text_steps
from .extxyz import read_extxyz
from .gpaw import read_gpw
from .vasp import read_vasprun, read_vasprun_steps
from .vaspout import read_vaspout


class Reader(NamedTuple):
    """
    A function that reads files, and the names of these files.

    :param patterns: shell patterns of the file name, in lower case, without the ending
        of a compressed file
    :param read: function from a path, and perhaps keywords, to one calculation, or to
        several
    :param mark: text near the beginning of every such file; empty where the name is
        enough
    :param unless: names of better files of the same run, beside which a file is not
        read
    :param needs: pattern of files without which a file is not of this format
    :param read_steps: function from a path to every step that has eigenvalues
    :param beside: function from a path to the other files, and folders, of the same run
        that are read, too
    :param projections: the same for those that are read for projections only
    """

    patterns: tuple[str, ...]
    read: Callable[..., AnyCalculation | Iterator[AnyCalculation]]
    mark: bytes = b""
    unless: tuple[str, ...] = ()
    needs: str = ""
    read_steps: Callable[[Path], Iterator[Calculation]] | None = None
    beside: Callable[[Path], Iterable[Path]] | None = None
    projections: Callable[[Path], Iterable[Path]] | None = None

    @property
    def options(self) -> set[str]:
        """Names of the arguments of ``read``."""
        return {*signature(self.read).parameters}

    def fits(self, plain: str) -> bool:
        """Tell whether a file may be read, by its name without ``.gz`` and the like."""
        return _compiled(self.patterns).match(plain.lower()) is not None


@cache
def _compiled(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """Join shell patterns to a regular expression."""
    return re.compile("|".join(map(translate, patterns)))


# VASP and its tools rename: vasprun.xml.relax2, vasprun.xml-001.
READERS = {
    "Quantum ESPRESSO": Reader(
        ("*.xml*",),
        read_espresso_xml,
        espresso.MARK,
        projections=espresso_projections.projections_beside,
    ),
    "Quantum ESPRESSO folder": Reader(("*.save",), read_espresso_xml),
    "VASP": Reader(
        ("*.xml*",),
        read_vasprun,
        b"<modeling",
        read_steps=read_vasprun_steps,
        projections=vasp_projections.projections_beside,
    ),
    "VASP HDF5": Reader(("vaspout*.h5*",), read_vaspout),
    "GPAW": Reader(("*.gpw",), read_gpw),
    "ABINIT": Reader(("*_gsr.nc",), read_abinit_gsr),
    "extended XYZ": Reader(("*xyz",), read_extxyz),
    "Quantum ESPRESSO text": Reader(
        ("*.out*", "*.pwo*", "*.log*"),
        read_espresso_text,
        espresso_text.MARK,
        read_steps=read_espresso_text_steps,
    ),
    "CP2K": Reader(("*.out*", "*.log*"), read_cp2k, b"PROGRAM STARTED AT"),
    "CASTEP": Reader(
        ("*.bands*",),
        read_castep,
        b"Number of k-points",
        beside=lambda path: dict(castep.files_beside(path)).values(),
    ),
    # vasprun.xml and vaspout.h5 of the same run have all digits and more checks.
    "VASP text": Reader(
        ("eigenval*",),
        read_eigenval,
        unless=("vasprun*.xml*", "vaspout*.h5*"),
        beside=_vasp_text.files_beside,
    ),
    "VASP DOS": Reader(
        ("doscar*",),
        read_doscar,
        unless=("vasprun*.xml*", "vaspout*.h5*", "EIGENVAL*"),
        beside=_vasp_text.files_beside,
    ),
    "Quantum ESPRESSO DOS": Reader(
        ("*.dos*", "*dos*.dat*", "*dos*.txt"),
        read_espresso_dos,
        b"Int dos(E)",
        beside=espresso_dos.files_beside,
    ),
    "pymatgen": Reader(
        ("*.json*",),
        read_dos_json,
        b"electronic_structure.dos",
        beside=_vasp_text.files_beside,
    ),
    "deepmd-kit": Reader(
        ("type.raw",),
        read_deepmd,
        needs="set.*/dos.npy",
        beside=dos_arrays.files_of_system,
    ),
    "NumPy DOS": Reader(("*dos*.npz",), read_dos_npz),
}
"""
Format -> reader. The first row that fits a file is used.

Files with all digits come before printed ones, and a DOS on a grid comes last.
"""


def may_be_read(name: str) -> bool:
    """Tell whether a reader may read a file of that name."""
    plain = plain_name(name)
    return any(row.fits(plain) for row in READERS.values())


def readers_of(name: str) -> list[Reader]:
    """Find the readers that may read a file of that name."""
    plain = plain_name(name)
    return [row for row in READERS.values() if row.fits(plain)]
