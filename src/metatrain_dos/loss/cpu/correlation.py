r"""
Correlate targets with predictions, by Fourier transforms of short blocks in float32.

The transforms work on blocks of points, which fit into the cache of the processor and
share one transform back. Blocks that are masked are left out. What rounding may do to
the result is known, so that :mod:`metatrain_dos.loss.cpu.shift_search` needs no
float64 here.

Arrays: ``p`` prediction ``(samples, components, columns)``, ``m`` mask ``(samples,
components, points)``, ``t`` target, as wide as the mask or wider: the last columns are
the points.
"""

import math
from functools import cache

import numpy as np

from ..alignment import TIE_ROUNDINGS
from .jit import compiled


TIE = TIE_ROUNDINGS * float(np.finfo(np.float64).eps)

# Bound of the errors of a correlation of normalized signals. A transform of n values is
# wrong by at most 3.4 log2(n) roundings (N. J. Higham, Accuracy and Stability of
# Numerical Algorithms, section 24.1). Three of them and the products stay below this
# for blocks of up to 65536 values, with each column in at most two blocks.
ROUNDING = 256 * float(np.finfo(np.float32).eps)

# What float32 can be divided by without coming near its limits.
SMALLEST, LARGEST = 1e-30, 1e30


@cache
def block_size(points: int, extra: int) -> int:
    """Choose how many values to transform at once: a power of two above ``extra``."""

    def work(size: int) -> float:
        # In a larger transform, each step is slower, too: it finds less in the cache.
        blocks = math.ceil(points / (size - extra))
        return (2 * blocks + 1) * size * math.log2(size) ** 2

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
    :param constants: is filled with the mean, the product of the norms, the error that
        rounding may make in the correlation, and the difference of costs that is a tie,
        both in units of the spacing, ``(samples, components, 4)``
    """
    columns, points = p.shape[-1], m.shape[-1]
    padding = t.shape[-1] - points
    last, size = points - 1, signals.shape[-1]
    length = size - (columns - points)
    masked = np.empty(points, p.dtype)
    zero, half = p.dtype.type(0.0), p.dtype.type(0.5)
    row, block = 0, 0
    for sample in range(p.shape[0]):
        for component in range(p.shape[1]):
            prediction = p[sample, component]
            target, mask = t[sample, component, padding:], m[sample, component]
            total, count = 0.0, 0.0
            for i in range(points):
                total += target[i] if mask[i] else 0.0
                count += 1.0 if mask[i] else 0.0
            mean = p.dtype.type(total / max(count, 1.0))
            of_target = 0.0
            for i in range(points):
                masked[i] = target[i] - mean if mask[i] else zero
                of_target += np.float64(masked[i]) ** 2
            of_prediction, fourth = 0.0, 0.0
            for j in range(columns):
                square = np.float64(prediction[j] - mean) ** 2
                of_prediction += square
                fourth += square * square
            of_target, of_prediction = math.sqrt(of_target), math.sqrt(of_prediction)
            product = of_target * of_prediction
            constants[sample, component, 0] = mean
            constants[sample, component, 1] = product
            constants[sample, component, 2] = ROUNDING * product
            constants[sample, component, 3] = TIE * (
                math.sqrt(count * fourth) + 2.0 * product
            )
            # the trapezoidal rule halves both ends; a single point spans no interval
            masked[0] *= half if last else zero
            masked[last] *= half

            blocks[row] = block
            row += 1
            if not product > 0.0:
                continue
            small = min(of_target, of_prediction)
            if small < SMALLEST or max(of_target, of_prediction) > LARGEST:
                constants[sample, component, 2] = np.inf  # all shifts may be the best
                continue
            number = p.dtype.type
            per_t, per_p = number(1.0 / of_target), number(1.0 / of_prediction)
            for first in range(0, points, length):
                part = masked[first : first + length]
                used = 0
                for i in range(len(part)):
                    used += part[i] != zero
                if used:
                    window = prediction[first : first + size]
                    _scale(part, zero, per_t, signals[block, 0])
                    _scale(window, mean, per_p, signals[block, 1])
                    block += 1
    blocks[row] = block


@compiled
def _scale(values: np.ndarray, zero: float, inverse: float, scaled: np.ndarray) -> None:
    """Fill ``scaled`` with values measured from zero in some unit, and zeros behind."""
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
