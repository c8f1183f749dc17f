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
shift of their sample and their contributions add up. Target values where the mask is
false never matter, not even when they are NaN; in :func:`masked_dos` and
:func:`weighted_terms`, NaN where it is true counts as masked. All integrals are
trapezoidal.

Read it from top to bottom: the terms, the table of them, and their weighted sum, which
:mod:`metatrain_dos.loss.per_structure` turns into the loss of a structure. The search
for the best shift is in :mod:`metatrain_dos.loss.alignment`. The same numbers, and
their gradient, with less work: ``metatrain_dos.loss.dispatch``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .alignment import best_shift, per_component, sum_components, window
from .checks import check_inputs
from .per_structure import factor_of_structure


# Backward difference of fourth order, in units of 1 / grid_spacing. The first entry
# belongs to the column four steps back, the last to the column itself.
STENCIL = (1 / 4, -4 / 3, 3.0, -4.0, 25 / 12)


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
    predictions: Tensor,
    targets: Tensor,
    mask: Tensor,
    shift: Tensor,
    *,
    grid_spacing: float,
) -> Tensor:
    r"""
    Integrate the squared prediction from the first column to where the target begins.

    The DOS is zero below the first point of the target, so this is an error.

    .. math:: \int_0^s p^2 \, dE

    :return: ``(samples,)``, states\ :sup:`2`/eV
    """
    tails = torch.cumulative_trapezoid(predictions**2, dx=grid_spacing)
    tails = torch.nn.functional.pad(tails, (1, 0))  # zero in the first column
    return sum_components(tails.gather(-1, per_component(shift, tails)).squeeze(-1))


def gradient_term(
    predictions: Tensor,
    targets: Tensor,
    mask: Tensor,
    shift: Tensor,
    *,
    grid_spacing: float,
) -> Tensor:
    r"""
    Integrate the squared slope of the prediction where no target constrains it.

    .. math:: \int u \, g^2 \, dE

    with :math:`g` the fourth-order backward difference of :math:`p` and :math:`u` true
    behind the shifted target and, inside it, where the mask is false. The columns in
    front of the target belong to :func:`front_tail_term`.

    :return: ``(samples,)``, states\ :sup:`2`/eV\ :sup:`3`
    """
    columns, points = predictions.shape[-1], mask.shape[-1]
    reach = len(STENCIL) - 1
    if columns <= reach:  # too narrow to have a slope anywhere
        return predictions.new_zeros(len(predictions))

    slope = sum(
        weight * predictions[..., k : columns - reach + k]
        for k, weight in enumerate(STENCIL)
    )
    position = torch.arange(columns, device=mask.device) - per_component(shift, mask)
    unmasked = ~mask.gather(-1, position.clamp(0, points - 1).expand_as(predictions))
    free = (position >= points) | (unmasked & (position >= 0))

    slope = torch.where(free[..., reach:], slope / grid_spacing, 0)
    return sum_components(torch.trapezoid(slope**2, dx=grid_spacing))


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

    :return: ``(samples,)``, states\ :sup:`2` eV
    """
    error = _masked_error(predictions, targets, mask, shift)
    excess = torch.cumulative_trapezoid(error, dx=grid_spacing)
    excess = torch.where(mask[..., 1:], excess, 0)
    return sum_components(torch.trapezoid(excess**2, dx=grid_spacing))


@dataclass(frozen=True)
class Term:
    """
    A term of the loss.

    :param name: name in logs and reports
    :param function: computes it, ``(samples,)``
    :param option: name of the option that is its weight; ``None`` for a weight of 1
    :param unit: unit of the term without its weight
    :param meaning: one line for tables
    """

    name: str
    function: Callable[..., Tensor]
    option: str | None
    unit: str
    meaning: str

    def weight(self, weights: Mapping[str, float]) -> float:
        """Look up the weight of this term, by the name of its option; 0 without one."""
        return 1.0 if self.option is None else weights.get(self.option, 0.0)


TERMS = (
    Term(
        "masked",
        masked_term,
        None,
        "states²/eV",
        "squared error over the trusted range",
    ),
    Term(
        "tail",
        front_tail_term,
        "tail_weight",
        "states²/eV",
        "squared prediction in front of the target",
    ),
    Term(
        "gradient",
        gradient_term,
        "grad_weight",
        "states²/eV³",
        "squared slope where nothing is trusted",
    ),
    Term(
        "cumulative",
        cumulative_term,
        "int_weight",
        "states² eV",
        "squared error of the integrated DOS",
    ),
)
"""
The terms of the loss. Weighted sum, log, reports and the table in the documentation
derive from this; weights are options of
:class:`~metatrain_dos.loss.options.MaskedDOSHypers`.
"""


def masked_dos(
    predictions: Tensor,
    targets: Tensor,
    mask: Tensor,
    weights: Mapping[str, float],
    *,
    grid_spacing: float,
    per_structure: str = "square",
    terms: tuple[Term, ...] = TERMS,
) -> Tensor:
    r"""
    Compute the aligned, masked loss of a density of states for each sample.

    :param predictions: predicted DOS, ``(samples, ..., points + E)``, states/eV
    :param targets: computed DOS, ``(samples, ..., points)``, states/eV
    :param mask: true where the target is to be compared, shape of ``targets``
    :param weights: weights of the terms by the name of their option
    :param grid_spacing: distance between two columns, eV
    :param per_structure: see
        :func:`~metatrain_dos.loss.per_structure.factor_of_structure`
    :param terms: the terms
    :return: loss of each sample, ``(samples,)``; not finite where a prediction is not
    :raises TypeError: if ``mask`` is not boolean, or the dtypes differ
    :raises ValueError: if the shapes do not belong together
    """
    found, _ = weighted_terms(
        predictions, targets, mask, weights, grid_spacing=grid_spacing, terms=terms
    )
    total = found.sum(-1)
    return total * factor_of_structure(
        total, targets, mask, per_structure, grid_spacing=grid_spacing
    )


def weighted_terms(
    predictions: Tensor,
    targets: Tensor,
    mask: Tensor,
    weights: Mapping[str, float],
    *,
    grid_spacing: float,
    terms: tuple[Term, ...] = TERMS,
) -> tuple[Tensor, Tensor]:
    r"""
    Compute each term at the best shift, times its weight.

    .. math:: L = \sum_k w_k \, T_k(s^*)

    The best shift :math:`s^*` minimises the masked term plus the weighted front tail.
    Arguments and errors are those of :func:`masked_dos`.

    :return: the weighted terms, ``(samples, terms)``, and the shifts, ``(samples,)``
    """
    check_inputs(predictions, targets, mask)
    mask = mask & ~torch.isnan(targets)
    tail_weight = weights.get("tail_weight", 0.0)
    shift = best_shift(predictions, targets, mask, tail_weight=tail_weight)
    # No term sees every column, but a prediction that is not finite anywhere is broken.
    # Sums overflow float16.
    wide = torch.promote_types(predictions.dtype, torch.float32)
    broken = (0.0 * predictions.flatten(1).sum(1, dtype=wide)).to(predictions.dtype)
    found = []
    for term in terms:
        weight = term.weight(weights)
        if weight == 0:  # it could still overflow
            found.append(torch.zeros_like(broken))
            continue
        value = term.function(
            predictions, targets, mask, shift, grid_spacing=grid_spacing
        )
        found.append(weight * value)
    found[0] = found[0] + broken
    return torch.stack(found, -1), shift


def _masked_error(
    predictions: Tensor, targets: Tensor, mask: Tensor, shift: Tensor
) -> Tensor:
    """Subtract the targets where they count, ``(samples, ..., points)``."""
    error = window(predictions, shift, targets.shape[-1]) - targets
    return torch.where(mask, error, 0)
