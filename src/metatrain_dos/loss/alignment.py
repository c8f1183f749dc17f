r"""
Find where along its prediction a target fits best.

Shapes and units are those of :mod:`metatrain_dos.loss.terms`. Nothing here is
differentiated through: which shift is best does not change with a small change of the
prediction.
"""

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
    because the rounding of float32 would pick wrong shifts for good predictions.

    :param predictions: predicted DOS, ``(samples, ..., points + E)``, states/eV
    :param targets: computed DOS, ``(samples, ..., points)``, states/eV
    :param mask: true where the target is to be compared, shape of ``targets``
    :param grid_spacing: distance between two columns, eV
    :param tail_weight: weight of what the prediction puts in front of the target
    :return: costs, ``(samples, E + 1)``, float64, states\ :sup:`2`/eV, no gradient
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
    :param tail_weight: weight of what the prediction puts in front of the target
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

    :return: costs ``(samples, E + 1)`` and rounding ``(samples,)``, both float64
    """
    columns, points = predictions.shape[-1], targets.shape[-1]
    shifts = columns - points + 1
    # No lag up to E wraps around, so the length needs no padding beyond the prediction.
    size = fast_fft_size(columns)
    shape = predictions.shape[:-1]
    signals = predictions.new_zeros(4, *shape, size, dtype=torch.float64)
    if len(predictions) == 0:  # some FFT libraries refuse to transform nothing
        return signals.new_zeros(0, shifts), signals.new_zeros(0)
    m, mt = signals[:2, ..., :points]
    p, pp = signals[2:, ..., :columns]

    t = torch.nan_to_num(targets)  # NaN has no place in a product, not even with zero
    m.copy_(mask.view(torch.uint8))  # bytes convert faster than booleans
    weigh_ends_(m)
    torch.mul(m, t, out=mt)

    # The costs see differences of p and t alone. Taking their common level away leaves
    # small numbers, and so small rounding errors, for a flat DOS.
    tiny = torch.finfo(torch.float64).tiny
    level = mt.sum(-1, keepdim=True) / m.sum(-1, keepdim=True).clamp(min=tiny)
    constant = torch.linalg.vecdot(mt, t - level).unsqueeze(-1)
    mt.addcmul_(m, level, value=-1)
    torch.sub(predictions, level, out=p)
    torch.mul(p, p, out=pp)

    # integral of m (p - t)^2 = (m * pp) - 2 (mt * p) + constant, "*" a correlation
    m_, mt_, p_, pp_ = torch.fft.rfft(signals)
    spectrum = (m_.conj() * pp_).addcmul_(mt_.conj(), p_, value=-2)
    correlation = torch.fft.irfft(spectrum, n=size)[..., :shifts]
    costs = grid_spacing * (correlation + constant)
    costs += tail_weight * front_tails(predictions[..., :shifts].double(), grid_spacing)

    of_m, of_mt, of_p, of_pp = torch.linalg.vector_norm(signals, dim=-1)
    rounding = of_m * of_pp + 2 * of_mt * of_p
    rounding *= TIE_ROUNDINGS * torch.finfo(torch.float64).eps * grid_spacing

    if costs.dim() > 2:
        costs = costs.flatten(1, -2).sum(1)
    return costs, sum_components(rounding)


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
