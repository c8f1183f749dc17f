"""Find zeros for structures that have neither electrons nor a Fermi level."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ase.formula import Formula

from ...utils.progress import progress
from ..grid import LARGEST_SIZE
from ..mutual_alignment import STEP, mutual_zeros
from .cache import load_places
from .index import Index
from .workers import Workers, ordered_map


MOST_KNOWN = 32
"""Structures with a zero of their own that others of one composition are moved to."""


class Group(NamedTuple):
    """Structures of one composition: numbers, places in the cache, and known zeros."""

    members: np.ndarray
    places: list[tuple[str, int]]
    zeros: np.ndarray


def align(index: Index, cache: Path, workers: Workers, smearing: float) -> None:
    """
    Move structures without a zero of their own to where their DOS agree.

    Those of one composition, up to a factor, agree with each other, and with those that
    have a zero.

    :param index: structures; gets their zeros
    :param cache: folder of the records
    :param workers: workers
    :param smearing: standard deviation of the Gaussians, eV
    """
    if not np.isnan(index.known_levels()).any():
        return
    find = partial(_zeros, cache=cache, smearing=smearing)
    groups = list(_groups(index, LARGEST_SIZE / 2 * STEP * smearing))
    with progress("align", "composition", total=len(groups)) as bar:
        for group, zeros in zip(
            groups, ordered_map(find, groups, workers), strict=True
        ):
            is_new = np.isnan(group.zeros)
            index.aligned[group.members[is_new]] = np.array(zeros)[is_new]
            bar.update(1)


def _groups(index: Index, longest: float) -> Iterator[Group]:
    """
    Collect structures that can be aligned, known ones first.

    The grid of the data set refuses by name what is longer than ``longest``, eV.
    """
    zeros = index.known_levels()
    unknown = np.isnan(zeros)
    numbers, compositions = index.labels("composition")
    formulas = [str(Formula(each).reduce()[0]) for each in compositions]
    _, formula = np.unique(formulas, return_inverse=True)
    order = np.lexsort((unknown, formula[numbers]))
    length = index.rows["complete"] - index.rows["lowest"]
    order = order[length[order] < longest]
    limits = np.flatnonzero(np.diff(formula[numbers][order])) + 1
    for members in np.split(order, limits):
        known = int((~unknown[members]).sum())
        members = members[max(known - MOST_KNOWN, 0) :]
        if not unknown[members].any() or len(members) == 1:
            continue
        rows = index.rows[members]
        records = [index.records[i] for i in rows["record"]]
        places = list(zip(records, rows["offset"].tolist(), strict=True))
        yield Group(members, places, zeros[members])


def _zeros(group: Group, cache: Path, smearing: float) -> list[float]:
    """Find the zeros of a group, eV."""
    calculations = load_places(cache, group.places)
    return mutual_zeros(calculations, group.zeros.tolist(), smearing)
