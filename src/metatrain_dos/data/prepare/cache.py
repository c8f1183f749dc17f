"""
Keep calculations that have been read, so that no run reads a source twice.

The calculations of some sources that are read together are in one record, one after
another, and then an index. A record appears under its name only when it is complete.
"""

import hashlib
import json
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from ase.formula import Formula

from ... import __version__
from ...utils.files import BUFFER
from ..calculation import Calculation
from ..gridded_dos import AnyCalculation
from ..identity import SIZE, fingerprint
from ..kpoint_error import kpoint_error
from ..projection import parts_on_atoms
from ..readers import NoProjectionsError, NoReaderError, files_of, read_calculations
from ..references import highest_occupied, missing_electrons, neutral_level
from ..writers import find_result
from . import cache_format
from .find import kind_of


# Part of the state of every source: a new version makes old records invisible.
RECORD_VERSION = f"5 {__version__}"

ROW = np.dtype(
    [
        ("record", np.int32),
        ("number", np.int32),
        ("offset", np.int64),
        ("step", np.int32),
        ("steps", np.int32),
        ("atoms", np.int32),
        ("channels", np.int8),
        ("is_exact", np.bool_),
        ("mesh", np.int32),
        ("bands", np.int32),
        ("resolution", np.float64),
        ("lowest", np.float64),
        ("complete", np.float64),
        ("fermi", np.float64),
        ("occupied", np.float64),
        ("neutral", np.float64),
        ("electrons", np.float64),
        ("missing", np.float64),
        ("kpoint_error", np.float64),
        ("on_atoms", np.float64),
        ("empty_on_atoms", np.float64),
        ("fingerprint", np.float64, SIZE),
    ]
)
"""
Numbers that are kept in memory for each structure; NaN if unknown.

``number`` in its source and ``offset`` in the record; ``step`` of the ``steps`` in its
file; spin ``channels``, 0 for spinors;
whether eigenvalues have more than printed digits (``is_exact``); k-points of the full
``mesh`` and ``bands``, 0 for a DOS on a grid, whose smearing and steps limit its
``resolution``, eV; ``lowest`` state, end of the ``complete`` states, ``fermi`` level,
highest ``occupied`` state and ``neutral`` level, eV; ``electrons`` and those
``missing`` up to the Fermi level; ``kpoint_error`` of the DOS, as a fraction of its
size; part of the occupied states that projections have ``on_atoms``, and of the empty
ones.
"""

# Bytes at the end of a record that tell the size of its index.
INDEX_SIZE = 8

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
    :param record: name of the record in the cache that it is in
    :param rows: one row of :data:`ROW` for each calculation, ``(calculations,)``
    :param labels: values of the labels for each calculation
    :param error: reason why all or the rest of the source cannot be read
    :param unread: kind of file if no reader reads it, perhaps without a name; ``None``
        for others
    """

    source: str
    record: str
    rows: np.ndarray
    labels: list[tuple[str, ...]]
    error: str | None = None
    unread: str | None = None


class Kept(NamedTuple):
    """
    A source that an earlier run has read to its end.

    :param state: state in which it was
    :param record: name of the record that it is in
    :param start: position of its first calculation
    :param end: position after the last one
    """

    state: str
    record: str
    start: int
    end: int


def find_kept(cache: Path) -> dict[str, Kept]:
    """
    Find the sources that earlier runs have read.

    :param cache: folder of the records
    :return: path of each source -> where it is
    """
    kept = {}
    for path in cache.glob("*.record"):
        with path.open("rb") as file:
            file.seek(-INDEX_SIZE, os.SEEK_END)
            size = int.from_bytes(file.read(INDEX_SIZE), "little")
            file.seek(-INDEX_SIZE - size, os.SEEK_END)
            for source, state, start, end in json.loads(file.read(size)):
                kept[source] = Kept(state, path.name, start, end)
    return kept


def read_sources(
    sources: Sequence[tuple[str, Kept | None]],
    cache: Path,
    labels: tuple[str, ...],
    smearing: float,
    options: Mapping[str, Any] | None = None,
) -> list[SourceSummary]:
    """
    Read sources into one record of the cache, unless they are in another.

    :param sources: paths, each with what an earlier run has kept of it
    :param cache: folder of the records
    :param labels: labels of each calculation: one of :data:`LABELS`, ``formula``,
        ``folder``, or a key of the info of its structure
    :param smearing: width of the Gaussians for neutral levels and k-point errors, eV
    :param options: keywords of readers
    :return: their content, in the order of the sources
    """
    cache.mkdir(parents=True, exist_ok=True)
    record = f"{uuid.uuid4().hex}.record"  # another machine may be at the same sources
    part = cache / f"{record}.part"
    summaries = []
    read = []
    try:
        with part.open("wb", BUFFER) as file:
            for source, kept in sources:
                try:
                    state = _state(source, options or {})
                except OSError as error:
                    rows = np.empty(0, ROW)
                    summaries.append(SourceSummary(source, "", rows, [], str(error)))
                    continue
                if kept is None or kept.state != state:
                    start, found = file.tell(), _read(source, file, options or {})
                    summary = _summarize(source, record, found, labels, smearing)
                    # The next run reads a faulty one again: it may have been mended.
                    if summary.error is None:
                        read.append((source, state, start, file.tell()))
                else:
                    found = _load_all(cache, kept)
                    summary = _summarize(source, kept.record, found, labels, smearing)
                summaries.append(summary)
            is_empty = file.tell() == 0
            index = json.dumps(read).encode()
            file.write(index + len(index).to_bytes(INDEX_SIZE, "little"))
        if not is_empty:
            part.replace(cache / record)
    finally:
        part.unlink(missing_ok=True)
    return summaries


def load_places(
    cache: Path, places: Iterable[tuple[str, int]]
) -> Iterator[AnyCalculation]:
    """
    Load calculations, and open a record once for all that follow each other in it.

    :param cache: folder of the records
    :param places: name of the record of each calculation, and position in it
    :return: the calculations
    """
    for record, some in groupby(places, lambda place: place[0]):
        with (cache / record).open("rb", BUFFER) as file:
            for _, offset in some:
                file.seek(offset)
                yield cache_format.load(file)


def _summarize(
    source: str,
    record: str,
    found: Iterator[tuple[int, AnyCalculation]],
    labels: tuple[str, ...],
    smearing: float,
) -> SourceSummary:
    """Describe the calculations of a source, each with its position in a record."""
    rows: list[tuple[Any, ...]] = []
    values = []
    failure = unread = None
    try:
        for offset, calculation in found:
            rows.append((0, len(rows), offset, *_numbers(calculation, smearing)))
            values.append(tuple(_label(calculation, name, source) for name in labels))
    except _UnreadableError as error:
        failure = str(error)
        unread = _kind_if_unread(source, error.__cause__)
    return SourceSummary(source, record, np.array(rows, ROW), values, failure, unread)


def _kind_if_unread(source: str, error: BaseException | None) -> str | None:
    """Tell the kind of a file that no reader reads; ``None`` of others."""
    if isinstance(error, NoProjectionsError):
        return "outputs without projections"
    # A run that died at once leaves an empty file, which must not go unnoticed.
    if isinstance(error, NoReaderError) and os.path.getsize(source) > 0:
        return kind_of(os.path.basename(source)) or ""
    return None


def _read(
    source: str, file: BinaryIO, options: Mapping[str, Any]
) -> Iterator[tuple[int, AnyCalculation]]:
    """Read a source, and write its calculations, each at a position, to a record."""
    for calculation in _readable(source, options):
        offset = file.tell()
        cache_format.dump(calculation, file)
        yield offset, calculation


def _load_all(cache: Path, kept: Kept) -> Iterator[tuple[int, AnyCalculation]]:
    """Load the calculations of a source, with their positions in its record."""
    with (cache / kept.record).open("rb", BUFFER) as file:
        file.seek(kept.start)
        while (offset := file.tell()) < kept.end:
            yield offset, cache_format.load(file)


class _UnreadableError(Exception):
    """A fault of the source, and not of the cache."""


def _readable(source: str, options: Mapping[str, Any]) -> Iterator[AnyCalculation]:
    """Read a source, whatever the library that knows its format raises."""
    try:
        yield from read_calculations(source, **options)
    except MemoryError:
        raise
    except Exception as error:
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        # The report shows the source beside the reason.
        reason = str(error).removeprefix(source).lstrip(":, ")
        raise _UnreadableError(f"{kind}{reason}") from error


def _state(source: str, options: Mapping[str, Any]) -> str:
    """Name the present state of a source."""
    files = files_of(source, projected=options.get("projected", False))
    stats = [(name, os.stat(name)) for name in sorted({str(file) for file in files})]
    content = [RECORD_VERSION, source, *(f"{k} {v}" for k, v in options.items())]
    content += [f"{name} {stat.st_mtime_ns} {stat.st_size}" for name, stat in stats]
    # Names of files need not be text.
    return hashlib.sha256(os.fsencode("\n".join(content))).hexdigest()[:24]


def _numbers(calculation: AnyCalculation, smearing: float) -> tuple[Any, ...]:
    """Compute a row of :data:`ROW` from ``step`` on."""
    mesh = bands = 0
    is_exact, error = False, None
    parts = np.nan, np.nan
    if isinstance(calculation, Calculation):
        energies, weights = calculation.eigenvalues, calculation.kpoint_weights
        printed = np.abs(energies - np.round(energies, PRINTED_DIGITS)).max() < 1e-9
        is_exact = not printed
        # A point that no symmetry maps to another one has the smallest weight.
        mesh = min(round(weights.sum() / weights.min()), 2**31 - 1)
        bands = energies.shape[-1]
        error = kpoint_error(calculation, smearing)
        parts = parts_on_atoms(calculation)
    known = [
        calculation.fermi_level,
        highest_occupied(calculation),
        neutral_level(calculation, smearing),
        calculation.n_electrons,
        missing_electrons(calculation),
        error,
    ]
    return (
        calculation.step,
        calculation.steps,
        len(calculation.atoms),
        calculation.channels,
        is_exact,
        mesh,
        bands,
        calculation.resolution,
        calculation.lowest,
        calculation.complete,
        *(np.nan if value is None else value for value in known),
        *parts,
        fingerprint(calculation.atoms),
    )


def _label(calculation: AnyCalculation, name: str, source: str) -> str:
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
