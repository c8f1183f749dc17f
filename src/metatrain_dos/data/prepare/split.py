"""Divide structures among training, validation and test."""

from collections.abc import Sequence

import numpy as np


def parse_fractions(text: str) -> tuple[float, ...]:
    """
    Read fractions from the command line.

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
    keys: np.ndarray,
    groups: np.ndarray,
    strata: np.ndarray | None = None,
    known: np.ndarray | None = None,
) -> np.ndarray:
    """
    Divide structures by a hash of their groups, so that more of them change little.

    The hash of a group is a random number from 0 to 1. Groups below the fraction of
    validation are for validation, those above 1 less the fraction of test are for test,
    but for groups of more than twice the share. At least one group is taken for each.
    With strata, each of them is divided on its own, and groups are taken from both ends
    until the share is filled. The last group is always for training.

    :param fractions: of training, validation and test
    :param seed: seed of the hash
    :param keys: numbers that follow from each structure, ``(structures,)``, uint64; the
        smallest one in a group counts
    :param groups: number of the group of each structure, whose members stay together,
        ``(structures,)``
    :param strata: number of the stratum of each structure, ``(structures,)``; that of
        the first member counts for a group
    :param known: split of each structure in an earlier data set, -1 if it was not
        there, ``(structures,)``; the first member that was there counts for a group
    :return: number of each structure's set in
        :data:`~metatrain_dos.data.dataset.SPLITS`, ``(structures,)``
    """
    _, first, group, sizes = np.unique(
        groups, return_index=True, return_inverse=True, return_counts=True
    )
    smallest = np.full(len(first), np.iinfo(np.uint64).max, dtype=np.uint64)
    np.minimum.at(smallest, group, keys)
    place = _mix(smallest ^ np.uint64(seed)) / 2.0**64

    split_of = np.zeros(len(first), dtype=np.int8)
    is_free = np.ones(len(first), dtype=bool)
    if known is not None:
        there = np.flatnonzero(known >= 0)[::-1]  # the first one is written last
        split_of[group[there]] = known[there]
        is_free[group[there]] = False

    stratum = np.zeros(len(first), int) if strata is None else strata[first]
    order = np.lexsort((place, stratum))
    ends = np.flatnonzero(np.diff(stratum[order])) + 1
    for members in np.split(order, ends):
        total = int(sizes[members].sum())
        left = int((split_of[members] == 0).sum())
        for number, ordered in ((1, members), (2, members[::-1])):
            if fractions[number] == 0:
                continue
            wanted = max(1, round(fractions[number] * total))
            filled = int(sizes[members[split_of[members] == number]].sum())
            candidates = ordered[is_free[ordered] & (split_of[ordered] == 0)]
            small = candidates[sizes[candidates] <= 2 * wanted]
            # Where all groups are large, the smallest one has to do.
            for each in (
                small if len(small) else candidates[sizes[candidates].argsort()]
            ):
                distance = place[each] if number == 1 else 1 - place[each]
                enough = (
                    distance >= fractions[number]
                    if strata is None
                    else filled >= wanted
                )
                if left < 2 or (filled > 0 and enough):
                    break
                split_of[each] = number
                filled += int(sizes[each])
                left -= 1
    found = split_of[group]
    return found if known is None else np.where(known >= 0, known, found)


def _mix(numbers: np.ndarray) -> np.ndarray:
    """Scramble the bits of numbers, ``uint64``, with the finalizer of SplitMix64."""
    numbers = numbers + np.uint64(0x9E3779B97F4A7C15)
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))
