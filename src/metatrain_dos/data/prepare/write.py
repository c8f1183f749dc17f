"""Write the files of a data set from its index and the cache."""

import csv
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ...utils.progress import progress
from ..dataset import INFO_KEYS, SPLITS, training_frame, write_options
from ..defaults import SOURCES_FILE
from ..mutual_alignment import counted_from
from ..recipe import Architecture, Recipe, choose_recipe
from ..target_spec import TargetSpec
from ..writers import DATASET_FORMATS
from .cache import load_places
from .index import Index
from .workers import Workers, ordered_map


Item = TypeVar("Item")

STRUCTURES_AT_A_TIME = 32


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
    architecture: Architecture,
) -> Recipe:
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
    :param architecture: network of the options file
    :return: the network and its training run
    """
    kind, results = DATASET_FORMATS[format], common_results(index, split_of >= 0)
    if energy and "energy" not in results:
        raise ValueError(
            "energy: expected an energy in every structure, but some have none; leave "
            "--energy out, or these structures"
        )
    if format == "memmap" and (name := ambiguous_split(index, split_of, spec)):
        raise ValueError(
            f"format: expected a structure of several atoms in the {name}, got only "
            "single atoms, whose targets metatrain takes for targets of atoms in the "
            "memmap format; use --format zip"
        )
    keys = (*INFO_KEYS, *results)
    counts = {
        name: int((split_of == number).sum()) for number, name in enumerate(SPLITS)
    }
    files = {
        name: name.removesuffix("_set") + kind.suffix
        for name, count in counts.items()
        if count
    }
    writers = {
        number: kind(folder / files[name], keys)
        for number, name in enumerate(SPLITS)
        if name in files
    }
    encode = partial(_encode, cache=cache, spec=spec, format=format, keys=keys)
    chosen = np.flatnonzero(split_of >= 0)
    places = _places(index, chosen, split_of, folder / SOURCES_FILE)
    batches = _batches(places, STRUCTURES_AT_A_TIME)
    with progress("write", "structure", total=len(chosen)) as bar:
        for groups in ordered_map(encode, batches, workers):
            for number, structures, encoded in groups:
                writers[number].write(encoded)
                bar.update(structures)
    for writer in writers.values():
        writer.close()
    ranges = index.trusted(spec) - index.rows["lowest"] + index.zeros(spec.reference)
    atoms = int(index.rows["atoms"][split_of == 0].sum())
    targets = atoms if spec.projected else counts["training_set"]
    recipe = choose_recipe(
        counts["training_set"],
        atoms=atoms,
        columns=spec.columns * targets / max(counts["training_set"], 1),
        trusted_range=float(np.median(ranges[split_of == 0])),
        architecture=architecture,
    )
    write_options(
        folder,
        spec,
        files,
        masks=kind.has_masks,
        energy=results if energy else (),
        architecture=recipe.architecture,
        model=recipe.model,
        training=recipe.training,
        loss=recipe.loss,
    )
    return recipe


def ambiguous_split(index: Index, split_of: np.ndarray, spec: TargetSpec) -> str | None:
    """
    Find a split of single atoms, whose targets could be those of atoms.

    :param index: structures
    :param split_of: number of the split of each structure; negative for none
    :param spec: whether targets are those of atoms
    :return: name of the split; ``None`` if there is none
    """
    for number, name in enumerate(SPLITS):
        atoms = index.rows["atoms"][split_of == number]
        if not spec.projected and atoms.max(initial=0) == 1:
            return name
    return None


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


class Place(NamedTuple):
    """Where a structure goes to in the data set, and where it is in the cache."""

    split: int
    number: int
    record: str
    offset: int
    source: str
    moved: float


def _places(
    index: Index, chosen: np.ndarray, split_of: np.ndarray, table: Path
) -> Iterator[Place]:
    """Number the structures of each split, and list their sources in a table."""
    numbers = [0] * len(SPLITS)
    with table.open("w", encoding="utf-8", newline="") as stream:
        lines = csv.writer(stream)
        lines.writerow(["split", "index", "source", "number", "kpoint_error"])
        moved = np.nan_to_num(index.aligned[chosen]).tolist()
        columns = split_of[chosen].tolist(), index.rows[chosen], moved
        for split, row, zero in zip(*columns, strict=True):
            record, number = int(row["record"]), int(row["number"])
            source = index.sources[record]
            source = source.encode("utf-8", "backslashreplace").decode()
            error = row["kpoint_error"]
            known = "" if np.isnan(error) else f"{error:.4f}"
            lines.writerow([SPLITS[split], numbers[split], source, number, known])
            yield Place(
                split,
                numbers[split],
                index.records[record],
                int(row["offset"]),
                f"{source}@{number}",
                zero,
            )
            numbers[split] += 1


def _encode(
    places: list[Place],
    cache: Path,
    spec: TargetSpec,
    format: str,
    keys: tuple[str, ...],
) -> list[tuple[int, int, Any]]:
    """Encode some structures: the number of a split, of its structures, and these."""
    groups: dict[int, list[Any]] = {}
    calculations = load_places(
        cache, [(place.record, place.offset) for place in places]
    )
    for place, calculation in zip(places, calculations, strict=True):
        frame = training_frame(counted_from(calculation, place.moved), spec)
        # A structure from another data set keeps its first source.
        frame.info.setdefault("source", place.source)
        groups.setdefault(place.split, [place.number]).append(frame)
    return [
        (split, len(frames), DATASET_FORMATS[format].encode(frames, keys, first))
        for split, (first, *frames) in groups.items()
    ]


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Take some items at a time."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
