r"""
Find the best shift, structure by structure.

The costs are those of :func:`metatrain_dos.loss.alignment.alignment_costs`, in units
of the spacing. Correlations in float32, with a bound of their errors, leave few shifts
that may be the best one; their costs are integrated column by column in float64.

Arrays as in :mod:`metatrain_dos.loss.cpu.correlation`.
"""

import numpy as np

from .jit import compiled


@compiled
def best_shifts(
    p: np.ndarray,
    t: np.ndarray,
    m: np.ndarray,
    correlations: np.ndarray,
    constants: np.ndarray,
    tail_weight: float,
    shift: np.ndarray,
) -> None:
    """
    Find the lowest cost of each sample, the first within rounding errors.

    :param correlations: of normalized target and prediction, at each shift and more,
        ``(samples, components, size)``, float32
    :param constants: of :func:`metatrain_dos.loss.cpu.correlation.prepare`
    :param shift: is filled with the shifts, ``(samples,)``
    """
    points = m.shape[-1]
    shifts = p.shape[-1] - points + 1
    costs = np.empty(shifts)
    for sample in range(p.shape[0]):
        costs[:] = 0.0
        error, tie = 0.0, 0.0
        for component in range(p.shape[1]):
            mean, norm, rounding, tied = constants[sample, component]
            _add_squares(
                p[sample, component],
                m[sample, component],
                mean,
                tail_weight,
                costs,
            )
            correlation = correlations[sample, component]
            for s in range(shifts):
                costs[s] -= 2.0 * norm * correlation[s]
            error += tied + 2.0 * rounding
            tie += tied
        shift[sample] = 0  # stays if the costs are not finite
        # Each cost may be off by this error, and all lack a part that no shift changes.
        # Loops, because NumPy's functions take seconds to compile.
        lowest, best, candidates = np.inf, 0, 0
        for s in range(shifts):
            if costs[s] < lowest:
                lowest, best = costs[s], s
        limit = lowest + 2.0 * error + tie
        for s in range(shifts):
            candidates += costs[s] <= limit
        if candidates == 1:
            shift[sample] = best
            continue
        lowest = np.inf
        for s in range(shifts):
            if costs[s] <= limit:
                costs[s] = _cost(p[sample], t[sample], m[sample], s, tail_weight)
                lowest = min(lowest, costs[s])
            else:
                costs[s] = np.inf
        limit = lowest + tie
        for s in range(shifts):
            if costs[s] <= limit:
                shift[sample] = s
                break


@compiled
def _add_squares(
    p: np.ndarray,
    m: np.ndarray,
    mean: float,
    tail_weight: float,
    costs: np.ndarray,
) -> None:
    """
    Add the part that depends on the prediction alone, in units of the spacing.

    That is the integral of ``m (p - mean)^2`` in the window at each shift, and of
    ``p^2`` in front of it. From one shift to the next, each run of the mask loses its
    first column and takes in the one behind its last.
    """
    points, shifts = m.shape[0], costs.shape[0]
    first = 0.0
    for i in range(points):
        square = (p[i] - mean) ** 2
        first += square if m[i] else 0.0
    change = np.zeros(shifts)  # of the cost, from the shift before
    change[0] = first
    edges = np.empty(points + 1, np.int64)
    for i in edges[: _edges(m, edges)]:
        sign = -1.0 if i < points and m[i] else 1.0
        at_edge = p[i:]
        for s in range(shifts - 1):
            change[s + 1] += sign * (at_edge[s] - mean) ** 2
    for s in range(shifts - 1):
        before, here = np.float64(p[s]), np.float64(p[s + 1])
        change[s + 1] += 0.5 * tail_weight * (before * before + here * here)
    total = 0.0
    for s in range(shifts):
        total += change[s]
        costs[s] += total
    # the trapezoidal rule halves both ends
    for i in (0, points - 1):
        if m[i]:
            for s in range(shifts):
                costs[s] -= 0.5 * (p[i + s] - mean) ** 2


@compiled
def _edges(m: np.ndarray, edges: np.ndarray) -> int:
    """
    Find where runs of the mask begin, and where there is the first point behind them.

    :param edges: is filled
    :return: how many there are
    """
    before, here = m[:-1], m[1:]
    found = 0
    if m[0]:
        edges[found] = 0
        found += 1
    for first in range(0, len(here), 64):  # most hold no edge, which is soon seen
        a, b = before[first : first + 64], here[first : first + 64]
        changes = 0
        for i in range(len(a)):
            changes += a[i] != b[i]
        for i in range(len(a) if changes else 0):
            if a[i] != b[i]:
                edges[found] = 1 + first + i
                found += 1
    if m[-1]:
        edges[found] = len(m)
        found += 1
    return found


@compiled
def _cost(
    p: np.ndarray, t: np.ndarray, m: np.ndarray, s: int, tail_weight: float
) -> float:
    """
    Integrate the cost of one shift of one sample, in units of the spacing.

    To numba, a float32 is a float already; only NumPy's name makes it a float64.
    """
    total = 0.0
    last = m.shape[-1] - 1
    for component in range(p.shape[0]):
        window, front = p[component, s:], p[component, : s + 1]
        target, mask = t[component, t.shape[-1] - m.shape[-1] :], m[component]
        for i in range(last + 1):
            total += (np.float64(window[i]) - target[i]) ** 2 if mask[i] else 0.0
        for i in (0, last):
            if mask[i]:
                total -= 0.5 * (np.float64(window[i]) - target[i]) ** 2
        tail = -0.5 * (np.float64(front[0]) ** 2 + np.float64(front[s]) ** 2)
        for j in range(s + 1):
            tail += np.float64(front[j]) ** 2
        total += tail_weight * tail
    return total
