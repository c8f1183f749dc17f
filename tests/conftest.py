"""Cases that several test modules use."""

import numpy as np
import pytest
import torch
from training import make_folder, mtt


OPTIONS = {
    "grad_weight": 0.3,
    "int_weight": 1.7,
    "grid_spacing": 0.07,
    "tail_weight": 0.8,
}
"""Weights that give every term a say."""


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


@pytest.fixture
def case():
    return make_case(seed=0)


@pytest.fixture(scope="session")
def train(tmp_path_factory):
    """
    Train on the YAML of the paper, once for each architecture.

    Returns the folder, which is for reading, the log and the grid.
    """
    done = {}

    def train(architecture):
        if architecture not in done:
            folder = tmp_path_factory.mktemp(architecture)
            discretization = make_folder(folder, architecture)
            status, log = mtt("train", "options.yaml", folder=folder)
            assert status == 0, log
            done[architecture] = folder, log, discretization
        return done[architecture]

    return train
