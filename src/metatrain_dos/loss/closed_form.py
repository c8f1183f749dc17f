r"""
Compute the loss and its gradient with few operations of torch, for a GPU.

A GPU is done with a batch sooner than a CPU can tell it what to do, so that the number
of operations decides. Automatic differentiation of :mod:`metatrain_dos.loss.terms` has
three times as many. Nothing here waits for the device.

Each term is a quadratic form: of some ``x``, which is linear in the prediction, and the
derivative ``d_x`` of the term by it, which is linear in ``x``. The term is half of
their product.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from .alignment import best_shift, halve_ends_, per_component
from .cpu import KERNELS, WEIGHTS
from .terms import STENCIL


TAPS = [weight / STENCIL[-1] for weight in STENCIL]
"""The stencil in units of its last coefficient, which needs no operation of its own."""


def can_run(predictions: Tensor) -> bool:
    """
    Tell whether the gradient is accurate in the numbers of these predictions.

    :param predictions: predicted DOS
    :return: whether they are float32 or float64
    """
    return predictions.dtype in (torch.float32, torch.float64)


def loss_and_gradient(
    predictions: Tensor,
    targets: Tensor,
    mask: Tensor,
    *,
    with_gradient: bool,
    weights: Mapping[str, float],
    grid_spacing: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """
    Compute the loss of each sample, its terms, and its gradient.

    Arguments and results are those of :func:`metatrain_dos.loss.cpu.loss_and_gradient`.
    """
    p, t, h = predictions.detach(), targets.detach(), grid_spacing
    columns, points, reach = p.shape[-1], t.shape[-1], len(STENCIL) - 1
    tail_weight, grad_weight, int_weight = (
        weights.get(option, 0.0) for option in WEIGHTS
    )
    mask = mask & (t == t)  # NaN is not itself
    shift = best_shift(p, t, mask, grid_spacing=h, tail_weight=tail_weight)
    # Zero, but if a prediction is not finite anywhere.
    zero = 0.0 * p.sum(-1, keepdim=True)
    position = torch.arange(columns, device=p.device)
    first = per_component(shift, p)
    window = (first + position[:points]).expand_as(t)

    error = torch.where(mask, p.gather(-1, window) - t, zero)
    d_error = halve_ends_(torch.add(zero, error, alpha=2 * h))
    forms = {"masked": (d_error, error)}
    if tail_weight and columns > points:
        in_front = (first + 0.5 - position).clamp(0, 1)  # half at the shift itself
        in_front[..., 0].sub_(0.5)
        d_p = torch.addcmul(zero, p, in_front, value=2 * h * tail_weight)
        forms["tail"] = d_p, p
    if grad_weight and columns > reach:
        slope = p[..., reach:]
        for k in range(reach):
            slope = torch.add(slope, p[..., k : columns - reach + k], alpha=TAPS[k])
        free = (position >= first).expand_as(p).scatter(-1, window, ~mask)
        scale = 2 * grad_weight * STENCIL[-1] ** 2 / h
        d_slope = torch.addcmul(zero, slope, free[..., reach:], value=scale)
        forms["gradient"] = halve_ends_(d_slope), slope
    if int_weight and points > 2:
        twice = torch.cumsum(error[..., 1:] + error[..., :-1], -1)  # in units of h
        scale = int_weight * h**3 / 2
        d_twice = torch.addcmul(zero, twice, mask[..., 1:], value=scale)
        forms["cumulative"] = halve_ends_(d_twice), twice

    terms = p.new_zeros(len(p), len(KERNELS))
    products = torch._foreach_mul(*map(list, zip(*forms.values(), strict=True)))
    for name, product in zip(forms, products, strict=True):
        axes = tuple(range(1, product.dim()))
        torch.sum(product, axes, out=terms[:, KERNELS.index(name)])
    terms *= 0.5
    if not with_gradient:
        return terms.sum(-1), terms, shift, None

    gradient = d_p if "tail" in forms else torch.zeros_like(p)
    if "gradient" in forms:
        for k, tap in enumerate(TAPS):
            gradient[..., k : columns - reach + k].add_(d_slope, alpha=tap)
    if "cumulative" in forms:
        later = d_twice.flip(-1).cumsum(-1).flip(-1)
        d_error[..., 1:].add_(later)
        d_error[..., :-1].add_(later)
        d_error.mul_(mask)
    return terms.sum(-1), terms, shift, gradient.scatter_add_(-1, window, d_error)
