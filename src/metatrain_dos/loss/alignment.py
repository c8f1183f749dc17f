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
    with torch.no_grad():
        costs, _ = _costs_and_rounding(
            predictions, targets, mask, grid_spacing, tail_weight
        )
    return costs


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
    :param grid_spacing: distance between two columns, eV
    :param tail_weight: weight of the prediction in front of the target
    :return: shift of each sample, ``(samples,)``, int64, in columns
    """
    if predictions.shape[-1] == targets.shape[-1]:  # nothing to choose from
        return predictions.new_zeros(len(predictions), dtype=torch.int64)
    with torch.no_grad():
        costs, rounding = _costs_and_rounding(
            predictions, targets, mask, grid_spacing, tail_weight
        )
        tied = costs <= costs.amin(dim=1, keepdim=True) + rounding.unsqueeze(1)
        # argmax of booleans is the first true
        return tied.to(torch.uint8).argmax(dim=1)


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


def _costs_and_rounding(
    predictions: Tensor,
    targets: Tensor,
    mask: Tensor,
    grid_spacing: float,
    tail_weight: float,
) -> tuple[Tensor, Tensor]:
    """
    Compute the costs of :func:`alignment_costs` and the size of their rounding errors.

    :return: costs ``(samples, E + 1)`` and rounding ``(samples,)``, both float64 where
        the device has it
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

    ends = torch.ones(points, dtype=dtype, device=predictions.device)
    m = mask * weigh_ends_(ends)
    # by selection, because NaN and infinity have no place in a product with zero
    t = torch.where(mask, targets, 0)

    # The costs see differences of p and t alone. Taking their common level away leaves
    # small numbers, and so small rounding errors, for a flat DOS.
    tiny = torch.finfo(dtype).tiny
    level = (m * t).sum(-1, keepdim=True) / m.sum(-1, keepdim=True).clamp(min=tiny)
    t = t - level  # in the dtype of the level
    mt = m * t
    p = predictions - level
    of_target, of_prediction = torch.stack([m, mt]), torch.stack([p * p, p])

    # integral of m (p - t)^2 = (m * pp) - 2 (mt * p) + constant, "*" a correlation
    m_, mt_ = torch.fft.rfft(of_target, n=size).conj()
    pp_, p_ = torch.fft.rfft(of_prediction, n=size)
    spectrum = torch.addcmul(m_ * pp_, mt_, p_, value=-2)
    correlation = torch.fft.irfft(spectrum, n=size)[..., :shifts]
    constant = (mt * t).sum(-1, keepdim=True)
    costs = grid_spacing * (correlation + constant)
    tails = front_tails(predictions[..., :shifts].to(dtype), grid_spacing)
    costs = costs + tail_weight * tails

    norms = torch.linalg.vector_norm(of_target, dim=-1)
    norms = norms * torch.linalg.vector_norm(of_prediction, dim=-1)
    rounding = TIE_ROUNDINGS * torch.finfo(dtype).eps * grid_spacing
    rounding = rounding * (norms[0] + 2 * norms[1])

    if costs.dim() > 2:
        costs = costs.flatten(1, -2).sum(1)
    return costs, sum_components(rounding)


@cache
def _has_float64(device: torch.device) -> bool:
    """Tell whether a device has numbers of double precision; Apple's do not."""
    try:
        torch.zeros((), dtype=torch.float64, device=device)
    except (TypeError, RuntimeError):
        return False
    return True


def front_tails(predictions: Tensor, grid_spacing: float) -> Tensor:
    """
    Integrate the squared prediction from the first column up to each column.

    :return: ``(samples, ..., columns)``, zero in the first column
    """
    tails = torch.cumulative_trapezoid(predictions**2, dx=grid_spacing)
    return torch.nn.functional.pad(tails, (1, 0))


def weigh_ends_(values: Tensor) -> Tensor:
    """
    Weigh integrands for the trapezoidal rule of unit spacing, in place.

    The rule halves the first and the last value; a single value spans no interval.

    :return: ``values``
    """
    if values.shape[-1] == 1:
        return values.zero_()
    values[..., 0].div_(2)
    values[..., -1].div_(2)
    return values


def sum_components(values: Tensor) -> Tensor:
    """Add up everything behind the first axis: ``(samples, ...) -> (samples,)``."""
    return values.flatten(1).sum(1) if values.dim() > 1 else values


def per_component(shift: Tensor, like: Tensor) -> Tensor:
    """Give every component of a sample its shift: ``(samples, ..., 1)``."""
    per_sample = shift.view(-1, *[1] * (like.dim() - 1))
    return per_sample.expand(*like.shape[:-1], 1)
