r"""
Find where along its prediction a target fits best.

Shapes and units are those of :mod:`metatrain_dos.loss.terms`. Nothing here is
differentiated through: which shift is best does not change with a small change of the
prediction.
"""

from functools import cache

import torch
from torch import Tensor


# Two shifts whose costs differ by less than this many roundings of the search are tied.
TIE_ROUNDINGS = 16


def alignment_costs(
    predictions: Tensor,
    targets: Tensor,
    mask: Tensor,
    *,
    grid_spacing: float,
    tail_weight: float,
) -> Tensor:
    r"""
    Compute the cost of every shift the target may take.

    .. math::

        A(s) = \int m \, (p_{s:s+N} - t)^2 \, dE
               + w_\text{tail} \int_0^s p^2 \, dE

    The square is expanded and its two correlations are evaluated with one fast Fourier
    transform each, so the time hardly depends on how many shifts there are. The costs
    are differences of large numbers; they are computed in float64 whatever comes in,
    because the rounding of float32 could pick wrong shifts for good predictions. A
    device without float64 computes them in float32.

    :param predictions: predicted DOS, ``(samples, ..., points + E)``, states/eV
    :param targets: computed DOS, ``(samples, ..., points)``, states/eV
    :param mask: true where the target is to be compared, shape of ``targets``
    :param grid_spacing: distance between two columns, eV
    :param tail_weight: weight of the prediction in front of the target
    :return: costs, ``(samples, E + 1)``, float64 if the device has it,
        states\ :sup:`2`/eV, no gradient
    """
    points = targets.shape[-1]
    with torch.no_grad():
        costs, _ = _relative_costs(predictions, targets, mask, tail_weight)
        error = torch.where(mask, predictions[..., :points] - targets, 0)
        unshifted = torch.trapezoid(error.to(costs.dtype) ** 2, dx=grid_spacing)
        relative = grid_spacing * (costs - costs[:, :1])
        return relative + sum_components(unshifted).unsqueeze(1)


def best_shift(
    predictions: Tensor,
    targets: Tensor,
    mask: Tensor,
    *,
    grid_spacing: float,
    tail_weight: float,
) -> Tensor:
    """
    Find the shift with the lowest :func:`alignment_costs`, the smallest on a tie.

    Costs that differ by no more than the rounding errors of the search are a tie.

    :param predictions: predicted DOS, ``(samples, ..., points + E)``, states/eV
    :param targets: computed DOS, ``(samples, ..., points)``, states/eV
    :param mask: true where the target is to be compared, shape of ``targets``
    :param grid_spacing: distance between two columns, eV; no shift depends on it
    :param tail_weight: weight of the prediction in front of the target
    :return: shift of each sample, ``(samples,)``, int64, in columns
    """
    if predictions.shape[-1] == targets.shape[-1]:  # nothing to choose from
        return predictions.new_zeros(len(predictions), dtype=torch.int64)
    with torch.no_grad():
        costs, size = _relative_costs(predictions, targets, mask, tail_weight)
        rounding = TIE_ROUNDINGS * torch.finfo(costs.dtype).eps
        limit = torch.add(costs.amin(dim=1), size, alpha=rounding)
        _, first = (costs <= limit.unsqueeze(1)).max(dim=1)
        return first


def window(predictions: Tensor, shift: Tensor, points: int) -> Tensor:
    """
    Cut out of every prediction the columns that its target is compared with.

    :param predictions: predicted DOS, ``(samples, ..., points + E)``, states/eV
    :param shift: shift of each sample, ``(samples,)``
    :param points: number of columns of the target
    :return: ``(samples, ..., points)``, states/eV
    """
    columns = torch.arange(points, device=shift.device)
    index = per_component(shift, predictions) + columns
    return predictions.gather(-1, index.expand(*predictions.shape[:-1], points))


def fast_fft_size(columns: int) -> int:
    """
    Find the smallest length that fast Fourier transforms are good at.

    :param columns: lower bound of the length
    :return: the next even number without a prime factor above 5
    """
    size = columns + columns % 2
    while True:
        rest = size
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return size
        size += 2


def _relative_costs(
    predictions: Tensor, targets: Tensor, mask: Tensor, tail_weight: float
) -> tuple[Tensor, Tensor]:
    """
    Compute the costs of :func:`alignment_costs`, but for a constant of each sample.

    On a GPU, the number of operations counts here, not their size.

    :return: costs ``(samples, E + 1)``, and the size of the numbers that cancel in them
        ``(samples,)``, in units of the spacing, both float64 where the device has it
    """
    columns, points = predictions.shape[-1], targets.shape[-1]
    shifts = columns - points + 1
    # No lag up to E wraps around, so the length needs no padding beyond the prediction.
    size = fast_fft_size(columns)
    precise = _has_float64(predictions.device)
    dtype = torch.float64 if precise else torch.float32
    if predictions.numel() == 0:  # some FFT libraries refuse to transform nothing
        costs = predictions.new_zeros(len(predictions), shifts, dtype=dtype)
        return costs, costs[:, 0]

    # The costs see differences of p and t alone. Taking a common level away leaves
    # small numbers, and so small rounding errors, for a flat DOS. By selection, because
    # NaN and infinity have no place in a product with zero.
    level = predictions.mean(-1, keepdim=True, dtype=dtype)
    p = predictions - level
    t = torch.where(mask, targets, level) - level
    m_mt = halve_ends_(torch.stack([mask, t]))
    m_mt = torch.nn.functional.pad(m_mt, (0, columns - points))
    signals = torch.cat([m_mt, (p * p).unsqueeze(0), p.unsqueeze(0)])

    # integral of m (p - t)^2 = (m * pp) - 2 (mt * p) + constant, "*" a correlation
    spectra = torch.fft.rfft(signals, n=size)
    products = spectra[:2].conj() * spectra[2:]
    spectrum = torch.sub(products[0], products[1], alpha=2)
    correlation = torch.fft.irfft(spectrum, n=size)[..., :shifts]
    # integral of p^2 up to each shift, but for half of the first value
    squares = predictions[..., :shifts].to(dtype).square()
    tails = torch.sub(squares.cumsum(-1), squares, alpha=0.5)
    costs = torch.add(correlation, tails, alpha=tail_weight)

    norms = torch.linalg.vector_norm(signals, dim=-1)
    bounds = norms[:2] * norms[2:]
    bound = torch.add(bounds[0], bounds[1], alpha=2)
    if costs.dim() > 2:
        costs = costs.flatten(1, -2).sum(1)
    return costs, sum_components(bound)


@cache
def _has_float64(device: torch.device) -> bool:
    """Tell whether a device has numbers of double precision; Apple's do not."""
    try:
        torch.zeros((), dtype=torch.float64, device=device)
    except (TypeError, RuntimeError):
        return False
    return True


def halve_ends_(values: Tensor) -> Tensor:
    """
    Weigh integrands for the trapezoidal rule of unit spacing, in place.

    The rule halves the first and the last value; a single value spans no interval.

    :return: ``values``
    """
    points = values.shape[-1]
    if points < 2:
        return values.zero_()
    values[..., :: points - 1].mul_(0.5)
    return values


def sum_components(values: Tensor) -> Tensor:
    """Add up everything behind the first axis: ``(samples, ...) -> (samples,)``."""
    return values.flatten(1).sum(1) if values.dim() > 1 else values


def per_component(shift: Tensor, like: Tensor) -> Tensor:
    """Give every component of a sample its shift: ``(samples, ..., 1)``."""
    per_sample = shift.view(-1, *[1] * (like.dim() - 1))
    return per_sample.expand(*like.shape[:-1], 1)
