r"""
Compute the loss and its gradient together, where that is faster.

:func:`masked_dos` returns what :func:`metatrain_dos.loss.terms.masked_dos` returns. All
terms are quadratic in the prediction, so that their gradients are linear and cheap, as
long as the arrays of the forward pass are at hand. On a CPU,
:mod:`metatrain_dos.loss.cpu` computes both structure by structure; where it cannot,
this is :mod:`metatrain_dos.loss.terms` and automatic differentiation.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from . import cpu
from . import terms as torch_terms
from .checks import check_inputs


Watch = Callable[[Tensor, Tensor], None]


def masked_dos(
    predictions: Tensor,
    targets: Tensor,
    mask: Tensor,
    *,
    grad_weight: float,
    int_weight: float,
    grid_spacing: float,
    tail_weight: float,
    watch: Watch | None = None,
) -> Tensor:
    r"""
    Compute the aligned, masked loss of a density of states for each sample.

    Same arguments, result and errors as :func:`metatrain_dos.loss.terms.masked_dos`.
    Gradients reach ``predictions`` and ``targets``, any number of times.

    :param watch: is given the results of
        :func:`metatrain_dos.loss.terms.weighted_terms`, detached
    """
    options = {
        "grad_weight": grad_weight,
        "int_weight": int_weight,
        "grid_spacing": grid_spacing,
        "tail_weight": tail_weight,
    }
    if targets.requires_grad or not cpu.can_run(predictions):
        terms, shift = torch_terms.weighted_terms(predictions, targets, mask, **options)
        loss = terms.sum(-1)
    else:
        check_inputs(predictions, targets, mask)
        loss, terms, shift = _Compiled.apply(predictions, targets, mask, options)
    if watch is not None:
        watch(terms.detach(), shift)
    return loss


class _Compiled(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        predictions: Tensor,
        targets: Tensor,
        mask: Tensor,
        options: dict[str, float],
    ) -> tuple[Tensor, Tensor, Tensor]:
        loss, terms, shift, gradient = cpu.loss_and_gradient(
            predictions, targets, mask, with_gradient=ctx.needs_input_grad[0], **options
        )
        ctx.options = options
        ctx.save_for_backward(predictions, targets, mask, gradient)
        ctx.mark_non_differentiable(terms, shift)
        ctx.set_materialize_grads(False)  # nobody asks for those of terms and shift
        return loss, terms, shift

    @staticmethod
    def backward(
        ctx: Any, outer: Tensor | None, *_: None
    ) -> tuple[Tensor | None, None, None, None]:
        if outer is None:  # nothing depends on the loss
            return None, None, None, None
        predictions, targets, mask, gradient = ctx.saved_tensors
        if torch.is_grad_enabled():  # somebody wants to differentiate the gradient
            loss = torch_terms.masked_dos(predictions, targets, mask, **ctx.options)
            (inner,) = torch.autograd.grad(loss, predictions, outer, create_graph=True)
            return inner, None, None, None
        per_sample = outer.view(-1, *[1] * (gradient.dim() - 1))
        return gradient * per_sample, None, None, None
