"""Bring predictions and targets to the same rows and columns."""

from typing import Any

import torch
from metatensor.torch import sum_over_samples

from .integrated_dos import as_array


def as_tensor(values: Any) -> torch.Tensor:
    """Convert an array, a tensor or a TensorMap of one block to float64 on the CPU."""
    return torch.tensor(as_array(values))


def rows_like(targets: Any, predictions: Any) -> torch.Tensor:
    """
    Convert a prediction to float64, with the rows of its target.

    The rows of atoms of a TensorMap are summed for each system, in the order of the
    target's systems, unless the target has rows for atoms, too.

    :return: values, ``(samples, ..., columns)``
    :raises ValueError: if there are several blocks, or the systems are not those of the
        target
    """
    values = as_tensor(predictions)
    if not hasattr(predictions, "block") or "atom" not in predictions.sample_names:
        return values
    if not hasattr(targets, "block"):
        return as_tensor(sum_over_samples(predictions, "atom"))
    if "atom" in targets.sample_names:
        return values
    summed = sum_over_samples(predictions, "atom").block()
    wanted = targets.block().samples.column("system").tolist()
    found = summed.samples.column("system").tolist()
    if sorted(wanted) != sorted(found):
        raise ValueError(
            f"predictions: expected the {len(wanted)} systems of the targets, got "
            f"{len(found)}, not all of them the same; predict those structures"
        )
    return as_tensor(summed.values[[found.index(system) for system in wanted]])
