"""Read finished calculations: the structure, its eigenvalues and k-point weights.

A reader for another code is a module with one function, and one row of :data:`READERS`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...utils.compressed import plain_name
from ...utils.files import refuse_special_file
from ..calculation import Calculation as Calculation
from ..calculation import calculation_to_atoms as calculation_to_atoms
from ..gridded_dos import AnyCalculation
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
from .table import READERS as READERS
from .table import Reader as Reader
from .table import may_be_read as may_be_read
from .table import readers_of
from .vasp import read_vasprun as read_vasprun
from .vasp import read_vasprun_steps as read_vasprun_steps
from .vaspout import read_vaspout as read_vaspout


class NoReaderError(ValueError):
    """No reader reads a file."""


class NoProjectionsError(NoReaderError):
    """The reader of a file does not read projections."""


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
        for row in readers_of(path.name)
        if (not row.needs or any(path.parent.glob(row.needs)))
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


def files_of(path: str | Path, *, projected: bool = False) -> Iterator[Path]:
    """
    Find the files that a calculation is read from, without reading any.

    :param path: file, or a folder that is one calculation
    :param projected: whether projections are read
    :return: these files, and perhaps some that are not read in the end
    """
    path = Path(path)
    rows = readers_of(path.name)
    finders = [row.beside for row in rows]
    finders += [row.projections for row in rows if projected]
    for found in [path, *(each for find in finders if find for each in find(path))]:
        if found.is_dir():
            yield from filter(Path.is_file, found.iterdir())
        elif found is path or found.is_file():  # others may be links to nothing
            yield found


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
    :raises NoReaderError: if no reader reads the file, or its projections that
        ``projected=True`` asks for
    :raises ValueError: if the file cannot be read
    """
    path = Path(path)
    refuse_special_file(path)
    reader = find_reader(path)
    if reader is None:
        raise NoReaderError(f"{path}: {_no_reader(path.name)}")
    if options.get("projected") and "projected" not in reader.options:
        having = [name for name, row in READERS.items() if "projected" in row.options]
        raise NoProjectionsError(
            f"{path}: expected output of {', '.join(having)}, whose projections are "
            "read, got another one; leave it, or --projected, out"
        )
    if steps and reader.read_steps is not None:
        yield from reader.read_steps(path)
        return
    found = reader.read(
        path, **{key: options[key] for key in reader.options & options.keys()}
    )
    yield from found if isinstance(found, Iterator) else (found,)


def _no_reader(name: str) -> str:
    """Explain why no reader fits a file of that name."""
    plain = plain_name(name)
    fitting = [
        f"{format} (which has {row.mark.decode()!r} near its beginning)"
        for format, row in READERS.items()
        if row.mark and row.fits(plain)
    ]
    if fitting:
        return (
            f"expected output of {' or '.join(fitting)}, got other content; check "
            "whether the run began, and with which code"
        )
    better = [file for row in readers_of(name) for file in row.unless]
    if better:
        return f"expected no {' or '.join(better)} beside it; give that file instead"
    known = ", ".join(
        f"{' '.join(row.patterns)} ({format})" for format, row in READERS.items()
    )
    return (
        f"expected a file name like {known}, got {name!r}; rename the file or convert "
        "it to extended XYZ"
    )
