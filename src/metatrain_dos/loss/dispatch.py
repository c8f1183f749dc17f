r"""
Compute the loss by the fastest implementation that can do it.

:func:`masked_dos` returns the numbers of :mod:`metatrain_dos.loss.terms`, and the terms
and shifts besides. The terms of :data:`~metatrain_dos.loss.cpu.KERNELS` are quadratic
in the prediction, so their gradients are linear and cheap as long as the arrays of the
forward pass are at hand: :mod:`metatrain_dos.loss.cpu` computes both with compiled
loops, structure by structure, and :mod:`metatrain_dos.loss.closed_form` with few
operations of torch. All other terms, and all of them where neither is possible, are
those of :mod:`metatrain_dos.loss.terms` with automatic differentiation.
"""

import functools
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._compile import _disable_dynamo
from torch.autograd import forward_ad

from . import closed_form, cpu
from .checks import check_inputs
from .per_structure import factor_of_structure
from .terms import TERMS, Term, weighted_terms


class Found(NamedTuple):
    """
    The loss of each sample, ``(samples,)``, and its parts.

    :param terms: weighted terms, detached, which add up to it, ``(samples, terms)``
    :param shift: shift of each sample, ``(samples,)``, columns
    """

    loss: Tensor
    terms: Tensor
    shift: Tensor


def _outside_of_graphs(function: Callable[..., Found]) -> Callable[..., Found]:
    """
    Keep ``torch.compile`` out of a function, at the price of a graph break.

    ``torch.compiler.disable`` does the same, but takes two seconds to import.
    """
    disabled = _disable_dynamo(function)

    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> Found:
        compute = disabled if torch.compiler.is_compiling() else function
        return compute(*arguments, **options)

    return call


@_outside_of_graphs
def masked_dos(
    predictions: Tensor,
    targets: Tensor,
    mask: Tensor,
    weights: Mapping[str, float],
    *,
    grid_spacing: float,
    per_structure: str = "square",
    terms: tuple[Term, ...] = TERMS,
) -> Found:
    r"""
    Compute the aligned, masked loss of a density of states for each sample.

    Same arguments and errors as :func:`metatrain_dos.loss.terms.masked_dos`.
    Gradients reach ``predictions`` and ``targets``, any number of times.

    :return: the loss, its terms and the shifts
    """
    kernels = len(cpu.KERNELS)
    has_kernels = tuple(term.name for term in terms[:kernels]) == cpu.KERNELS
    with_torch = targets.requires_grad or _is_transformed(predictions, targets, mask)
    usable = (m for m in (cpu, closed_form) if m.can_run(predictions))
    implementation = next(usable, None) if has_kernels and not with_torch else None
    if implementation is None:
        found, shift = weighted_terms(
            predictions, targets, mask, weights, grid_spacing=grid_spacing, terms=terms
        )
        total = found.sum(-1)
    else:
        check_inputs(predictions, targets, mask)
        total, found, shift = _ClosedForm.apply(
            predictions, targets, mask, dict(weights), grid_spacing, implementation
        )
        for term in terms[kernels:]:
            if weight := term.weight(weights):
                valid = mask & ~torch.isnan(targets)
                value = weight * term.function(
                    predictions, targets, valid, shift, grid_spacing=grid_spacing
                )
                total = total + value
            else:
                value = torch.zeros_like(total)
            found = torch.cat([found, value.detach()[:, None]], -1)
    factor = factor_of_structure(
        total, targets, mask, per_structure, grid_spacing=grid_spacing
    )
    if isinstance(factor, float):  # 1, of the square
        return Found(total, found.detach(), shift)
    return Found(total * factor, (found * factor[:, None]).detach(), shift)


def _is_transformed(*tensors: Tensor) -> bool:
    """Tell whether ``torch.func`` or forward-mode differentiation follows a tensor."""
    return any(
        torch._C._functorch.is_functorch_wrapped_tensor(tensor)
        or forward_ad.unpack_dual(tensor).tangent is not None
        for tensor in tensors
    )


class _ClosedForm(torch.autograd.Function):
    """The sum of the terms that have a kernel, with the gradient in closed form."""

    @staticmethod
    def forward(
        ctx: Any,
        predictions: Tensor,
        targets: Tensor,
        mask: Tensor,
        weights: dict[str, float],
        grid_spacing: float,
        implementation: ModuleType,
    ) -> tuple[Tensor, Tensor, Tensor]:
        loss, terms, shift, gradient = implementation.loss_and_gradient(
            predictions,
            targets,
            mask,
            with_gradient=ctx.needs_input_grad[0],
            weights=weights,
            grid_spacing=grid_spacing,
        )
        ctx.weights, ctx.grid_spacing = weights, grid_spacing
        ctx.save_for_backward(predictions, targets, mask, gradient)
        ctx.mark_non_differentiable(terms, shift)
        ctx.set_materialize_grads(False)  # nobody asks for those of terms and shift
        return loss, terms, shift

    @staticmethod
    def backward(ctx: Any, outer: Tensor | None, *_: None) -> tuple[Tensor | None, ...]:
        if outer is None:  # nothing depends on the loss
            return 6 * (None,)
        predictions, targets, mask, gradient = ctx.saved_tensors
        if torch.is_grad_enabled():  # somebody wants to differentiate the gradient
            kernels = TERMS[: len(cpu.KERNELS)]
            terms, _shift = weighted_terms(
                predictions,
                targets,
                mask,
                ctx.weights,
                grid_spacing=ctx.grid_spacing,
                terms=kernels,
            )
            (inner,) = torch.autograd.grad(
                terms.sum(-1), predictions, outer, create_graph=True
            )
            return inner, *5 * (None,)
        per_sample = outer.view(-1, *[1] * (gradient.dim() - 1))
        return gradient * per_sample, *5 * (None,)
