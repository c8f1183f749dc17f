r"""
Compare predicted and computed densities of states as plain tensors.

The energy zero of a density of states (DOS) is arbitrary. A prediction ``p`` therefore
has more columns than its target ``t``, the target slides along the prediction to
where it fits best, and only the columns where the mask ``m`` is true are compared. The
method comes from arXiv:2508.17418 (masking, gradient and cumulative terms) and
arXiv:2407.01068 (the arbitrary energy reference).

Shapes and units, the same in every function:

=================  ==============================  ==========================
``predictions``    ``(samples, ..., points + E)``  states/eV
``targets``        ``(samples, ..., points)``      states/eV
``mask``           ``(samples, ..., points)``      bool, true = compare
``shift``          ``(samples,)``                  int64, 0 to E, in columns
``grid_spacing``   a number                        eV
each term          ``(samples,)``                  see each function
=================  ==============================  ==========================

Axes between the first and the last are components (spin, for example): they share the
shift of their sample and their contributions add up. What a target holds where its
mask is false never matters, not even when it is NaN. All integrals are trapezoidal.

This module is the specification in executable form. :mod:`metatrain_dos.fused`
computes the same number, and its gradient, in fewer passes over memory.
"""

import torch
from torch import Tensor


# Backward difference of fourth order, in units of 1 / grid_spacing. The first entry
# belongs to the column four steps back, the last to the column itself.
STENCIL = (1 / 4, -4 / 3, 3.0, -4.0, 25 / 12)

# Two shifts whose costs differ by less than this many roundings of the search are tied.
TIE_ROUNDINGS = 16


def masked_dos(
    predictions: Tensor,
    targets: Tensor,
    mask: Tensor,
    *,
    grad_weight: float,
    int_weight: float,
    grid_spacing: float,
    tail_weight: float,
) -> Tensor:
    r"""
    Compute the aligned, masked loss of a density of states for each sample.

    .. math:: D + w_\text{grad} G + w_\text{int} C

    with :math:`D` the masked and the front-tail term at the best shift, :math:`G` the
    gradient term and :math:`C` the cumulative term.

    :param predictions: predicted DOS, ``(samples, ..., points + E)``, states/eV
    :param targets: computed DOS, ``(samples, ..., points)``, states/eV
    :param mask: true where the target is to be compared, shape of ``targets``
    :param grad_weight: weight of :func:`gradient_term`
    :param int_weight: weight of :func:`cumulative_term`
    :param grid_spacing: distance between two columns, eV
    :param tail_weight: weight of :func:`front_tail_term`
    :return: loss of each sample, ``(samples,)``; not finite where a prediction is not
    :raises TypeError: if ``mask`` is not boolean, or the dtypes differ
    :raises ValueError: if the shapes do not belong together
    """
    check_inputs(predictions, targets, mask)
    shift = best_shift(
        predictions, targets, mask, grid_spacing=grid_spacing, tail_weight=tail_weight
    )

    loss = masked_term(predictions, targets, mask, shift, grid_spacing=grid_spacing)
    tail = front_tail_term(predictions, shift, grid_spacing=grid_spacing)
    gradient = gradient_term(predictions, mask, shift, grid_spacing=grid_spacing)
    cumulative = cumulative_term(
        predictions, targets, mask, shift, grid_spacing=grid_spacing
    )
    loss = loss + tail_weight * tail + grad_weight * gradient + int_weight * cumulative

    # No term sees every column, but a prediction that is not finite anywhere is broken.
    return loss + 0.0 * predictions.flatten(1).sum(1)


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


def masked_term(
    predictions: Tensor,
    targets: Tensor,
    mask: Tensor,
    shift: Tensor,
    *,
    grid_spacing: float,
) -> Tensor:
    r"""
    Integrate the squared error over the mask.

    .. math:: \int m \, (p_{s:s+N} - t)^2 \, dE

    :param predictions: predicted DOS, ``(samples, ..., points + E)``, states/eV
    :param targets: computed DOS, ``(samples, ..., points)``, states/eV
    :param mask: true where the target is to be compared, shape of ``targets``
    :param shift: shift of each sample, ``(samples,)``
    :param grid_spacing: distance between two columns, eV
    :return: ``(samples,)``, states\ :sup:`2`/eV
    """
    error = _masked_error(predictions, targets, mask, shift)
    return _sum_components(torch.trapezoid(error**2, dx=grid_spacing))


def front_tail_term(
    predictions: Tensor, shift: Tensor, *, grid_spacing: float
) -> Tensor:
    r"""
    Integrate the squared prediction from the first column to where the target begins.

    The DOS is zero below the first point of the target, so this is an error.

    .. math:: \int_0^s p^2 \, dE

    :param predictions: predicted DOS, ``(samples, ..., points + E)``, states/eV
    :param shift: shift of each sample, ``(samples,)``
    :param grid_spacing: distance between two columns, eV
    :return: ``(samples,)``, states\ :sup:`2`/eV
    """
    tails = _front_tails(predictions, grid_spacing)
    return _sum_components(tails.gather(-1, _per_component(shift, tails)).squeeze(-1))


def gradient_term(
    predictions: Tensor, mask: Tensor, shift: Tensor, *, grid_spacing: float
) -> Tensor:
    r"""
    Integrate the squared slope of the prediction where no target holds it.

    .. math:: \int u \, g^2 \, dE

    with :math:`g` the fourth-order backward difference of :math:`p` and :math:`u` true
    behind the shifted target and, inside it, where the mask is false. The columns in
    front of the target belong to :func:`front_tail_term`.

    :param predictions: predicted DOS, ``(samples, ..., points + E)``, states/eV
    :param mask: true where the target is to be compared, ``(samples, ..., points)``
    :param shift: shift of each sample, ``(samples,)``
    :param grid_spacing: distance between two columns, eV
    :return: ``(samples,)``, states\ :sup:`2`/eV\ :sup:`3`
    """
    columns, points = predictions.shape[-1], mask.shape[-1]
    reach = len(STENCIL) - 1
    if columns <= reach:  # too narrow to have a slope anywhere
        return torch.zeros_like(predictions.flatten(1)[:, 0])

    slope = sum(
        weight * predictions[..., k : columns - reach + k]
        for k, weight in enumerate(STENCIL)
    )
    position = torch.arange(columns, device=mask.device) - _per_component(shift, mask)
    unmasked = ~mask.gather(-1, position.clamp(0, points - 1).expand_as(predictions))
    free = (position >= points) | (unmasked & (position >= 0))

    squared = (slope / grid_spacing) ** 2 * free[..., reach:]
    return _sum_components(torch.trapezoid(squared, dx=grid_spacing))


def cumulative_term(
    predictions: Tensor,
    targets: Tensor,
    mask: Tensor,
    shift: Tensor,
    *,
    grid_spacing: float,
) -> Tensor:
    r"""
    Integrate the squared error of the integrated DOS over the mask.

    .. math::

        \int m \left( \int_0^E m \, (p_{s:s+N} - t) \, dE' \right)^2 dE

    Both integrals run along the energy axis; the inner one has one point less than
    the target, and the outer one uses the mask of those points, ``mask[..., 1:]``.

    :param predictions: predicted DOS, ``(samples, ..., points + E)``, states/eV
    :param targets: computed DOS, ``(samples, ..., points)``, states/eV
    :param mask: true where the target is to be compared, shape of ``targets``
    :param shift: shift of each sample, ``(samples,)``
    :param grid_spacing: distance between two columns, eV
    :return: ``(samples,)``, states\ :sup:`2` eV
    """
    error = _masked_error(predictions, targets, mask, shift)
    excess = torch.cumulative_trapezoid(error, dx=grid_spacing)
    return _sum_components(torch.trapezoid(mask[..., 1:] * excess**2, dx=grid_spacing))


def window(predictions: Tensor, shift: Tensor, points: int) -> Tensor:
    """
    Cut out of every prediction the columns that its target is compared with.

    :param predictions: predicted DOS, ``(samples, ..., points + E)``, states/eV
    :param shift: shift of each sample, ``(samples,)``
    :param points: number of columns of the target
    :return: ``(samples, ..., points)``, states/eV
    """
    columns = torch.arange(points, device=predictions.device)
    index = _per_component(shift, predictions) + columns
    return predictions.gather(-1, index.expand(*predictions.shape[:-1], points))


def check_inputs(predictions: Tensor, targets: Tensor, mask: Tensor) -> None:
    """
    Refuse tensors that do not belong together, before anything can broadcast.

    :param predictions: predicted DOS
    :param targets: computed DOS
    :param mask: true where the target is to be compared
    :raises TypeError: if ``mask`` is not boolean, or the dtypes differ
    :raises ValueError: if the shapes do not belong together
    """
    if mask.dtype != torch.bool:
        raise TypeError(
            f"mask: expected a tensor of torch.bool, got {mask.dtype}; convert it with "
            "mask.bool()"
        )
    if not predictions.is_floating_point() or targets.dtype != predictions.dtype:
        raise TypeError(
            "targets: expected the floating point dtype of predictions "
            f"({predictions.dtype}), got {targets.dtype}; convert with "
            "targets.to(predictions.dtype)"
        )
    if mask.shape != targets.shape:
        raise ValueError(
            f"mask: expected the shape of targets {tuple(targets.shape)}, got "
            f"{tuple(mask.shape)}; each value of a target needs its own mask value"
        )
    if targets.dim() < 2 or targets.shape[-1] == 0:
        raise ValueError(
            "targets: expected shape (samples, ..., points) with at least one point, "
            f"got {tuple(targets.shape)}; add the missing axis, for example with "
            "targets.unsqueeze(0)"
        )
    if predictions.shape[:-1] != targets.shape[:-1] or (
        predictions.shape[-1] < targets.shape[-1]
    ):
        raise ValueError(
            f"predictions: expected shape {(*targets.shape[:-1], 'points + E')} for "
            f"targets of shape {tuple(targets.shape)}, got {tuple(predictions.shape)}; "
            "samples and components must agree, and a prediction has at least as many "
            "columns as its target"
        )


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
    p = predictions.to(torch.float64)
    t = torch.where(mask, targets, 0).to(torch.float64)
    columns, points = p.shape[-1], t.shape[-1]
    shifts = columns - points + 1
    if len(p) == 0:  # some FFT libraries refuse to transform nothing
        return p.new_zeros(0, shifts), p.new_zeros(0)

    weights = torch.full_like(t[:1], grid_spacing)  # of the trapezoidal rule
    weights[..., 0] -= grid_spacing / 2
    weights[..., -1] -= grid_spacing / 2
    m = mask * weights

    costs = tail_weight * _front_tails(p, grid_spacing)[..., :shifts]

    # The costs see differences of p and t alone. Taking their common level away leaves
    # small numbers, and so small rounding errors, for a flat DOS.
    level = (m * t).sum(-1, keepdim=True) / m.sum(-1, keepdim=True).clamp(
        min=torch.finfo(m.dtype).tiny
    )
    p = p - level
    mt = m * (t - level)

    # No lag up to E wraps around, so the length needs no padding beyond the prediction.
    size = fast_fft_size(columns)
    spectrum = torch.fft.rfft(m, n=size).conj() * torch.fft.rfft(p * p, n=size)
    spectrum -= 2 * torch.fft.rfft(mt, n=size).conj() * torch.fft.rfft(p, n=size)
    correlation = torch.fft.irfft(spectrum, n=size)[..., :shifts]

    costs = costs + correlation + (mt * (t - level)).sum(-1, keepdim=True)
    rounding = _norm(m) * _norm(p * p) + 2 * _norm(mt) * _norm(p)
    rounding = TIE_ROUNDINGS * torch.finfo(p.dtype).eps * rounding

    if costs.dim() > 2:
        costs = costs.flatten(1, -2).sum(1)
    return costs, _sum_components(rounding)


def _masked_error(
    predictions: Tensor, targets: Tensor, mask: Tensor, shift: Tensor
) -> Tensor:
    """Subtract the targets where they count, ``(samples, ..., points)``."""
    error = window(predictions, shift, targets.shape[-1]) - targets
    return torch.where(mask, error, 0)


def _front_tails(predictions: Tensor, grid_spacing: float) -> Tensor:
    """
    Integrate the squared prediction from the first column up to each column.

    :return: ``(samples, ..., columns)``, zero in the first column
    """
    tails = torch.cumulative_trapezoid(predictions**2, dx=grid_spacing)
    return torch.nn.functional.pad(tails, (1, 0))


def _norm(values: Tensor) -> Tensor:
    """Return the Euclidean norm along the last axis."""
    return torch.linalg.vector_norm(values, dim=-1)


def _per_component(shift: Tensor, like: Tensor) -> Tensor:
    """Give every component of a sample its shift: ``(samples, ..., 1)``."""
    per_sample = shift.view(-1, *[1] * (like.dim() - 1))
    return per_sample.expand(*like.shape[:-1], 1)


def _sum_components(values: Tensor) -> Tensor:
    """Add up everything behind the first axis: ``(samples, ...) -> (samples,)``."""
    return values.flatten(1).sum(1) if values.dim() > 1 else values
