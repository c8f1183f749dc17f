"""Average the predictions of several models."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .errors import AlignedDOS, align


def align_committee(
    members: Sequence[np.ndarray], targets: Any, mask: Any, **options: Any
) -> tuple[AlignedDOS, np.ndarray]:
    """
    Align the mean prediction of a committee with the targets.

    The zero of each member is its own, so that each is aligned before the mean is
    taken.

    :param members: predictions of each member, ``(samples, ..., columns)``, states/eV
    :param targets: as :func:`~metatrain_dos.models.errors.align` takes them
    :param mask: the same
    :param options: further keywords of that function
    :return: the aligned mean, and the standard deviation over the members, summed over
        components, its root mean square over the trusted range, ``(samples,)``,
        states/eV; NaN for an all-false mask, or a single member
    """
    moved = [members[0]]
    if len(members) > 1:
        shifts = [align(each, targets, mask, **options).shift for each in members]
        columns = np.arange(members[0].shape[-1])
        for each, shift in zip(members[1:], shifts[1:], strict=True):
            at = columns + _as_column(shift - shifts[0], each)
            inside = (at >= 0) & (at < len(columns))
            rows = np.take_along_axis(each, np.where(inside, at, 0), -1)
            moved.append(np.where(inside, rows, 0.0))
    aligned = align(np.mean(moved, 0), targets, mask, **options)
    if len(members) == 1:
        return aligned, np.full(len(members[0]), np.nan)
    at = _as_column(aligned.shift, members[0]) + np.arange(aligned.targets.shape[-1])
    windows = np.array([np.take_along_axis(each, at, -1) for each in moved])
    # Of the sum over components, as a DOS is that of all spins.
    components = tuple(range(2, windows.ndim - 1))
    variance = np.var(windows.sum(components), 0, ddof=1)
    mask = aligned.summed().mask
    points = mask.sum(-1)
    sums = np.where(mask, variance, 0.0).sum(-1)
    return aligned, np.sqrt(sums / np.where(points > 0, points, np.nan))


def _as_column(shift: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return shift.reshape(-1, *[1] * (rows.ndim - 1))
