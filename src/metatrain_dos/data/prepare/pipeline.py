"""Turn calculations in a spool into the files of a data set."""

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ...utils.progress import progress
from ..dataset import SPLITS, info_keys, training_frame, write_options
from ..target_spec import TargetSpec
from ..writers import DATASET_FORMATS
from .cache import load, read_sources
from .index import Catalogue
from .workers import Workers, ordered_map


Item = TypeVar("Item")

# Sources, and structures, that a worker is given at a time.
SOURCES_AT_A_TIME = 8
STRUCTURES_AT_A_TIME = 32


def collect(
    sources: list[str],
    spool: Path,
    labels: tuple[str, ...],
    workers: Workers,
    *,
    strict: bool,
) -> Catalogue:
    """
    Read all sources into a spool.

    :param sources: paths
    :param spool: folder of the records
    :param labels: what to remember of each structure, besides numbers
    :param workers: what does the work
    :param strict: whether to stop at the first source that cannot be read
    :return: what was found
    :raises ValueError: if nothing can be read, if it stops, or if workers write
        elsewhere
    """
    catalogue = Catalogue(labels)
    read = partial(read_sources, spool=spool, labels=labels)
    with progress("read", "file", total=len(sources)) as bar:
        batches = _batches(sources, SOURCES_AT_A_TIME)
        for summaries in ordered_map(read, batches, workers):
            for summary in summaries:
                catalogue.add(summary)
                if summary.error is not None and strict:
                    raise ValueError(f"{summary.source}: {summary.error}")
            bar.update(len(summaries))
    if len(catalogue.facts) == 0:
        reasons = [f"{each.source}: {each.reason}" for each in catalogue.unreadable]
        raise ValueError(
            "SOURCES: expected at least one calculation that can be read, got none of "
            f"{len(sources)} files; the first says: {reasons[0]}"
        )
    if not (spool / catalogue.records[-1]).exists():
        raise ValueError(
            f"scheduler: expected workers that write to {spool}, but what they wrote "
            "is not there; prepare the data set in a folder that all machines share"
        )
    return catalogue


def assemble(
    folder: Path,
    catalogue: Catalogue,
    split_of: np.ndarray,
    spec: TargetSpec,
    spool: Path,
    workers: Workers,
    *,
    format: str,
) -> None:
    """
    Write the files of a data set.

    :param folder: where to
    :param catalogue: structures
    :param split_of: number of the split of each structure; negative for none
    :param spec: grid and padding
    :param spool: folder of the records
    :param workers: what does the work
    :param format: one of :data:`~metatrain_dos.data.writers.DATASET_FORMATS`
    """
    kind, keys = DATASET_FORMATS[format], info_keys(spec)
    files = {
        name: name.removesuffix("_set") + kind.suffix
        for number, name in enumerate(SPLITS)
        if (split_of == number).any()
    }
    writers = {
        number: kind(folder / files[name], keys)
        for number, name in enumerate(SPLITS)
        if name in files
    }
    encode = partial(_encode, spool=spool, spec=spec, format=format)
    chosen = np.flatnonzero(split_of >= 0)
    with progress("write", "structure", total=len(chosen)) as bar:
        places = (_place(catalogue, int(i)) for i in chosen)
        batches = _batches(places, STRUCTURES_AT_A_TIME)
        encoded = (
            each for batch in ordered_map(encode, batches, workers) for each in batch
        )
        for i, structure in zip(chosen, encoded, strict=True):
            writers[int(split_of[i])].write(structure)
            bar.update()
    for writer in writers.values():
        writer.close()
    write_options(folder, spec, files)


def _place(catalogue: Catalogue, structure: int) -> tuple[str, int]:
    """Find the record of a structure, and where it is in there."""
    row = catalogue.facts[structure]
    return catalogue.records[row["record"]], int(row["offset"])


def _encode(
    places: list[tuple[str, int]],
    spool: Path,
    spec: TargetSpec,
    format: str,
) -> list[Any]:
    """Make what is written of some structures."""
    keys = info_keys(spec)
    return [
        DATASET_FORMATS[format].encode(training_frame(load(spool, *place), spec), keys)
        for place in places
    ]


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Take some items at a time."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
