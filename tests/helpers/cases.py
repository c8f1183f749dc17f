"""Predictions, targets and masks that several test modules use."""

import numpy as np
import torch
from metatensor.torch import Labels, TensorBlock, TensorMap


WEIGHTS = {"grad_weight": 0.3, "int_weight": 1.7, "tail_weight": 0.8}
"""Weights that give every term a say."""

OPTIONS = {"weights": WEIGHTS, "grid_spacing": 0.07}
"""Arguments of the functions of the loss."""

HYPERS = {**WEIGHTS, "grid_spacing": 0.07}
"""The same as options of the loss."""

EXTRA = 12
"""Columns that the predictions of :func:`make_case` have more than its targets."""


def make_case(
    seed, samples=4, components=None, points=30, extra=12, masked=0.3, dtype=None
):
    """
    Make smooth, DOS-like predictions, targets and masks.

    Each prediction is its target, moved by a random number of columns, plus an error.
    """
    rng = np.random.default_rng(seed)
    shape = (samples, *([] if components is None else [components]))
    columns = points + extra

    def bumps(size):
        x = np.arange(size)
        centre = rng.uniform(0.1, 0.9, (*shape, 5, 1)) * size
        height = rng.uniform(0.2, 2.0, (*shape, 5, 1))
        return (height * np.exp(-0.5 * ((x - centre) / 2.5) ** 2)).sum(-2)

    targets = bumps(points)
    predictions = 0.3 * bumps(columns)
    for i in range(samples):
        shift = rng.integers(extra + 1)
        predictions[i, ..., shift : shift + points] += targets[i]
    mask = rng.random((*shape, points)) >= masked
    dtype = dtype or torch.float64
    return (
        torch.tensor(predictions, dtype=dtype),
        torch.tensor(targets, dtype=dtype),
        torch.tensor(mask),
    )


def as_numpy(*tensors):
    """View tensors as float64 or boolean arrays ``(samples, components, points)``."""
    arrays = []
    for tensor in tensors:
        array = tensor.detach().numpy()
        if array.ndim == 2:
            array = array[:, None]
        arrays.append(array if array.dtype == bool else array.astype(np.float64))
    return arrays


def tensor_map(*values, atoms=False):
    """Make a TensorMap of one block for each tensor ``(samples, ..., columns)``."""
    blocks = []
    for block_values in values:
        samples = Labels.range("system", len(block_values))
        if atoms:
            index = torch.arange(len(block_values))
            samples = Labels(["system", "atom"], torch.stack([index // 2, index], 1))
        blocks.append(
            TensorBlock(
                values=block_values,
                samples=samples,
                components=[
                    Labels.range(f"component_{i}", size)
                    for i, size in enumerate(block_values.shape[1:-1])
                ],
                properties=Labels.range("dos", block_values.shape[-1]),
            )
        )
    keys = Labels(["key"], torch.arange(len(blocks)).reshape(-1, 1))
    return TensorMap(keys, blocks)


def pad(values, fill=0.0):
    """Put the columns in front that make a target as wide as its prediction."""
    front = torch.full((*values.shape[:-1], EXTRA), fill, dtype=values.dtype)
    return torch.cat([front, values], dim=-1)
