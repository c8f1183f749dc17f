"""Read finished calculations: the structure, its eigenvalues and k-point weights.

A reader for another code is a module with one function, and one row of :data:`READERS`.
"""

from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple

from ...utils.compressed import plain_name
from ...utils.files import refuse_special_file
from ..calculation import Calculation as Calculation
from ..calculation import calculation_to_atoms as calculation_to_atoms
from ..gridded_dos import AnyCalculation
from . import espresso, espresso_text
from ._ase import calculation_from_ase as calculation_from_ase
from ._common import head
from .abinit import read_abinit_gsr as read_abinit_gsr
from .castep import read_castep as read_castep
from .cp2k import read_cp2k as read_cp2k
from .dos_arrays import read_deepmd as read_deepmd
from .dos_arrays import read_dos_json as read_dos_json
from .dos_arrays import read_dos_npz as read_dos_npz
from .doscar import read_doscar as read_doscar
from .eigenval import read_eigenval as read_eigenval
from .espresso import read_espresso_xml as read_espresso_xml
from .espresso_dos import read_espresso_dos as read_espresso_dos
from .espresso_text import read_espresso_text as read_espresso_text
from .espresso_text import read_espresso_text_steps as read_espresso_text_steps
from .extxyz import read_extxyz as read_extxyz
from .gpaw import read_gpw as read_gpw
from .vasp import read_vasprun as read_vasprun
from .vasp import read_vasprun_steps as read_vasprun_steps
from .vaspout import read_vaspout as read_vaspout


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
    """

    patterns: tuple[str, ...]
    read: Callable[..., AnyCalculation | Iterator[AnyCalculation]]
    mark: bytes = b""
    unless: tuple[str, ...] = ()
    needs: str = ""
    read_steps: Callable[[Path], Iterator[Calculation]] | None = None

    @property
    def options(self) -> set[str]:
        """Names of the arguments of ``read``."""
        return {*signature(self.read).parameters}

    def fits(self, name: str) -> bool:
        """Tell whether a file of that name may be read."""
        name = plain_name(name).lower()
        return any(fnmatch(name, pattern) for pattern in self.patterns)


# VASP and its tools rename: vasprun.xml.relax2, vasprun.xml-001.
READERS = {
    "Quantum ESPRESSO": Reader(("*.xml*",), read_espresso_xml, espresso.MARK),
    "Quantum ESPRESSO folder": Reader(("*.save",), read_espresso_xml),
    "VASP": Reader(
        ("*.xml*",),
        read_vasprun,
        b"<modeling",
        read_steps=read_vasprun_steps,
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
    "CASTEP": Reader(("*.bands*",), read_castep, b"Number of k-points"),
    # vasprun.xml and vaspout.h5 of the same run have all digits and more checks.
    "VASP text": Reader(
        ("eigenval*",), read_eigenval, unless=("vasprun*.xml*", "vaspout*.h5*")
    ),
    "VASP DOS": Reader(
        ("doscar*",),
        read_doscar,
        unless=("vasprun*.xml*", "vaspout*.h5*", "EIGENVAL*"),
    ),
    "Quantum ESPRESSO DOS": Reader(
        ("*.dos*", "*dos*.dat*", "*dos*.txt"),
        read_espresso_dos,
        b"Int dos(E)",
    ),
    "pymatgen": Reader(("*.json*",), read_dos_json, b"electronic_structure.dos"),
    "deepmd-kit": Reader(("type.raw",), read_deepmd, needs="set.*/dos.npy"),
    "NumPy DOS": Reader(("*dos*.npz",), read_dos_npz),
}
"""
Format -> reader. The first row that fits a file is used.

Files with all digits come before printed ones, and a DOS on a grid comes last.
"""


def find_reader(path: str | Path) -> Reader | None:
    """
    Find the reader of a file without reading it.

    Names decide first, at no cost; only a file whose name fits a reader with a mark is
    opened, to look at its beginning. A file that cannot be opened gets the first reader
    that its name fits, whose error says why.

    :param path: file, or a folder that is one calculation
    :return: the reader; ``None`` for files of another kind
    """
    path = Path(path)
    fitting = [
        row
        for row in READERS.values()
        if row.fits(path.name)
        and (not row.needs or any(path.parent.glob(row.needs)))
        and not any(any(path.parent.glob(pattern)) for pattern in row.unless)
    ]
    if any(row.mark for row in fitting):
        try:
            refuse_special_file(path)
            beginning = head(path)
        except Exception:  # also of a damaged file, in the words of each library
            return fitting[0]
        fitting = [row for row in fitting if row.mark in beginning]
    return fitting[0] if fitting else None


def read_calculations(
    path: str | Path, *, steps: bool = False, **options: Any
) -> Iterator[AnyCalculation]:
    """
    Read all calculations in a file, with the reader of :func:`find_reader`.

    :param path: file to read
    :param steps: whether to read all steps of a relaxation or trajectory that have
        eigenvalues, and not only the last
    :param options: keywords of readers, for those that have them
    :return: calculations in the order of the file
    :raises ValueError: if the file is of no known format, or cannot be read
    """
    path = Path(path)
    refuse_special_file(path)
    reader = find_reader(path)
    if reader is None:
        raise ValueError(f"{path}: {_no_reader(path.name)}")
    if steps and reader.read_steps is not None:
        yield from reader.read_steps(path)
        return
    found = reader.read(
        path, **{key: options[key] for key in reader.options & options.keys()}
    )
    yield from found if isinstance(found, Iterator) else (found,)


def _no_reader(name: str) -> str:
    """Explain why no reader fits a file of that name."""
    fitting = [
        f"{format} (which has {row.mark.decode()!r} near its beginning)"
        for format, row in READERS.items()
        if row.mark and row.fits(name)
    ]
    if fitting:
        return (
            f"expected output of {' or '.join(fitting)}, got other content; check "
            "whether the run began, and with which code"
        )
    better = [file for row in READERS.values() if row.fits(name) for file in row.unless]
    if better:
        return f"expected no {' or '.join(better)} beside it; give that file instead"
    known = ", ".join(
        f"{' '.join(row.patterns)} ({format})" for format, row in READERS.items()
    )
    return (
        f"expected a file name like {known}, got {name!r}; rename the file or convert "
        "it to extended XYZ"
    )
