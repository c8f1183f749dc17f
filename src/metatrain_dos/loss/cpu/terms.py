r"""
Compute the terms of the loss and its gradient, structure by structure.

The equations are those of :mod:`metatrain_dos.loss.terms`; ``d_x`` is the derivative of
the loss by ``x``. The trapezoidal rule halves the first and the last point of each
integral, and a single point spans no interval. Loops that do one thing to each column
become vector instructions, so that several short ones are faster than one long one.

Arrays: ``p`` prediction ``(samples, components, columns)``, ``t`` target and ``m`` mask
``(samples, components, points)``.
"""

import numpy as np

from ..terms import STENCIL
from .jit import compiled


A0, A1, A2, A3, A4 = STENCIL


@compiled
def weighted_terms(
    p: np.ndarray,
    t: np.ndarray,
    m: np.ndarray,
    shift: np.ndarray,
    grid_spacing: float,
    tail_weight: float,
    grad_weight: float,
    int_weight: float,
    loss: np.ndarray,
    terms: np.ndarray,
    gradient: np.ndarray,
) -> None:
    """
    Compute the terms of each sample at its shift.

    :param loss: is filled with the sum of the terms, ``(samples,)``
    :param terms: is filled with the masked, tail, gradient and cumulative term, times
        their weights, ``(samples, 4)``
    :param gradient: is filled with the derivative of their sum, shape of ``p``; may be
        empty
    """
    points, columns = m.shape[-1], p.shape[-1]
    padding = t.shape[-1] - points
    e, d_e = np.empty(points, p.dtype), np.empty(points, p.dtype)
    running, behind = np.empty(points), np.empty(points)
    d_p, d_slope = np.empty(columns, p.dtype), np.zeros(columns + 4, p.dtype)
    zero = p.dtype.type(0.0)
    for sample in range(p.shape[0]):
        dos, tail, slope, integral = 0.0, 0.0, 0.0, 0.0
        s = shift[sample]
        for component in range(p.shape[1]):
            prediction, mask = p[sample, component], m[sample, component]
            window, target = prediction[s : s + points], t[sample, component, padding:]
            for i in range(points):
                e[i] = window[i] - target[i] if mask[i] else zero
            dos += _masked(e, grid_spacing, d_e)
            if int_weight > 0.0:
                integral += _cumulative(
                    e, mask, grid_spacing, int_weight, running, behind, d_e
                )

            d_p[:s] = 0.0
            d_p[s + points :] = 0.0
            d_window = d_p[s : s + points]
            for i in range(points):
                d_window[i] = d_e[i] if mask[i] else zero
            if tail_weight > 0.0:
                front = prediction[: s + 1]
                tail += _front_tail(front, grid_spacing, tail_weight, d_p)
            if grad_weight > 0.0:
                slope += _gradient(
                    prediction, mask, s, grid_spacing, grad_weight, d_slope, d_p
                )

            # No term sees every column, but a prediction that is not finite is broken.
            total = 0.0
            for j in range(columns):
                total += prediction[j]
            dos += 0.0 * total
            # Loops, because numba takes seconds to compile a copy of an array.
            for j in range(columns if gradient.size else 0):
                gradient[sample, component, j] = d_p[j]
        loss[sample] = dos + tail + slope + integral
        terms[sample, 0] = dos
        terms[sample, 1] = tail
        terms[sample, 2] = slope
        terms[sample, 3] = integral


@compiled
def _masked(e: np.ndarray, h: float, d_e: np.ndarray) -> float:
    """Integrate ``e`` squared; ``d_e`` is filled with the derivative."""
    last = e.shape[0] - 1
    scale = e.dtype.type(2.0 * h)
    total = 0.0
    for i in range(last + 1):
        total += e[i] * e[i]
        d_e[i] = scale * e[i]
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
    sums: np.ndarray,
    d_e: np.ndarray,
) -> float:
    """
    Integrate the square of the running integral of ``e``, and add to its derivative.

    :param c: room for the running integral, in units of ``h``, which begins behind the
        first point
    :param sums: room for running sums
    """
    last = e.shape[0] - 1
    if last < 2:
        return 0.0
    for i in range(last + 1):
        c[i] = e[i]  # in float64, for which the sum is compiled anyway
    _running_sum(c, sums)
    first = e[0]
    for i in range(last + 1):
        integral = sums[i] - 0.5 * (first + e[i])
        c[i] = integral if m[i] else 0.0
    c[0] = 0.0
    total = 0.0
    for i in range(last + 1):
        total += c[i] * c[i]
    total -= 0.5 * (c[1] * c[1] + c[last] * c[last])
    c[1] *= 0.5
    c[last] *= 0.5
    # half of e[i] is in c[i], and all of it in those behind
    _running_sum(c, sums)
    scale = 2.0 * h**3 * weight
    everything = sums[last]
    for i in range(last + 1):
        d_e[i] += scale * (everything - sums[i] + 0.5 * c[i])
    d_e[0] -= 0.5 * scale * everything
    return h**3 * weight * total


@compiled
def _running_sum(values: np.ndarray, sums: np.ndarray) -> None:
    """
    Fill ``sums`` with the sum up to each value.

    Each addition waits for the one before, so that four quarters, side by side, take
    the time of one.
    """
    size = values.shape[0]
    n = size // 4
    x0, x1, x2, x3 = values[:n], values[n:], values[2 * n :], values[3 * n :]
    y0, y1, y2, y3 = sums[:n], sums[n:], sums[2 * n :], sums[3 * n :]
    a0, a1, a2, a3 = 0.0, 0.0, 0.0, 0.0
    for i in range(n):
        a1 += x0[i]
        a2 += x1[i]
        a3 += x2[i]
    a2 += a1
    a3 += a2
    for i in range(n):
        a0 += x0[i]
        a1 += x1[i]
        a2 += x2[i]
        a3 += x3[i]
        y0[i] = a0
        y1[i] = a1
        y2[i] = a2
        y3[i] = a3
    for i in range(4 * n, size):
        a3 += values[i]
        sums[i] = a3


@compiled
def _front_tail(front: np.ndarray, h: float, weight: float, d_p: np.ndarray) -> float:
    """Integrate ``front`` squared, and add to the derivative."""
    last = front.shape[0] - 1
    if last == 0:
        return 0.0
    scale = front.dtype.type(2.0 * h * weight)
    half = front.dtype.type(h * weight)
    total = 0.0
    for j in range(last + 1):
        total += front[j] * front[j]
        d_p[j] += scale * front[j]
    for j in (0, last):
        total -= 0.5 * front[j] * front[j]
        d_p[j] -= half * front[j]
    return h * weight * total


@compiled
def _gradient(
    p: np.ndarray,
    m: np.ndarray,
    s: int,
    h: float,
    weight: float,
    d_slope: np.ndarray,
    d_p: np.ndarray,
) -> float:
    """
    Integrate the slope of ``p`` squared where it is free, and add to the derivative.

    :param d_slope: room for the derivative by the slope at each column, and four zeros
    """
    columns, points = p.shape[0], m.shape[0]
    if columns < 6:  # one slope at most
        return 0.0
    number = p.dtype.type
    a0, a1, a2, a3, a4 = number(A0), number(A1), number(A2), number(A3), number(A4)
    zero = number(0.0)
    p1, p2, p3, p4 = p[1:], p[2:], p[3:], p[4:]
    slope = d_slope[4:]  # in units of 1 / h, until it is scaled
    for j in range(columns - 4):
        slope[j] = a0 * p[j] + a1 * p1[j] + a2 * p2[j] + a3 * p3[j] + a4 * p4[j]
    # the target constrains it in the window, and the tail in front of that
    inside = d_slope[s : s + points]
    for i in range(points):
        value = inside[i]
        inside[i] = zero if m[i] else value
    d_slope[:s] = 0.0
    d_slope[:4] = 0.0
    total = 0.0
    for j in range(columns):
        total += d_slope[j] * d_slope[j]
    for j in (4, columns - 1):
        total -= 0.5 * d_slope[j] * d_slope[j]
        d_slope[j] *= 0.5
    scale = number(2.0 * weight / h)
    d1, d2, d3, d4 = d_slope[1:], d_slope[2:], d_slope[3:], d_slope[4:]
    for j in range(columns):
        d = a4 * d_slope[j] + a3 * d1[j] + a2 * d2[j] + a1 * d3[j] + a0 * d4[j]
        d_p[j] += scale * d
    return weight * total / h
