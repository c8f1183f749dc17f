"""View arrays, tensors and TensorMaps as tensors of one kind."""

# TensorMap is no Python class, so it cannot be in an annotation that is evaluated.
from __future__ import annotations

from typing import Any

import numpy as np
import torch
from metatensor.torch import TensorMap


def as_tensor(values: Any) -> torch.Tensor:
    """
    View numbers as float64 on the CPU.

    :param values: array, tensor, or TensorMap with one block
    :return: its values, without gradient
    :raises ValueError: if there are several blocks
    """
    if is_tensor_map(values):
        values = _block(values).values
    if isinstance(values, torch.Tensor):
        return values.detach().to(device="cpu", dtype=torch.float64)
    return torch.tensor(np.asarray(values), dtype=torch.float64)


def is_tensor_map(values: Any) -> bool:
    """Tell a TensorMap, whose class Python does not see, from an array or a tensor."""
    return isinstance(values, torch.ScriptObject)


def rows_like(targets: Any, predictions: Any) -> torch.Tensor:
    """
    View a prediction as float64, with the rows that its target has.

    The rows of atoms of a TensorMap are added up for each system, in the order of the
    target's systems, unless the target has rows for atoms, too.

    :param targets: array, tensor, or TensorMap with one block
    :param predictions: array, tensor, or TensorMap with one block
    :return: values, ``(samples, ..., columns)``
    :raises ValueError: if there are several blocks, or the systems are not those of the
        target
    """
    values = as_tensor(predictions)
    if not is_tensor_map(predictions):
        return values
    samples = _block(predictions).samples
    likes = _block(targets).samples if is_tensor_map(targets) else None
    if "atom" not in samples.names or (likes is not None and "atom" in likes.names):
        return values
    systems, owners = torch.unique(samples.column("system").cpu(), return_inverse=True)
    if likes is not None:
        wanted = likes.column("system").cpu()
        if not torch.equal(wanted.sort().values, systems):
            raise ValueError(
                f"predictions: expected the {len(wanted)} systems of the targets, got "
                f"{len(systems)}, not all of them the same; predict those structures"
            )
        owners = wanted.argsort()[owners]
    sums = torch.zeros(len(systems), *values.shape[1:], dtype=values.dtype)
    return sums.index_add(0, owners, values)


def without_padding(
    values: torch.Tensor, predictions: torch.Tensor, extra_targets: int | None
) -> torch.Tensor:
    """
    Drop the columns that only make a target as wide as its prediction.

    :param values: target or mask, ``(samples, ..., points)`` or as wide as the
        prediction
    :param predictions: ``(samples, ..., points + E)``
    :param extra_targets: E; ``None`` if there is no padding
    :return: ``(samples, ..., points)``
    """
    if extra_targets and values.shape[-1] == predictions.shape[-1]:
        return values[..., extra_targets:]
    return values


def _block(tensor_map: TensorMap) -> Any:
    """
    Take the only block.

    :raises ValueError: if there are others
    """
    if len(tensor_map) != 1:
        raise ValueError(
            f"predictions, targets, mask: expected one block, got {len(tensor_map)}; "
            "align them one by one"
        )
    return tensor_map.block(0)
