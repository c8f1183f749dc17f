"""
Keep calculations that have been read, so that no run reads a source twice.

Each source has one record in the cache: all its calculations, one after another. A
record appears under its name only when it is complete.
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
from ..identity import SIZE, fingerprint
from ..readers import read_calculations
from ..references import highest_occupied, missing_electrons, neutral_level
from ..writers import find_result
from . import cache_format


# Part of the name of every record: a new version makes old records invisible.
RECORD_VERSION = f"2 {__version__}"

ROW = np.dtype(
    [
        ("record", np.int32),
        ("number", np.int32),
        ("offset", np.int64),
        ("atoms", np.int32),
        ("channels", np.int8),
        ("is_exact", np.bool_),
        ("mesh", np.int32),
        ("bands", np.int32),
        ("lowest", np.float64),
        ("complete", np.float64),
        ("fermi", np.float64),
        ("occupied", np.float64),
        ("neutral", np.float64),
        ("electrons", np.float64),
        ("missing", np.float64),
        ("fingerprint", np.float64, SIZE),
    ]
)
"""
Numbers that are kept in memory for each structure; NaN if unknown.

``number`` in its source and ``offset`` in the record; spin ``channels``, 0 for spinors;
whether eigenvalues have more than printed digits (``is_exact``); k-points of the full
``mesh``; ``lowest`` eigenvalue, end of the ``complete`` states, ``fermi`` level,
highest ``occupied`` state and ``neutral`` level, eV; ``electrons`` and those
``missing`` up to the Fermi level.
"""

PRINTED_DIGITS = 4
"""Decimals of eigenvalues (eV) in the text output of VASP and Quantum ESPRESSO."""

LABELS = ("composition", "material", "results")
"""
Labels of every structure: chemical formula; ``material`` of its info, or its reduced
formula; and names of its further results, such as the energy.
"""

RESULTS = ("energy", "forces", "stress")
"""Results of a calculation that metatrain can train on, besides numbers in the info."""


@dataclass(frozen=True)
class SourceSummary:
    """
    The content of a source.

    :param source: path
    :param record: name of its record in the cache
    :param rows: one row of :data:`ROW` for each calculation, ``(calculations,)``
    :param labels: values of the labels for each calculation
    :param error: reason why all or the rest of the source cannot be read
    """

    source: str
    record: str
    rows: np.ndarray
    labels: list[tuple[str, ...]]
    error: str | None = None


def read_sources(
    sources: Sequence[str],
    cache: Path,
    labels: tuple[str, ...],
    smearing: float,
) -> list[SourceSummary]:
    """
    Read sources into the cache, unless they are there.

    :param sources: paths
    :param cache: folder of the records
    :param labels: labels of each calculation: one of :data:`LABELS`, ``formula``,
        ``folder``, or a key of the info of its structure
    :param smearing: width of the Gaussians with which neutral levels are found, eV
    :return: their content, in the order of the sources
    """
    return [_read_source(source, cache, labels, smearing) for source in sources]


def load(cache: Path, record: str, offset: int) -> Calculation:
    """
    Load one calculation.

    :param cache: folder of the records
    :param record: name of the record
    :param offset: position in the record
    :return: the calculation
    """
    with (cache / record).open("rb") as file:
        file.seek(offset)
        return cache_format.load(file)


def _read_source(
    source: str, cache: Path, labels: tuple[str, ...], smearing: float
) -> SourceSummary:
    """Read one source into the cache, unless it is there."""
    try:
        record = _record_name(source)
    except OSError as error:
        return SourceSummary(source, "", np.empty(0, ROW), [], str(error))
    path = cache / record
    failure = None
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{uuid.uuid4().hex}")  # another machine may be at it
        with part.open("wb") as file:
            failure = _dump_all(source, file)
        if failure is not None:
            # The next run reads it again, as the file may have been mended.
            record = f"{record}.incomplete"
            path = cache / record
        os.replace(part, path)

    rows: list[tuple[Any, ...]] = []
    values = []
    with path.open("rb") as file:
        end = os.fstat(file.fileno()).st_size
        while (offset := file.tell()) < end:
            calculation = cache_format.load(file)
            rows.append((0, len(rows), offset, *_numbers(calculation, smearing)))
            values.append(tuple(_label(calculation, name, source) for name in labels))
    return SourceSummary(source, record, np.array(rows, ROW), values, failure)


def _dump_all(source: str, file: BinaryIO) -> str | None:
    """Write all readable calculations of a source; return why the rest is missing."""
    try:
        for calculation in _readable(source):
            cache_format.dump(calculation, file)
    except _UnreadableError as error:
        return str(error)
    return None


class _UnreadableError(Exception):
    """A fault of the source, and not of the cache."""


def _readable(source: str) -> Iterator[Calculation]:
    """Read a source, whatever the library that knows its format raises."""
    try:
        yield from read_calculations(source)
    except MemoryError:
        raise
    except Exception as error:
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        # The report shows the source beside the reason.
        reason = str(error).removeprefix(source).lstrip(":, ")
        raise _UnreadableError(f"{kind}{reason}") from error


def _record_name(source: str) -> str:
    """Name the record of a source in its present state."""
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


def _numbers(calculation: Calculation, smearing: float) -> tuple[Any, ...]:
    """Compute a row of :data:`ROW` from ``atoms`` on."""
    energies, weights = calculation.eigenvalues, calculation.kpoint_weights
    known = [
        calculation.fermi_level,
        highest_occupied(calculation),
        neutral_level(calculation, smearing),
        calculation.n_electrons,
        missing_electrons(calculation),
    ]
    printed = np.abs(energies - np.round(energies, PRINTED_DIGITS)).max() < 1e-9
    return (
        len(calculation.atoms),
        0 if calculation.has_spinors else len(energies),
        not printed,
        # A point that no symmetry maps to another one has the smallest weight.
        min(round(weights.sum() / weights.min()), 2**31 - 1),
        energies.shape[-1],
        energies.min(),
        trusted_limit(energies, 0.0),
        *(np.nan if value is None else value for value in known),
        fingerprint(calculation.atoms),
    )


def _label(calculation: Calculation, name: str, source: str) -> str:
    """Find one label of a calculation."""
    atoms = calculation.atoms
    if name == "folder":
        return os.path.dirname(source)
    if name == "composition":
        return str(atoms.get_chemical_formula())
    if name == "results":
        found = [key for key in RESULTS if find_result(atoms, key) is not None]
        numbers = [
            key
            for key, value in atoms.info.items()
            if key not in RESULTS and isinstance(value, (int, float, np.number))
        ]
        return " ".join([*found, *sorted(numbers)])
    if name == "formula" or (name == "material" and name not in atoms.info):
        return str(Formula(atoms.get_chemical_formula()).reduce()[0])
    return str(atoms.info.get(name, ""))
