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
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from ... import __version__
from ...utils.files import BUFFER
from ..gridded_dos import AnyCalculation
from ..readers import files_of, read_calculations
from . import cache_format
from .summary import ROW, SourceSummary, UnreadableError, summarize


# Part of the state of every source: a new version makes old records invisible.
RECORD_VERSION = f"5 {__version__}"

# Bytes at the end of a record that tell the size of its index.
INDEX_SIZE = 8


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


def find_kept(cache: Path) -> dict[str, list[Kept]]:
    """
    Find the sources that earlier runs have read.

    :param cache: folder of the records
    :return: path of each source -> where it is, once for each state
    """
    kept: dict[str, list[Kept]] = {}
    for path in cache.glob("*.record"):
        with path.open("rb") as file:
            file.seek(-INDEX_SIZE, os.SEEK_END)
            size = int.from_bytes(file.read(INDEX_SIZE), "little")
            file.seek(-INDEX_SIZE - size, os.SEEK_END)
            for source, state, start, end in json.loads(file.read(size)):
                kept.setdefault(source, []).append(Kept(state, path.name, start, end))
    return kept


def read_sources(
    sources: Sequence[tuple[str, Sequence[Kept]]],
    cache: Path,
    labels: tuple[str, ...],
    smearing: float,
    options: Mapping[str, Any] | None = None,
) -> list[SourceSummary]:
    """
    Read sources into one record of the cache, unless they are in another.

    :param sources: paths, each with what earlier runs have kept of it
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
                same = next((each for each in kept if each.state == state), None)
                if same is None:
                    start, found = file.tell(), _read(source, file, options or {})
                    summary = summarize(source, record, found, labels, smearing)
                    # The next run reads a faulty one again: it may have been mended.
                    if summary.error is None:
                        read.append((source, state, start, file.tell()))
                else:
                    found = _load_all(cache, same)
                    summary = summarize(source, same.record, found, labels, smearing)
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
        raise UnreadableError(f"{kind}{reason}") from error


def _state(source: str, options: Mapping[str, Any]) -> str:
    """Name the present state of a source."""
    files = files_of(source, projected=options.get("projected", False))
    stats = [(name, os.stat(name)) for name in sorted({str(file) for file in files})]
    content = [RECORD_VERSION, source, *(f"{k} {v}" for k, v in options.items())]
    content += [f"{name} {stat.st_mtime_ns} {stat.st_size}" for name, stat in stats]
    # Names of files need not be text.
    return hashlib.sha256(os.fsencode("\n".join(content))).hexdigest()[:24]
