r"""
Compute the loss and its gradient together, in few passes over memory.

:func:`masked_dos` returns what :func:`metatrain_dos.functional.masked_dos` returns.
Automatic differentiation of that function spends most of its time on the backward
passes of slices and sums. All terms are quadratic in the prediction, though, so their
gradients are linear and cheap, as long as the arrays of the forward pass are at hand.
Read :mod:`metatrain_dos.functional` for the equations.
"""

from typing import Any

import torch
from torch import Tensor

from . import functional
from .alignment import best_shift, weigh_ends_
from .functional import STENCIL


# Numbers in the arrays that are worked on at once on a CPU: few enough for them to stay
# in its cache, enough to make the calls to torch cheap in comparison.
CHUNK = 65536


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

    Same arguments, result and errors as :func:`metatrain_dos.functional.masked_dos`.
    Gradients reach ``predictions``, any number of times; where ``targets`` need them
    too, that function is called instead.
    """
    options = {
        "grad_weight": grad_weight,
        "int_weight": int_weight,
        "grid_spacing": grid_spacing,
        "tail_weight": tail_weight,
    }
    if targets.requires_grad:
        return functional.masked_dos(predictions, targets, mask, **options)
    functional.check_inputs(predictions, targets, mask)
    return _MaskedDOS.apply(predictions, targets, mask, options)


class _MaskedDOS(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        predictions: Tensor,
        targets: Tensor,
        mask: Tensor,
        options: dict[str, float],
    ) -> Tensor:
        gradient = None
        if ctx.needs_input_grad[0]:
            gradient = torch.empty_like(
                predictions, memory_format=torch.contiguous_format
            )
        loss = predictions.new_empty(len(predictions))
        for rows in _chunks(predictions):
            loss[rows] = _loss_and_gradient(
                predictions[rows],
                targets[rows],
                mask[rows],
                None if gradient is None else gradient[rows],
                **options,
            )
        ctx.options = options
        ctx.save_for_backward(predictions, targets, mask, gradient)
        return loss

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, None, None, None]:
        predictions, targets, mask, gradient = ctx.saved_tensors
        if torch.is_grad_enabled():  # somebody wants to differentiate the gradient
            loss = functional.masked_dos(predictions, targets, mask, **ctx.options)
            (inner,) = torch.autograd.grad(loss, predictions, outer, create_graph=True)
            return inner, None, None, None
        per_sample = outer.view(-1, *[1] * (gradient.dim() - 1))
        return gradient * per_sample, None, None, None


def _chunks(predictions: Tensor) -> list[slice]:
    """Cut the samples into pieces for the cache of a CPU; a GPU takes all at once."""
    samples = len(predictions)
    if predictions.device.type != "cpu" or predictions.numel() <= CHUNK:
        return [slice(samples)] if samples else []
    step = max(1, CHUNK * samples // predictions.numel())
    return [slice(first, first + step) for first in range(0, samples, step)]


def _loss_and_gradient(
    predictions: Tensor,
    targets: Tensor,
    mask: Tensor,
    gradient: Tensor | None,
    *,
    grad_weight: float,
    int_weight: float,
    grid_spacing: float,
    tail_weight: float,
) -> Tensor:
    """
    Compute the loss of each sample and write its gradient into ``gradient``.

    Variables are named as in the equations; ``d_x`` is the derivative of the loss with
    respect to ``x``.
    """
    h = grid_spacing
    columns, points = predictions.shape[-1], targets.shape[-1]
    extra, reach = columns - points, len(STENCIL) - 1
    shift = best_shift(
        predictions, targets, mask, grid_spacing=h, tail_weight=tail_weight
    )
    index = functional.window_index(predictions, shift, points)

    # masked term, on the window; bytes convert faster than booleans
    m = mask.view(torch.uint8).to(predictions.dtype)
    e = predictions.gather(-1, index).sub_(torch.nan_to_num(targets)).mul_(m)
    d_e = weigh_ends_(e * (2 * h))
    twice = _dot(d_e, e)  # a quadratic form is half the product with its derivative

    if int_weight and points > 1:
        # cumulative term: c is the trapezoidal running integral of e in units of h, 0
        # at the first point, and the reverse running integral of d_c leads back to e
        c = e.cumsum(-1).sub_(e + e[..., :1], alpha=0.5)
        d_c = (c * m).mul_(2 * h**3 * int_weight)
        weigh_ends_(d_c[..., 1:])
        twice += _dot(d_c, c)
        if gradient is not None:
            total = d_c.sum(-1, keepdim=True)
            d_e += total - d_c.cumsum(-1).sub_(d_c, alpha=0.5)
            d_e[..., :1].sub_(total, alpha=0.5)
    if gradient is not None:
        gradient.zero_().scatter_(-1, index, d_e.mul_(m))

    # columns counted from the first of the window
    position = torch.arange(columns, dtype=m.dtype, device=m.device)
    position = _like_samples(position - shift.unsqueeze(-1), predictions)

    if tail_weight and extra:
        # front tail: columns 0 to shift, the first and the last with half weight
        front = predictions[..., : extra + 1]
        weight = (0.5 - position[..., : extra + 1]).clamp_(0, 1)
        weight[..., 0].sub_(0.5)
        d_front = front * weight.mul_(2 * h * tail_weight)
        twice += _dot(d_front, front)
        if gradient is not None:
            gradient[..., : extra + 1].add_(d_front)

    if grad_weight and columns > reach:
        # gradient term: u is one where the prediction is free, and g its slope
        u = (position + 1).clamp_(0, 1).expand_as(predictions)
        u = u.scatter(-1, index, 1 - m)[..., reach:]
        g = _stencil(predictions, h)
        d_g = weigh_ends_(u.mul_(g)).mul_(2 * h * grad_weight)
        twice += _dot(d_g, g)
        if gradient is not None:
            _add_stencil_transposed(gradient, d_g, h)

    # No term sees every column, but a prediction that is not finite anywhere is broken.
    return 0.5 * twice + 0.0 * predictions.flatten(1).sum(1)


def _stencil(predictions: Tensor, grid_spacing: float) -> Tensor:
    """Compute the slope of the prediction, ``(samples, ..., columns - 4)``."""
    width = predictions.shape[-1] - len(STENCIL) + 1
    slope = predictions[..., :width] * (STENCIL[0] / grid_spacing)
    for k, weight in enumerate(STENCIL[1:], start=1):
        slope.add_(predictions[..., k : k + width], alpha=weight / grid_spacing)
    return slope


def _add_stencil_transposed(
    gradient: Tensor, d_slope: Tensor, grid_spacing: float
) -> None:
    """Add the derivative with respect to the prediction to ``gradient``."""
    width = d_slope.shape[-1]
    for k, weight in enumerate(STENCIL):
        gradient[..., k : k + width].add_(d_slope, alpha=weight / grid_spacing)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Multiply and add up everything behind the first axis, ``(samples,)``."""
    return torch.linalg.vecdot(a.flatten(1), b.flatten(1))


def _like_samples(per_sample: Tensor, like: Tensor) -> Tensor:
    """Insert axes of length 1 for the components: ``(samples, ..., columns)``."""
    return per_sample.view(len(like), *[1] * (like.dim() - 2), per_sample.shape[-1])
