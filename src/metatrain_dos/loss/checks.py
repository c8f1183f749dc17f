"""Refuse tensors that do not belong together, before anything can broadcast."""

import torch
from torch import Tensor


def check_inputs(predictions: Tensor, targets: Tensor, mask: Tensor) -> None:
    """
    Check shapes and dtypes, which are those of :mod:`metatrain_dos.loss.terms`.

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
