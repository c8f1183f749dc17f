"""
Compute the loss with Python loops, straight from the equations.

Slow on purpose: one sample, one shift, one point at a time, in float64, sharing no code
with the package. Everything here takes NumPy arrays of one sample: predictions
``(components, points + E)``, targets and mask ``(components, points)``.
"""

import itertools

import numpy as np


def integrate(values, spacing):
    total = 0.0
    for left, right in itertools.pairwise(values):
        total += 0.5 * (left + right) * spacing
    return total


def running_integral(values, spacing):
    total, out = 0.0, []
    for left, right in itertools.pairwise(values):
        total += 0.5 * (left + right) * spacing
        out.append(total)
    return out


def masked_term(p, t, m, s, h):
    total = 0.0
    for pc, tc, mc in zip(p, t, m, strict=True):
        error = [
            (pc[s + j] - tc[j]) ** 2 if mc[j] else 0.0  # never reads a masked target
            for j in range(len(tc))
        ]
        total += integrate(error, h)
    return total


def front_tail_term(p, s, h):
    return sum(integrate([pc[i] ** 2 for i in range(s + 1)], h) for pc in p)


def cost(p, t, m, s, h, tail_weight):
    return masked_term(p, t, m, s, h) + tail_weight * front_tail_term(p, s, h)


def costs(p, t, m, h, tail_weight):
    shifts = p.shape[-1] - t.shape[-1] + 1
    return np.array([cost(p, t, m, s, h, tail_weight) for s in range(shifts)])


def best_shift(p, t, m, h, tail_weight):
    return int(np.argmin(costs(p, t, m, h, tail_weight)))


def gradient_term(p, m, s, h):
    stencil = {-4: 1 / 4, -3: -4 / 3, -2: 3.0, -1: -4.0, 0: 25 / 12}
    total = 0.0
    for pc, mc in zip(p, m, strict=True):
        squares = []
        for i in range(4, len(pc)):
            slope = sum(w * pc[i + k] for k, w in stencil.items()) / h
            in_front = i < s
            behind = i >= s + len(mc)
            free = behind or (not in_front and not mc[i - s])
            squares.append(slope**2 if free else 0.0)
        total += integrate(squares, h)
    return total


def cumulative_term(p, t, m, s, h):
    total = 0.0
    for pc, tc, mc in zip(p, t, m, strict=True):
        predicted = running_integral([pc[s + j] * mc[j] for j in range(len(tc))], h)
        computed = running_integral(
            [tc[j] if mc[j] else 0.0 for j in range(len(tc))], h
        )
        squares = [
            (a - b) ** 2 if use else 0.0
            for a, b, use in zip(predicted, computed, mc[1:], strict=True)
        ]
        total += integrate(squares, h)
    return total


def masked_dos(p, t, m, *, grad_weight, int_weight, grid_spacing, tail_weight):
    h = grid_spacing
    s = best_shift(p, t, m, h, tail_weight)
    return (
        cost(p, t, m, s, h, tail_weight)
        + grad_weight * gradient_term(p, m, s, h)
        + int_weight * cumulative_term(p, t, m, s, h)
    )
