"""Divide structures among training, validation and test."""

from collections.abc import Sequence

import numpy as np


def parse_fractions(text: str) -> tuple[float, ...]:
    """
    Read fractions as they are on a command line.

    :param text: two or three numbers with commas between them: training, validation and
        test
    :return: three fractions whose sum is 1
    :raises ValueError: if they are no fractions, or training or validation is zero
    """
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    fractions = np.array([*numbers, *[0.0] * (3 - len(numbers))])
    if (
        len(numbers) not in (2, 3)
        or not (np.isfinite(fractions).all() and abs(fractions.sum() - 1) < 1e-6)
        or fractions.min() < 0
        or fractions[:2].min() == 0
    ):
        raise ValueError(
            "split: expected fractions for training, validation and test with a sum of "
            f"1, the first two not zero, got {text!r}; 0.8,0.1,0.1 is a good choice"
        )
    return tuple(fractions.tolist())


def split(
    fractions: Sequence[float],
    seed: int,
    groups: np.ndarray,
    strata: np.ndarray,
) -> np.ndarray:
    """
    Divide structures at random.

    In each stratum, groups in random order fill validation up to its share, which is
    one structure at least, then test, and the rest is for training. The last group is
    always for training.

    :param fractions: of training, validation and test
    :param seed: of the random order
    :param groups: number of the group of each structure, whose members stay together,
        ``(structures,)``
    :param strata: number of the stratum of each structure, ``(structures,)``; that of
        the first member counts for a group
    :return: number of each structure's set in
        :data:`~metatrain_dos.data.dataset.SPLITS`, ``(structures,)``
    """
    rng = np.random.default_rng(seed)
    _, first, group, sizes = np.unique(
        groups, return_index=True, return_inverse=True, return_counts=True
    )
    split_of_group = np.zeros(len(first), dtype=np.int8)
    # Groups in the order in which they come, stratum by stratum.
    by_place = np.argsort(first)
    stratum = strata[first][by_place]
    sorted_by_stratum = np.argsort(stratum, kind="stable")
    ends = np.flatnonzero(np.diff(stratum[sorted_by_stratum])) + 1
    families = np.split(sorted_by_stratum, ends)
    for family in sorted(families, key=lambda places: int(places[0])):
        members = by_place[family][rng.permutation(len(family))]
        total = int(sizes[members].sum())
        taken = 0
        for number in (1, 2):
            if fractions[number] == 0:
                continue
            wanted = max(1, round(fractions[number] * total))
            filled = 0
            while filled < wanted and taken < len(members) - 1:
                split_of_group[members[taken]] = number
                filled += int(sizes[members[taken]])
                taken += 1
    return split_of_group[group]
