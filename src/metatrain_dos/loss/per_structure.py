"""The factor that turns the weighted sum of the terms into the loss of a structure."""

import torch
from torch import Tensor

from .alignment import sum_components


SOFTENING = 1e-6
"""Smooths the root of a loss of zero, where its slope would be infinite."""


def factor_of_structure(
    total: Tensor,
    targets: Tensor,
    mask: Tensor,
    per_structure: str,
    *,
    grid_spacing: float,
) -> Tensor | float:
    r"""
    Compute the factor that turns the weighted sum of a structure into its loss.

    The sums of different structures differ by orders of magnitude, so that a few of
    them dominate the gradient of a batch. A root per structure tames that as clipping
    does per batch, and makes the loss independent of its scale:

    .. math::

        \text{square:}\; L \qquad
        \text{root:}\; \sqrt{L + \epsilon} - \sqrt\epsilon \qquad
        \text{relative root:}\; \sqrt{L / T + \epsilon} - \sqrt\epsilon

    with :math:`T = \int m \, t^2 \, dE` and :math:`\epsilon = 10^{-6}` in the units of
    the term. The factor is :math:`1 / (\sqrt{L + \epsilon} + \sqrt\epsilon)` and the
    like, so that the terms times the factor still add up to the loss.

    :param total: sum of the weighted terms of each sample, ``(samples,)``
    :param per_structure: ``"square"``, ``"root"`` or ``"relative_root"``
    :return: 1 or ``(samples,)``
    """
    if per_structure == "square":
        return 1.0
    scale: Tensor | float = 1.0
    if per_structure == "relative_root":
        counted = torch.where(mask & ~torch.isnan(targets), targets, 0)
        size = sum_components(torch.trapezoid(counted**2, dx=grid_spacing))
        # Where nothing is trusted, or the DOS is zero, there is nothing to divide by.
        scale = torch.where(size > 0, size, 1)
    softening = SOFTENING**0.5
    return 1 / (scale * (torch.sqrt(total / scale + SOFTENING) + softening))
