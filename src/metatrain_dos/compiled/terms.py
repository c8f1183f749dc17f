r"""
Compute the terms of the loss and its gradient, structure by structure.

The equations are those of :mod:`metatrain_dos.functional`; ``d_x`` is the derivative of
the loss by ``x``. The trapezoidal rule halves the first and the last point of each
integral, and a single point spans no interval.

Arrays: ``p`` prediction ``(samples, components, columns)``, ``t`` target and ``m`` mask
``(samples, components, points)``.
"""

import numpy as np

from ..functional import STENCIL
from .jit import compiled


A0, A1, A2, A3, A4 = STENCIL


@compiled
def weighted_terms(
    p: np.ndarray,
    t: np.ndarray,
    m: np.ndarray,
    shift: np.ndarray,
    grad_weight: float,
    int_weight: float,
    grid_spacing: float,
    tail_weight: float,
    terms: np.ndarray,
    gradient: np.ndarray,
) -> None:
    """
    Compute the terms of each sample at its shift.

    :param terms: is filled with the masked term and the tail, the gradient and the
        cumulative term, times their weights, ``(samples, 3)``
    :param gradient: is filled with the derivative of their sum, shape of ``p``; may be
        empty
    """
    points, columns = t.shape[-1], p.shape[-1]
    e, c, d_e = np.empty(points), np.empty(points), np.empty(points)
    d_p = np.empty(columns)
    for sample in range(p.shape[0]):
        dos, slope, integral = 0.0, 0.0, 0.0
        s = shift[sample]
        for component in range(p.shape[1]):
            prediction, mask = p[sample, component], m[sample, component]
            window, target = prediction[s : s + points], t[sample, component]
            for i in range(points):
                e[i] = window[i] - target[i] if mask[i] else 0.0
            dos += _masked(e, grid_spacing, d_e)
            if int_weight > 0.0:
                integral += _cumulative(e, mask, grid_spacing, int_weight, c, d_e)

            d_p[:] = 0.0
            d_window = d_p[s : s + points]
            for i in range(points):
                d_window[i] = d_e[i] if mask[i] else 0.0
            if tail_weight > 0.0:
                front = prediction[: s + 1]
                dos += _front_tail(front, grid_spacing, tail_weight, d_p)
            if grad_weight > 0.0:
                slope += _gradient(prediction, mask, s, grid_spacing, grad_weight, d_p)

            # No term sees every column, but a prediction that is not finite is broken.
            total = 0.0
            for j in range(columns):
                total += prediction[j]
            dos += 0.0 * total
            if gradient.size:
                gradient[sample, component, :] = d_p
        terms[sample, 0] = dos
        terms[sample, 1] = slope
        terms[sample, 2] = integral


@compiled
def _masked(e: np.ndarray, h: float, d_e: np.ndarray) -> float:
    """Integrate ``e`` squared; ``d_e`` is filled with the derivative."""
    last = e.shape[0] - 1
    total = 0.0
    for i in range(last + 1):
        total += e[i] * e[i]
        d_e[i] = 2.0 * h * e[i]
    total -= 0.5 * (e[0] * e[0] + e[last] * e[last])
    d_e[0] *= 0.5 if last else 0.0
    d_e[last] *= 0.5
    return h * total


@compiled
def _cumulative(
    e: np.ndarray,
    m: np.ndarray,
    h: float,
    weight: float,
    c: np.ndarray,
    d_e: np.ndarray,
) -> float:
    """
    Integrate the square of the running integral of ``e``, and add to its derivative.

    :param c: room for the running integral, in units of ``h``, which begins behind the
        first point
    """
    last = e.shape[0] - 1
    if last < 2:
        return 0.0
    running, before, total = 0.0, e[0], 0.0
    for i in range(1, last + 1):
        running += 0.5 * (before + e[i])
        before = e[i]
        c[i] = running if m[i] else 0.0
        total += c[i] * c[i]
    total -= 0.5 * (c[1] * c[1] + c[last] * c[last])
    c[1] *= 0.5
    c[last] *= 0.5
    # half of e[i] is in c[i], and all of it in those behind
    scale = 2.0 * h**3 * weight
    behind = 0.0
    for i in range(last, 0, -1):
        d_e[i] += scale * (behind + 0.5 * c[i])
        behind += c[i]
    d_e[0] += 0.5 * scale * behind
    return h**3 * weight * total


@compiled
def _front_tail(front: np.ndarray, h: float, weight: float, d_p: np.ndarray) -> float:
    """Integrate ``front`` squared, and add to the derivative."""
    last = front.shape[0] - 1
    if last == 0:
        return 0.0
    scale = 2.0 * h * weight
    total = 0.0
    for j in range(last + 1):
        total += front[j] * front[j]
        d_p[j] += scale * front[j]
    for j in (0, last):
        total -= 0.5 * front[j] * front[j]
        d_p[j] -= 0.5 * scale * front[j]
    return h * weight * total


@compiled
def _gradient(
    p: np.ndarray, m: np.ndarray, s: int, h: float, weight: float, d_p: np.ndarray
) -> float:
    """Integrate the slope of ``p`` squared where it is free, add to the derivative."""
    columns, points = p.shape[0], m.shape[0]
    if columns < 6:  # one slope at most
        return 0.0
    total = 0.0
    for j in range(max(s, 4), columns):
        if j - s >= points or not m[j - s]:
            slope = (
                A0 * p[j - 4]
                + A1 * p[j - 3]
                + A2 * p[j - 2]
                + A3 * p[j - 1]
                + A4 * p[j]
            ) / h
            half = 0.5 if j == 4 or j == columns - 1 else 1.0
            d_slope = 2.0 * h * weight * half * slope
            total += 0.5 * d_slope * slope
            d_slope /= h
            d_p[j - 4] += A0 * d_slope
            d_p[j - 3] += A1 * d_slope
            d_p[j - 2] += A2 * d_slope
            d_p[j - 1] += A3 * d_slope
            d_p[j] += A4 * d_slope
    return total
