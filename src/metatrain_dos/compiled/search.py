r"""
Find the best shift, structure by structure.

The costs are those of :func:`metatrain_dos.alignment.alignment_costs`. Fast Fourier
transforms in float32 tell, with a bound of their errors, which few shifts may be the
best one; the costs of those are then integrated column by column in float64.

Arrays: ``p`` prediction ``(samples, components, columns)``, ``t`` target and ``m`` mask
``(samples, components, points)``. The transforms work on blocks of points, which fit
into the cache of the processor and share one transform back. Blocks that are masked are
left out.
"""

import math

import numpy as np

from ..alignment import TIE_ROUNDINGS
from .jit import compiled


TIE = TIE_ROUNDINGS * float(np.finfo(np.float64).eps)

# Errors of a correlation of normalized signals. A transform of n values is wrong by at
# most 3.4 log2(n) roundings (N. J. Higham, Accuracy and Stability of Numerical
# Algorithms, section 24.1). Three of them, and the products, stay below this for blocks
# of up to a million values.
TRANSFORMS = 256 * float(np.finfo(np.float32).eps)


def block_size(points: int, extra: int) -> int:
    """
    Choose how many values to transform at once.

    :param points: length of the target
    :param extra: by how much the prediction is longer
    :return: a power of two above ``extra``; a block has ``extra`` points less
    """

    def work(size: int) -> float:
        blocks = math.ceil(points / (size - extra))
        return (2 * blocks + 1) * size * math.log2(size)

    longest = points + extra
    sizes = [2**k for k in range(extra.bit_length(), longest.bit_length() + 1)]
    return min(sizes, key=work)


@compiled
def what_counts(t: np.ndarray, m: np.ndarray, counts: np.ndarray) -> None:
    """
    Find the points to compare: where the mask is true and the target is not NaN.

    :param counts: is filled, ``(samples, components, points)``
    """
    points = counts.shape[-1]
    for sample in range(counts.shape[0]):
        for component in range(counts.shape[1]):
            target, mask = t[sample, component], m[sample, component]
            target, mask = target[len(target) - points :], mask[len(mask) - points :]
            found = counts[sample, component]
            for i in range(points):
                found[i] = mask[i] & (target[i] == target[i])


@compiled
def prepare(
    p: np.ndarray,
    t: np.ndarray,
    m: np.ndarray,
    signals: np.ndarray,
    blocks: np.ndarray,
    constants: np.ndarray,
) -> None:
    r"""
    Prepare the correlation of :math:`m (t - \bar t)` with :math:`p - \bar t`.

    The costs see differences of p and t alone. Without the mean of the target in both,
    the numbers are smaller, and so are their rounding errors.

    :param signals: is filled with both, each divided by its norm,
        ``(blocks, 2, size)``, float32
    :param blocks: is filled with the number of the first block of each row, and of the
        row that would be next, ``(samples * components + 1,)``
    :param constants: is filled with the mean, the product of the norms, and the
        rounding errors of costs in units of the spacing,
        ``(samples, components, 3)``
    """
    columns, points = p.shape[-1], m.shape[-1]
    padding = t.shape[-1] - points
    last, size = points - 1, signals.shape[-1]
    length = size - (columns - points)
    masked = np.empty(points)
    row, block = 0, 0
    for sample in range(p.shape[0]):
        for component in range(p.shape[1]):
            prediction = p[sample, component]
            target, mask = t[sample, component, padding:], m[sample, component]
            total, count = 0.0, 0.0
            for i in range(points):
                total += target[i] if mask[i] else 0.0
                count += 1.0 if mask[i] else 0.0
            mean = total / max(count, 1.0)
            of_target = 0.0
            for i in range(points):
                masked[i] = target[i] - mean if mask[i] else 0.0
                of_target += masked[i] * masked[i]
            of_prediction, fourth = 0.0, 0.0
            for j in range(columns):
                square = (prediction[j] - mean) ** 2
                of_prediction += square
                fourth += square * square
            of_target, of_prediction = math.sqrt(of_target), math.sqrt(of_prediction)
            product = of_target * of_prediction
            constants[sample, component, 0] = mean
            constants[sample, component, 1] = product
            constants[sample, component, 2] = TIE * (
                math.sqrt(count * fourth) + 2.0 * product
            )
            # the trapezoidal rule halves both ends; a single point spans no interval
            masked[0] *= 0.5 if last else 0.0
            masked[last] *= 0.5

            blocks[row] = block
            row += 1
            if not product > 0.0:
                continue
            for first in range(0, points, length):
                part = masked[first : first + length]
                if np.any(part != 0.0):
                    window = prediction[first : first + size]
                    _scale(part, 0.0, of_target, signals[block, 0])
                    _scale(window, mean, of_prediction, signals[block, 1])
                    block += 1
    blocks[row] = block


@compiled
def _scale(values: np.ndarray, zero: float, unit: float, scaled: np.ndarray) -> None:
    """Fill ``scaled`` with values, measured from zero in a unit, and zeros behind."""
    inverse = 1.0 / unit
    for i in range(len(values)):
        scaled[i] = (values[i] - zero) * inverse
    scaled[len(values) :] = 0.0


@compiled
def multiply(spectra: np.ndarray, blocks: np.ndarray, products: np.ndarray) -> None:
    """
    Multiply the spectra of the two signals, and add up the blocks of each row.

    :param spectra: ``(blocks, 2, frequencies)``, complex64
    :param blocks: of :func:`prepare`
    :param products: is filled, ``(samples * components, frequencies)``
    """
    for row in range(len(blocks) - 1):
        product = products[row // products.shape[1], row % products.shape[1]]
        product[:] = 0.0
        for block in range(blocks[row], blocks[row + 1]):
            x, y = spectra[block, 0], spectra[block, 1]
            for k in range(len(product)):
                product[k] += np.conj(x[k]) * y[k]


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

    :param correlations: of the signals of :func:`prepare`, ``(samples, components,
        size)``
    :param constants: of :func:`prepare`
    :param shift: is filled with the shifts, ``(samples,)``
    """
    points = m.shape[-1]
    shifts = p.shape[-1] - points + 1
    costs = np.empty(shifts)
    for sample in range(p.shape[0]):
        costs[:] = 0.0
        error, tie = 0.0, 0.0
        for component in range(p.shape[1]):
            mean, product, rounding = constants[sample, component]
            _add_squares(
                p[sample, component],
                m[sample, component],
                mean,
                tail_weight,
                costs,
            )
            correlation = correlations[sample, component]
            for s in range(shifts):
                costs[s] -= 2.0 * product * correlation[s]
            error += rounding + 2.0 * TRANSFORMS * product
            tie += rounding
        shift[sample] = 0  # stays if the costs are not finite
        limit = costs.min() + 2.0 * error + tie
        if np.sum(costs <= limit) == 1:
            shift[sample] = costs.argmin()
            continue
        for s in range(shifts):
            if costs[s] <= limit:
                costs[s] = _cost(p[sample], t[sample], m[sample], s, tail_weight)
            else:
                costs[s] = np.inf
        limit = costs.min() + tie
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
    Add what depends on the prediction alone, in units of the spacing.

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
        before, here = float(p[s]), float(p[s + 1])
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
    """Integrate the cost of one shift of one sample, in units of the spacing."""
    total = 0.0
    last = m.shape[-1] - 1
    for component in range(p.shape[0]):
        window, front = p[component, s:], p[component, : s + 1]
        target, mask = t[component, t.shape[-1] - m.shape[-1] :], m[component]
        for i in range(last + 1):
            total += (float(window[i]) - target[i]) ** 2 if mask[i] else 0.0
        for i in (0, last):
            if mask[i]:
                total -= 0.5 * (float(window[i]) - target[i]) ** 2
        tail = -0.5 * (float(front[0]) ** 2 + float(front[s]) ** 2)
        for j in range(s + 1):
            tail += float(front[j]) ** 2
        total += tail_weight * tail
    return total
