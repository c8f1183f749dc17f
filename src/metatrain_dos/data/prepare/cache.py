"""Keep calculations that have been read, so that no run has to read them twice.

Every source has one record in the spool: its calculations, as they were read, one after
another. A record appears under its name only when it is complete.
"""

import hashlib
import os
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from ase.formula import Formula

from ... import __version__
from ..calculation import Calculation
from ..dos import trusted_limit
from ..readers import read_calculations
from ..references import highest_occupied, missing_electrons
from .cache_format import restore, store


# Part of the name of every record: what is changed here makes old records invisible.
RECORD_VERSION = f"1 {__version__}"

FACTS = np.dtype(
    [
        ("record", np.int32),
        ("number", np.int32),
        ("offset", np.int64),
        ("atoms", np.int32),
        ("channels", np.int8),
        ("lowest", np.float64),
        ("complete", np.float64),
        ("fermi", np.float64),
        ("occupied", np.float64),
        ("electrons", np.float64),
        ("missing", np.float64),
        ("elements", np.uint64, 2),
    ]
)
"""What is remembered of each structure while a data set is made.

``number`` in its source and ``offset`` in the record; spin ``channels``, 0 for
spinors; ``lowest`` eigenvalue, end of the ``complete`` states, ``fermi`` level and
highest ``occupied`` state, eV; ``electrons`` and those ``missing`` up to the Fermi
level. NaN is what is not known. ``elements`` has the bit of each atomic number.
"""


@dataclass(frozen=True)
class SourceSummary:
    """
    Say what was found in a source.

    :param source: path
    :param record: name of the record in the spool
    :param facts: one row for each calculation, ``(calculations,)``
    :param labels: values of the labels that were asked for, for each calculation
    :param error: why the rest of the source, or all of it, cannot be read
    """

    source: str
    record: str
    facts: np.ndarray
    labels: list[tuple[str, ...]]
    error: str | None = None


def read_sources(
    sources: Sequence[str], spool: Path, labels: tuple[str, ...]
) -> list[SourceSummary]:
    """
    Read sources into the spool, unless they are there.

    :param sources: paths
    :param spool: folder of the records
    :param labels: what to tell of each calculation: ``formula``, ``folder``, or a key
        of the info of its structure
    :return: what was found, in the order of the sources
    """
    return [_read_source(source, spool, labels) for source in sources]


def load(spool: Path, record: str, offset: int) -> Calculation:
    """
    Load one calculation.

    :param spool: folder of the records
    :param record: name of the record
    :param offset: where in the record it begins
    :return: the calculation
    """
    with (spool / record).open("rb") as file:
        file.seek(offset)
        return restore(file)


def _read_source(source: str, spool: Path, labels: tuple[str, ...]) -> SourceSummary:
    """Read one source into the spool, unless it is there."""
    try:
        record = _record_name(source)
    except OSError as error:
        return SourceSummary(source, "", np.empty(0, FACTS), [], str(error))
    path = spool / record
    failure = None
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{uuid.uuid4().hex}")  # another machine may be at it
        with part.open("wb") as file:
            failure = _store_all(source, file)
        if failure is not None:
            # Read again by the next run, which may find the file mended.
            record = f"{record}.incomplete"
            path = spool / record
        os.replace(part, path)

    facts: list[tuple[Any, ...]] = []
    told = []
    with path.open("rb") as file:
        end = os.fstat(file.fileno()).st_size
        while (offset := file.tell()) < end:
            calculation = restore(file)
            facts.append((0, len(facts), offset, *_facts(calculation)))
            told.append(tuple(_label(calculation, name, source) for name in labels))
    return SourceSummary(source, record, np.array(facts, FACTS), told, failure)


def _store_all(source: str, file: BinaryIO) -> str | None:
    """Store what can be read of a source; return why the rest cannot be."""
    calculations = _readable(source)
    try:
        for calculation in calculations:
            store(calculation, file)
    except _UnreadableError as error:
        return str(error)
    return None


class _UnreadableError(Exception):
    """Tell what is wrong with a source from what is wrong with the spool."""


def _readable(source: str) -> Iterator[Calculation]:
    """Read a source, whatever is raised by the library that knows its format."""
    try:
        yield from read_calculations(source)
    except MemoryError:
        raise
    except Exception as error:
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        # Who shows the reason shows the source, too.
        reason = str(error).removeprefix(source).lstrip(":, ")
        raise _UnreadableError(f"{kind}{reason}") from error


def _record_name(source: str) -> str:
    """Name the record of a source as it is now."""
    if os.path.isdir(source):
        files = sorted(entry.path for entry in os.scandir(source) if entry.is_file())
    else:
        files = [source]
    stats = [(name, os.stat(name)) for name in files]
    content = [RECORD_VERSION, source]
    content += [f"{name} {stat.st_mtime_ns} {stat.st_size}" for name, stat in stats]
    # Names of files need not be text.
    digest = hashlib.sha256(os.fsencode("\n".join(content))).hexdigest()[:24]
    # A folder of a million files is slow on many file systems.
    return f"{digest[:2]}/{digest[2:]}"


def _facts(calculation: Calculation) -> tuple[Any, ...]:
    """Make what a row of :data:`FACTS` says of a calculation, wherever it is stored."""
    known = [
        calculation.fermi_level,
        highest_occupied(calculation),
        calculation.n_electrons,
        missing_electrons(calculation),
    ]
    bits = sum(1 << int(number) for number in set(calculation.atoms.numbers))
    return (
        len(calculation.atoms),
        0 if calculation.has_spinors else len(calculation.eigenvalues),
        calculation.eigenvalues.min(),
        trusted_limit(calculation.eigenvalues, 0.0),
        *(np.nan if value is None else value for value in known),
        (bits & (2**64 - 1), bits >> 64),
    )


def _label(calculation: Calculation, name: str, source: str) -> str:
    """Tell one thing of a calculation."""
    atoms = calculation.atoms
    if name == "folder":
        return os.path.dirname(source)
    if name == "formula" or (name == "material" and name not in atoms.info):
        return str(Formula(atoms.get_chemical_formula()).reduce()[0])
    return str(atoms.info.get(name, ""))
