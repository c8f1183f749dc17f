"""Find structures that belong together, and divide them among the splits."""

import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...utils.compressed import plain_name
from ..dataset import SPLITS
from ..identity import SIZE, families, join_groups, same_structures, stable_keys
from ..presets import spec_file
from .index import Index
from .options import PrepareOptions
from .split import split


# Groups of --group-by that are not labels.
FAMILY, NONE = "family", "none"


def split_structures(
    options: PrepareOptions,
    fractions: Sequence[float],
    index: Index,
    used: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, str]:
    """
    Divide structures so that those that belong together are in one split.

    :param options: groups, strata, seed, and an earlier data set
    :param fractions: of training, validation and test
    :param index: structures
    :param used: whether a structure is in the data set, ``(structures,)``, bool
    :return: number of the family of each structure, number of its split, both
        ``(structures,)``, -1 if it is not used; and a description of the groups
    :raises ValueError: if a label is missing, or nothing is left for validation
    """
    fingerprints = index.rows["fingerprint"][used]
    sources = index.rows["record"][used]
    old, old_splits = _read_old_split(options.like)
    # Structures of the earlier data set come first, each a source of its own.
    fingerprints = np.concatenate([old, fingerprints])
    is_new = np.arange(len(fingerprints)) >= len(old)
    known = np.concatenate([old_splits, np.full(len(sources), -1)])
    same = same_structures(fingerprints)
    # Extended XYZ may have anything in one file, outputs have the steps of one run.
    names = [plain_name(name).lower().endswith("xyz") for name in index.sources]
    is_run = ~np.array(names)[sources]
    own = np.arange(len(is_new)) + len(index.sources)
    own[is_new] = np.where(is_run, sources, own[is_new])
    family = families(fingerprints, own)

    by = options.group_by or (NONE if options.stratify_by else FAMILY)
    if by == FAMILY:
        groups, keys = family, stable_keys(fingerprints, alike=True)
        grouping = "near relatives stay together"
    else:
        groups, keys = same, stable_keys(fingerprints, alike=False)
        grouping = "each structure on its own"
        if by != NONE:
            numbers, hashes = _label(index, "group_by", by)
            groups = np.concatenate([-1 - np.arange(len(old)), numbers[used]])
            groups = join_groups(groups, same)
            keys[is_new] = hashes[numbers[used]]
            grouping = f"structures of the same {by} stay together"
    strata = None
    if options.stratify_by is not None:
        numbers, _ = _label(index, "stratify_by", options.stratify_by)
        strata = np.concatenate([np.full(len(old), -1), numbers[used]])
        grouping += f", for each {options.stratify_by}"
    # A structure that is in the earlier data set stays where it was.
    _, first, number = np.unique(same, return_index=True, return_inverse=True)
    known = known[first[number]]
    found = split(fractions, options.seed, keys, groups, strata, known)[is_new]
    if not (found == 1).any():
        raise ValueError(
            f"split: expected structures for validation, got none of {len(found)} "
            f"structures in {len(np.unique(groups[is_new]))} groups; give more, or "
            f"smaller groups (--group-by {NONE} splits near relatives, too)"
        )
    split_of = np.full(len(used), -1, dtype=np.int8)
    split_of[used] = found
    related = np.full(len(used), -1)
    related[used] = family[is_new]
    return related, split_of, grouping


def _read_old_split(like: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Read fingerprints and splits of the data set whose grid is used."""
    rows: list[Any] = []
    if like is not None:
        report = spec_file(like).with_name("report.json")
        try:
            content = json.loads(report.read_text("utf-8"))
            rows = [row for row in content["trusted_ranges"] if row["fingerprint"]]
        except (OSError, ValueError, KeyError, TypeError):
            rows = []  # another tool's data set, or an older one: only a grid
    fingerprints = np.array([row["fingerprint"] for row in rows], dtype=np.float64)
    splits = [SPLITS.index(row["split"]) for row in rows]
    return fingerprints.reshape(len(rows), SIZE), np.array(splits, dtype=np.int64)


def _label(index: Index, option: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Look up a label that every structure must have, and the hashes of its values."""
    numbers, known = index.labels(name)
    if "" in known:
        source, _ = index.where(int(np.flatnonzero(numbers == known.index(""))[0]))
        raise ValueError(
            f"{option}: expected {name!r} in the info of every structure, but "
            f"{source} has none; use 'formula' or 'folder'"
        )
    hashes = [zlib.crc32(each.encode("utf-8", "surrogateescape")) for each in known]
    return numbers, np.array(hashes, dtype=np.uint64)
