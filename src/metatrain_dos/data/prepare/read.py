"""Read the sources of a data set into an index."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from ...utils.progress import progress
from .cache import find_kept, read_sources
from .find import Found
from .index import Index
from .summary import LABELS
from .workers import Workers, ordered_map


# Most sources, and enough bytes of them, that a worker reads at a time into one file of
# the cache: the more, the fewer small files, and the less, the fairer the shares.
SOURCES_AT_A_TIME = 100
BYTES_AT_A_TIME = 8_000_000
# Shares of each worker at least, if there are few sources.
SHARES = 4


def read_all(
    found: Found,
    cache: Path,
    workers: Workers,
    *,
    labels: Iterable[str],
    smearing: float,
    options: Mapping[str, Any],
    strict: bool,
) -> Index:
    """
    Read all sources into a cache.

    :param found: files that may be sources; those that no reader reads are counted
        there, unless the user has named them
    :param cache: folder of the records
    :param workers: workers
    :param labels: labels of each structure besides :data:`~.summary.LABELS`
    :param smearing: width of the Gaussians with which neutral levels are found, eV
    :param options: keywords of readers
    :param strict: whether to stop at the first source that cannot be read
    :return: index of all structures
    :raises ValueError: if nothing can be read, if it stops, or if workers write
        elsewhere
    """
    sources = found.paths
    names = tuple(dict.fromkeys([*LABELS, *labels]))
    index = Index(names)
    read = partial(
        read_sources, cache=cache, labels=names, smearing=smearing, options=options
    )
    with progress("read", "file", total=len(sources)) as bar:
        kept = find_kept(cache)
        most = min(len(sources) // (SHARES * workers.calls), SOURCES_AT_A_TIME)
        batches = (
            [(source, kept.get(source, [])) for source in batch]
            for batch in _shares(sources, max(most, 1))
        )
        for summaries in ordered_map(read, batches, workers):
            for summary in summaries:
                if summary.unread is not None and summary.source not in found.named:
                    found.unread[summary.unread] += 1
                    continue
                index.add(summary)
                if summary.error is not None and strict:
                    raise ValueError(str(index.unreadable[-1]))
            bar.update(len(summaries))
    if len(index.rows) == 0:
        others = [f"{number} {kind}" for kind, number in found.kinds_unread().items()]
        told = f"there are {', '.join(others) or 'no outputs'}; check the folders"
        if index.unreadable:
            told = f"the first says: {index.unreadable[0]}"
        raise ValueError(
            "SOURCES: expected at least one calculation that can be read, got none of "
            f"{len(sources)} files; {told}"
        )
    if not (cache / index.records[-1]).exists():
        raise ValueError(
            f"scheduler: expected workers that write to {cache}, but their files are "
            "not there; prepare the data set in a folder that all machines share"
        )
    return index


def _shares(sources: list[str], most: int) -> Iterator[list[str]]:
    """Take some sources at a time, fewer if they are large."""
    share: list[str] = []
    size = 0
    for source in sources:
        share.append(source)
        with suppress(OSError):  # which the worker meets, too
            size += os.path.getsize(source)
        if len(share) == most or size >= BYTES_AT_A_TIME:
            yield share
            share, size = [], 0
    if share:
        yield share
