"""From sources to an index, and from an index to the files of a data set."""

import csv
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
from .cache import LABELS, load, read_sources
from .index import Index
from .workers import Workers, ordered_map


Item = TypeVar("Item")

# Sources, and structures, that a worker is given at a time.
SOURCES_AT_A_TIME = 8
STRUCTURES_AT_A_TIME = 32

SOURCES_FILE = "sources.csv"
"""Table in a data set with the source of each structure."""


def read_all(
    sources: list[str],
    cache: Path,
    workers: Workers,
    *,
    labels: Iterable[str],
    smearing: float,
    strict: bool,
) -> Index:
    """
    Read all sources into a cache.

    :param sources: paths
    :param cache: folder of the records
    :param workers: workers
    :param labels: labels of each structure besides :data:`~.cache.LABELS`
    :param smearing: width of the Gaussians with which neutral levels are found, eV
    :param strict: whether to stop at the first source that cannot be read
    :return: index of all structures
    :raises ValueError: if nothing can be read, if it stops, or if workers write
        elsewhere
    """
    names = tuple(dict.fromkeys([*LABELS, *labels]))
    index = Index(names)
    read = partial(read_sources, cache=cache, labels=names, smearing=smearing)
    with progress("read", "file", total=len(sources)) as bar:
        batches = _batches(sources, SOURCES_AT_A_TIME)
        for summaries in ordered_map(read, batches, workers):
            for summary in summaries:
                index.add(summary)
                if summary.error is not None and strict:
                    raise ValueError(str(index.unreadable[-1]))
            bar.update(len(summaries))
    if len(index.rows) == 0:
        raise ValueError(
            "SOURCES: expected at least one calculation that can be read, got none of "
            f"{len(sources)} files; the first says: {index.unreadable[0]}"
        )
    if not (cache / index.records[-1]).exists():
        raise ValueError(
            f"scheduler: expected workers that write to {cache}, but their files are "
            "not there; prepare the data set in a folder that all machines share"
        )
    return index


def write_splits(
    folder: Path,
    index: Index,
    split_of: np.ndarray,
    spec: TargetSpec,
    cache: Path,
    workers: Workers,
    *,
    format: str,
    energy: bool,
) -> None:
    """
    Write the files of a data set.

    :param folder: folder of the data set
    :param index: structures
    :param split_of: number of the split of each structure; negative for none
    :param spec: grid and other settings
    :param cache: folder of the records
    :param workers: workers
    :param format: one of :data:`~metatrain_dos.data.writers.DATASET_FORMATS`
    :param energy: whether the options file has the energy as a second target
    """
    kind, results = DATASET_FORMATS[format], common_results(index, split_of >= 0)
    if energy and "energy" not in results:
        raise ValueError(
            "energy: expected an energy in every structure, but some have none; leave "
            "--energy out, or these structures"
        )
    for number, name in enumerate(SPLITS):
        atoms = index.rows["atoms"][split_of == number]
        if format == "memmap" and len(atoms) and atoms.max() == 1:
            raise ValueError(
                f"format: expected a structure of several atoms in the {name}, got "
                "only single atoms, whose targets metatrain takes for targets of atoms "
                "in the memmap format; use --format zip"
            )
    keys = (*info_keys(spec), *results)
    counts = {
        name: int((split_of == number).sum()) for number, name in enumerate(SPLITS)
    }
    files = {
        name: name.removesuffix("_set") + kind.suffix
        for name, count in counts.items()
        if count
    }
    writers = {name: kind(folder / file, keys) for name, file in files.items()}
    encode = partial(_encode, cache=cache, spec=spec, format=format, keys=keys)
    chosen = np.flatnonzero(split_of >= 0)
    numbers = dict.fromkeys(files, 0)
    with (
        progress("write", "structure", total=len(chosen)) as bar,
        (folder / SOURCES_FILE).open("w", encoding="utf-8", newline="") as stream,
    ):
        table = csv.writer(stream)
        table.writerow(["split", "index", "source", "number"])
        places = (_place(index, int(i)) for i in chosen)
        batches = _batches(places, STRUCTURES_AT_A_TIME)
        encoded = (
            each for batch in ordered_map(encode, batches, workers) for each in batch
        )
        for i, structure in zip(chosen, encoded, strict=True):
            name = SPLITS[split_of[i]]
            writers[name].write(structure)
            source, number = index.where(int(i))
            source = source.encode("utf-8", "backslashreplace").decode()
            table.writerow([name, numbers[name], source, number])
            numbers[name] += 1
            bar.update()
    for writer in writers.values():
        writer.close()
    write_options(
        folder,
        spec,
        files,
        structures=counts["training_set"],
        energy=results if energy else (),
    )


def common_results(index: Index, used: np.ndarray) -> tuple[str, ...]:
    """
    Find the results that all structures have, besides their DOS.

    :param index: structures
    :param used: whether a structure is in the data set, ``(structures,)``, bool
    :return: names such as ``energy``, ``forces``, or keys of numbers in the info
    """
    numbers, names = index.labels("results")
    found = [names[i].split() for i in np.unique(numbers[used])]
    return tuple(name for name in found[0] if all(name in others for others in found))


def _place(index: Index, structure: int) -> tuple[str, int, str]:
    """Find the record of a structure, its position there, and its source."""
    row = index.rows[structure]
    source, number = index.where(structure)
    return index.records[row["record"]], int(row["offset"]), f"{source}@{number}"


def _encode(
    places: list[tuple[str, int, str]],
    cache: Path,
    spec: TargetSpec,
    format: str,
    keys: tuple[str, ...],
) -> list[Any]:
    """Encode some structures for the writer."""
    encoded = []
    for record, offset, source in places:
        frame = training_frame(load(cache, record, offset), spec)
        # A structure from another data set keeps its first source.
        frame.info.setdefault(
            "source", source.encode("utf-8", "backslashreplace").decode()
        )
        encoded.append(DATASET_FORMATS[format].encode(frame, keys))
    return encoded


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Take some items at a time."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
