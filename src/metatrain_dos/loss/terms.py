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
mask is false never matters, not even when it is NaN; in :func:`masked_dos` and
:func:`weighted_terms`, NaN where it is true counts as masked. All integrals are
trapezoidal.

This module is the specification in executable form; how the best shift is found is in
:mod:`metatrain_dos.loss.alignment`. ``metatrain_dos.loss.dispatch`` computes the same
number, and its gradient, in fewer passes over memory.
"""

import torch
from torch import Tensor

from .alignment import best_shift, front_tails, per_component, sum_components, window
from .checks import check_inputs


__all__ = [
    "best_shift",
    "cumulative_term",
    "front_tail_term",
    "gradient_term",
    "masked_dos",
    "masked_term",
    "weighted_terms",
    "window",
]

# Backward difference of fourth order, in units of 1 / grid_spacing. The first entry
# belongs to the column four steps back, the last to the column itself.
STENCIL = (1 / 4, -4 / 3, 3.0, -4.0, 25 / 12)


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
    terms, _ = weighted_terms(
        predictions,
        targets,
        mask,
        grad_weight=grad_weight,
        int_weight=int_weight,
        grid_spacing=grid_spacing,
        tail_weight=tail_weight,
    )
    return terms.sum(-1)


def weighted_terms(
    predictions: Tensor,
    targets: Tensor,
    mask: Tensor,
    *,
    grad_weight: float,
    int_weight: float,
    grid_spacing: float,
    tail_weight: float,
) -> tuple[Tensor, Tensor]:
    r"""
    Compute what adds up to :func:`masked_dos`, each term times its weight.

    Arguments and errors are those of :func:`masked_dos`.

    :return: :math:`D`, :math:`w_\text{grad} G` and :math:`w_\text{int} C`,
        ``(samples, 3)``, and the shift of each sample, ``(samples,)``
    """
    check_inputs(predictions, targets, mask)
    mask = mask & ~torch.isnan(targets)
    shift = best_shift(
        predictions, targets, mask, grid_spacing=grid_spacing, tail_weight=tail_weight
    )

    # No term sees every column, but a prediction that is not finite anywhere is broken.
    broken = 0.0 * predictions.flatten(1).sum(1)
    dos = broken + masked_term(
        predictions, targets, mask, shift, grid_spacing=grid_spacing
    )
    gradient = cumulative = torch.zeros_like(dos)
    # A term without weight could still overflow.
    if tail_weight > 0:
        tail = front_tail_term(predictions, shift, grid_spacing=grid_spacing)
        dos = dos + tail_weight * tail
    if grad_weight > 0:
        gradient = grad_weight * gradient_term(
            predictions, mask, shift, grid_spacing=grid_spacing
        )
    if int_weight > 0:
        cumulative = int_weight * cumulative_term(
            predictions, targets, mask, shift, grid_spacing=grid_spacing
        )
    return torch.stack([dos, gradient, cumulative], -1), shift


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
    return sum_components(torch.trapezoid(error**2, dx=grid_spacing))


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
    tails = front_tails(predictions, grid_spacing)
    return sum_components(tails.gather(-1, per_component(shift, tails)).squeeze(-1))


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
    position = torch.arange(columns, device=mask.device) - per_component(shift, mask)
    unmasked = ~mask.gather(-1, position.clamp(0, points - 1).expand_as(predictions))
    free = (position >= points) | (unmasked & (position >= 0))

    squared = (slope / grid_spacing) ** 2 * free[..., reach:]
    return sum_components(torch.trapezoid(squared, dx=grid_spacing))


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
    return sum_components(torch.trapezoid(mask[..., 1:] * excess**2, dx=grid_spacing))


def _masked_error(
    predictions: Tensor, targets: Tensor, mask: Tensor, shift: Tensor
) -> Tensor:
    """Subtract the targets where they count, ``(samples, ..., points)``."""
    error = window(predictions, shift, targets.shape[-1]) - targets
    return torch.where(mask, error, 0)
