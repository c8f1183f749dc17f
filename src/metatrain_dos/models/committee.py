"""Average the predictions of several models."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .errors import AlignedDOS, align
from .prediction import PredictedDOS, shifted


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


def combine(
    members: Sequence[PredictedDOS],
    zero: str,
    names: Sequence[str],
    means: Sequence[Mapping[str, float]] | None = None,
) -> PredictedDOS:
    """
    Average predictions that are aligned at their Fermi levels.

    :param members: prediction of each member, relative to its Fermi level
    :param zero: one of :data:`~metatrain_dos.models.defaults.ZEROS`
    :param names: names of the numbers to keep
    :param means: numbers of each member, if they are not those of its prediction
    :return: the mean prediction, and standard deviations over several members
    """
    several = means or [each.numbers for each in members]
    numbers = {
        name: float(np.mean([each[name] for each in several])) for name in several[0]
    }
    at = {
        "fermi": 0.0,
        "vbm": float(np.mean([each.highest_occupied for each in members])),
        "axis": -numbers["axis_zero"],
    }[zero]
    dos = on_first_axis(members, [each.dos for each in members])
    states = on_first_axis(members, [each.states for each in members])
    numbers = shifted(numbers, -at)
    curves = {}
    if len(members) > 1:
        curves["dos_std"] = dos.std(0, ddof=1)
        for name in several[0]:
            spread = np.std([each[name] for each in several], ddof=1)
            numbers[f"{name}_std"] = float(spread)
        # On the axis of the training data, because it is zero on their own.
        numbers["fermi_level_std"] = numbers["axis_zero_std"]
    return PredictedDOS(
        members[0].dos_energies - at,
        dos.mean(0),
        states.mean(0),
        {name: numbers[name] for name in names},
        curves,
        {
            name: on_first_axis(members, [each.parts[name] for each in members]).mean(0)
            for name in members[0].parts
        },
    )


def on_first_axis(
    members: Sequence[PredictedDOS], curves: Sequence[np.ndarray]
) -> np.ndarray:
    """
    Interpolate a curve of each member at the energies of the first one.

    :param members: prediction of each member
    :param curves: curve of each, ``(energies,)``
    :return: interpolated curves, ``(members, energies)``
    """
    return np.array(
        [
            np.interp(members[0].dos_energies, each.dos_energies, curve)
            for each, curve in zip(members, curves, strict=True)
        ]
    )


def _as_column(shift: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return shift.reshape(-1, *[1] * (rows.ndim - 1))
