r"""
Compute the loss and its gradient with few operations of torch, for a GPU.

A GPU is done with a batch sooner than a CPU can tell it what to do, so that the number
of operations decides. Automatic differentiation of :mod:`metatrain_dos.loss.terms` has
three times as many. Nothing here waits for the device.

Each term integrates the square of some ``x``, which is linear in the prediction: error,
front tail, slope and integrated error. Times the weights of the trapezoidal rule, and
zero where it does not count, ``x`` becomes ``d_x``. But for a factor, their product is
the term, and ``d_x`` its derivative by ``x``.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from .alignment import fast_fft_size, first_minimum, halve_ends_, per_component
from .cpu import WEIGHTS
from .terms import STENCIL


TAPS = [weight / STENCIL[-1] for weight in STENCIL]
"""The stencil in units of its last coefficient, which needs no operation of its own."""


def can_run(predictions: Tensor) -> bool:
    """Tell whether the gradient is accurate in the numbers of these predictions."""
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
    extra = columns - points
    tail_weight, grad_weight, int_weight = (
        weights.get(option, 0.0) for option in WEIGHTS
    )
    if columns <= reach:  # too narrow to have a slope anywhere
        grad_weight = 0.0

    # Mask and target, then for each term x and d_x. E zeros are in front of all, as the
    # search of the shift wants it.
    rows = p.new_zeros(10, *p.shape[:-1], fast_fft_size(columns + extra))
    m_t, x, d_x = rows[:2], rows[2:6], rows[6:]
    p = x[1, ..., extra : extra + columns].copy_(p)
    d_p = d_x[1, ..., extra : extra + columns]
    slope, d_slope = (row[2, ..., extra + reach : extra + columns] for row in (x, d_x))
    # target less prediction, and its running integral in units of h / 2
    errors, d_errors = (row[::3, ..., extra:columns] for row in (x, d_x))
    (error, integral), (d_error, d_integral) = errors, d_errors
    zero = integral[..., :1]  # where it begins

    mask = mask & (t == t)  # NaN is not itself
    m = m_t[0, ..., extra:columns].copy_(mask)
    t = torch.where(mask, t, zero, out=m_t[1, ..., extra:columns])
    shift = first_minimum(x[1], m_t, points, extra, tail_weight)
    position = torch.arange(columns, device=p.device)
    first = per_component(shift, p)
    window = (first + position[:points]).expand_as(t)
    in_front = position < first

    torch.addcmul(t, p.gather(-1, window), m, value=-1, out=error)
    if int_weight:
        torch.cumsum(error[..., 1:] + error[..., :-1], -1, out=integral[..., 1:])
    torch.addcmul(zero, errors, m, value=-2 * h, out=d_errors)
    halve_ends_(d_error)
    halve_ends_(d_integral[..., 1:])
    # Each interval in front counts half of its two ends. All columns take part, so that
    # a prediction that is not finite anywhere breaks the loss.
    torch.addcmul(zero, p, in_front, value=h * tail_weight, out=d_p)
    d_p[..., 1:].addcmul_(p[..., 1:], in_front[..., :-1], value=h * tail_weight)
    steps = [slice(k, columns - reach + k) for k in range(reach + 1)]
    if grad_weight:
        found = p[..., reach:]
        for step, tap in zip(steps[:-1], TAPS[:-1], strict=True):
            found = torch.add(found, p[..., step], alpha=tap, out=slope)
        constrained = in_front.scatter(-1, window, mask)[..., reach:]
        halve_ends_(torch.where(constrained, zero, slope, out=d_slope))

    per_integral = int_weight * h**2 / 4
    per_slope = grad_weight * STENCIL[-1] ** 2 / h
    terms = (d_x * x).sum(tuple(range(1 - p.dim(), 0)))
    torch._foreach_mul_(list(terms), [-0.5, 0.5, per_slope, -0.5 * per_integral])
    loss, terms = terms.sum(0), terms.T
    if not with_gradient:
        return loss, terms, shift, None

    if grad_weight:
        for step, tap in zip(steps, TAPS, strict=True):
            d_p[..., step].add_(d_slope, alpha=2 * per_slope * tap)
    if int_weight:  # an error is in all integrals behind it, and half in its own
        later = torch.cumsum(d_integral, -1)
        later = later[..., -1:] - later
        d_error.addcmul_(later, m, value=per_integral)
        d_error[..., 1:].addcmul_(later[..., :-1], m[..., 1:], value=per_integral)
    # not in place, or the gradient would keep all rows
    return loss, terms, shift, d_p.scatter_add(-1, window, d_error)
