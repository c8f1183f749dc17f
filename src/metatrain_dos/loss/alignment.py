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

    :param tail_weight: weight of the prediction in front of the target
    :return: costs, ``(samples, E + 1)``, float64 if the device has it,
        states\ :sup:`2`/eV, no gradient
    """
    points = targets.shape[-1]
    with torch.no_grad():
        signals = _signals(predictions, targets, mask)
        extra = predictions.shape[-1] - points
        costs, _ = _relative_costs(*signals, points, extra, tail_weight)
        error = torch.where(mask, predictions[..., :points] - targets, 0)
        unshifted = torch.trapezoid(error.to(costs.dtype) ** 2, dx=grid_spacing)
        relative = grid_spacing * (costs - costs[:, :1])
        return relative + sum_components(unshifted).unsqueeze(1)


def best_shift(
    predictions: Tensor,
    targets: Tensor,
    mask: Tensor,
    *,
    tail_weight: float,
) -> Tensor:
    """
    Find the shift with the lowest :func:`alignment_costs`, the smallest on a tie.

    Costs that differ by no more than the rounding errors of the search are a tie.

    :param tail_weight: weight of the prediction in front of the target
    :return: shift of each sample, ``(samples,)``, int64, in columns
    """
    points = targets.shape[-1]
    with torch.no_grad():
        signals = _signals(predictions, targets, mask)
        extra = predictions.shape[-1] - points
        return first_minimum(*signals, points, extra, tail_weight)


def first_minimum(
    p: Tensor, m_t: Tensor, points: int, extra: int, tail_weight: float
) -> Tensor:
    """
    Find the shifts of :func:`best_shift`.

    :param p: predicted DOS, with ``extra`` zeros in front of it, and zeros behind it up
        to :func:`fast_fft_size` of ``points + 2 * extra``, ``(samples, ..., size)``
    :param m_t: mask, as numbers, and computed DOS, which is zero where the mask is;
        with zeros in front and behind as ``p``, ``(2, samples, ..., size)``
    :param points: number of columns of the target
    :param extra: by how much the prediction is longer
    :param tail_weight: weight of the prediction in front of the target
    :return: shift of each sample, ``(samples,)``, int64, in columns
    """
    if extra == 0:  # nothing to choose from
        return p.new_zeros(len(p), dtype=torch.int64)
    costs, limit = _relative_costs(p, m_t, points, extra, tail_weight)
    _, first = (costs <= limit.unsqueeze(1)).max(dim=1)
    return first


def window(predictions: Tensor, shift: Tensor, points: int) -> Tensor:
    """
    Cut out of every prediction the columns that its target is compared with.

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


def _signals(
    predictions: Tensor, targets: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor]:
    """Make the first two arguments of :func:`first_minimum`."""
    columns, points = predictions.shape[-1], targets.shape[-1]
    extra = columns - points
    size = fast_fft_size(columns + extra)
    m_t = torch.stack([mask, torch.where(mask, targets, 0)])
    return (
        torch.nn.functional.pad(predictions, (extra, size - extra - columns)),
        torch.nn.functional.pad(m_t, (extra, size - columns)),
    )


def _relative_costs(
    p: Tensor, m_t: Tensor, points: int, extra: int, tail_weight: float
) -> tuple[Tensor, Tensor]:
    """
    Compute the costs of :func:`alignment_costs`, but for a constant of each sample.

    In front of a target the DOS is zero. So the tail is an error like any other, of a
    target that begins E columns earlier.

    On a GPU, the number of operations counts here, not their size.

    :return: costs ``(samples, E + 1)``, in units of the spacing, and the highest one
        that rounding does not tell from the lowest ``(samples,)``, both float64 where
        the device has it
    """
    columns, size = points + extra, p.shape[-1]
    dtype = torch.float64 if _has_float64(p.device) else torch.float32
    if p.numel() == 0:  # some FFT libraries refuse to transform nothing
        costs = p.new_zeros(len(p), extra + 1, dtype=dtype)
        return costs, costs[:, 0]

    p = p.to(dtype)
    if not tail_weight:
        # The costs see differences of p and t alone. Taking a common level away leaves
        # small numbers, and so small rounding errors, for a flat DOS. With a tail, zero
        # is by far the best shift of a flat DOS.
        inside = p[..., extra : extra + columns]
        level = inside.mean(-1, keepdim=True)
        p = torch.nn.functional.pad(inside - level, (extra, size - extra - columns))
        m_t = torch.stack([m_t[0], m_t[1] - m_t[0] * level])
    signals = torch.cat([m_t, (p * p).unsqueeze(0), p.unsqueeze(0)])
    weights = signals[:2, ..., extra:columns]
    if points == 1:  # a single value spans no interval
        weights.zero_()
    signals[0, ..., : extra + 1].add_(tail_weight)
    # the trapezoidal rule halves both ends of the target, and the last of the tail
    weights[..., :: max(points - 1, 1)].mul_(0.5)

    # integral of m (p - t)^2 = (m * pp) - 2 (mt * p) + constant, "*" a correlation
    spectra = torch.fft.rfft(signals)
    products = spectra[:2].conj() * spectra[2:]
    spectrum = torch.sub(products[0], products[1], alpha=2)
    costs = torch.fft.irfft(spectrum, n=size)[..., : extra + 1]
    if costs.dim() > 2:
        costs = costs.flatten(1, -2).sum(1)

    rounding = TIE_ROUNDINGS * torch.finfo(dtype).eps
    norms = torch.linalg.vector_norm(signals, dim=tuple(range(2, signals.dim())))
    limit = torch.addcmul(costs.amin(dim=1), norms[0], norms[2], value=rounding)
    return costs, torch.addcmul(limit, norms[1], norms[3], value=2 * rounding)


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
