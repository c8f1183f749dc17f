r"""
Find the best shift, structure by structure.

The costs are those of :func:`metatrain_dos.alignment.alignment_costs`, in float64 like
there. Arrays: ``p`` prediction ``(samples, components, columns)``, ``t`` target and
``m`` mask ``(samples, components, points)``.
"""

import math

import numpy as np

from ..alignment import TIE_ROUNDINGS
from .jit import compiled


ROUNDING = TIE_ROUNDINGS * float(np.finfo(np.float64).eps)


@compiled
def prepare(
    p: np.ndarray,
    t: np.ndarray,
    m: np.ndarray,
    signals: np.ndarray,
    constants: np.ndarray,
) -> None:
    r"""
    Prepare the correlation of :math:`m (t - \bar t)` with :math:`p - \bar t`.

    The costs see differences of p and t alone. Without the mean of the target in both,
    the numbers are smaller, and so are their rounding errors.

    :param signals: is filled with both, and zeros behind them,
        ``(2, samples, components, size)``
    :param constants: is filled with the mean, the integral of :math:`m (t - \bar t)^2`
        in units of the spacing, and the rounding errors of the costs in these units
    """
    columns, last = p.shape[-1], t.shape[-1] - 1
    signals[0, :, :, last + 1 :] = 0.0
    signals[1, :, :, columns:] = 0.0
    for sample in range(p.shape[0]):
        for component in range(p.shape[1]):
            prediction = p[sample, component]
            target, mask = t[sample, component], m[sample, component]
            masked = signals[0, sample, component]
            centred = signals[1, sample, component]
            total, count = 0.0, 0.0
            for i in range(last + 1):
                total += target[i] if mask[i] else 0.0
                count += 1.0 if mask[i] else 0.0
            mean = total / max(count, 1.0)
            square = 0.0
            for i in range(last + 1):
                masked[i] = target[i] - mean if mask[i] else 0.0
                square += masked[i] * masked[i]
            norm = square
            # the trapezoidal rule halves both ends; a single point spans no interval
            square -= 0.5 * (masked[0] * masked[0] + masked[last] * masked[last])
            masked[0] *= 0.5 if last else 0.0
            masked[last] *= 0.5
            second, fourth = 0.0, 0.0
            for j in range(columns):
                centred[j] = prediction[j] - mean
                of_column = centred[j] * centred[j]
                second += of_column
                fourth += of_column * of_column
            constants[sample, component, 0] = mean
            constants[sample, component, 1] = square
            constants[sample, component, 2] = ROUNDING * (
                math.sqrt(count * fourth) + 2.0 * math.sqrt(norm * second)
            )


@compiled
def best_shifts(
    p: np.ndarray,
    m: np.ndarray,
    centred: np.ndarray,
    correlation: np.ndarray,
    constants: np.ndarray,
    grid_spacing: float,
    tail_weight: float,
    shift: np.ndarray,
) -> None:
    """
    Find the lowest cost of each sample, the first within rounding errors.

    :param centred: prediction less mean, from :func:`prepare`
    :param correlation: of the signals of :func:`prepare`, with as many columns
    :param constants: of :func:`prepare`
    :param shift: is filled with the shifts, ``(samples,)``
    """
    costs = np.empty(p.shape[-1] - m.shape[-1] + 1)
    for sample in range(p.shape[0]):
        costs[:] = 0.0
        rounding = 0.0
        for component in range(p.shape[1]):
            of_target = constants[sample, component, 1]
            overlap = correlation[sample, component]
            for s in range(costs.shape[0]):
                costs[s] += of_target - 2.0 * overlap[s]
            _add_squares(centred[sample, component], m[sample, component], costs)
            _add_tails(p[sample, component], tail_weight, costs)
            rounding += constants[sample, component, 2]
        tied = costs.min() + rounding
        shift[sample] = 0  # stays if the costs are not finite
        for s in range(costs.shape[0]):
            if costs[s] <= tied:
                shift[sample] = s
                break


@compiled
def _add_squares(p: np.ndarray, m: np.ndarray, costs: np.ndarray) -> None:
    """
    Add the integral of ``m p^2`` in the window at each shift.

    For each run of the mask, the sum over it follows the window column by column.
    """
    points, shifts = m.shape[0], costs.shape[0]
    start = 0
    while start < points:
        if not m[start]:
            start += 1
            continue
        end = start  # behind the run
        while end < points and m[end]:
            end += 1
        total = 0.0
        for value in p[start:end]:
            total += value * value
        leaving, entering = p[start:], p[end:]
        for s in range(shifts - 1):
            costs[s] += total
            total += entering[s] * entering[s] - leaving[s] * leaving[s]
        costs[shifts - 1] += total
        start = end
    # the trapezoidal rule halves both ends
    for end in (0, points - 1):
        if m[end]:
            at_end = p[end:]
            for s in range(shifts):
                costs[s] -= 0.5 * at_end[s] * at_end[s]


@compiled
def _add_tails(p: np.ndarray, tail_weight: float, costs: np.ndarray) -> None:
    """Add the integral of ``p^2`` in front of the window at each shift."""
    tail = 0.0
    before = float(p[0]) ** 2
    for s in range(1, costs.shape[0]):
        here = float(p[s]) ** 2
        tail += 0.5 * (before + here)
        before = here
        costs[s] += tail_weight * tail
