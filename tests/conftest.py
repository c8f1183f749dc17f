"""Cases that several test modules use."""

import hypothesis
import numpy as np
import pytest
import torch
from commands import reading, running
from metatensor.torch import Labels, TensorBlock, TensorMap
from outputs import no_waiting, unpack
from processes import mtt
from training import make_folder


# Fixtures that some tests have without this module.
__all__ = ["no_waiting", "unpack"]

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


# With processes that take one file after the other, none should begin these last.
LONGEST = ("test_train", "test_install", "test_docs", "test_interruption")


def pytest_collection_modifyitems(items):
    """Begin with the files that take longest."""
    items.sort(key=lambda item: item.path.stem not in LONGEST)


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


@pytest.fixture
def case():
    return make_case(seed=0)


# ---------------------------------------------------------------------- make torture

COUNTS = pytest.StashKey()


def pytest_addoption(parser):
    parser.addoption(
        "--torture",
        action="store_true",
        help="do all of what tests/torture does by default only a small share of",
    )


def pytest_configure(config):
    # No time limit for an example, because the machine may be busy, and no memory of
    # earlier runs.
    common = {"deadline": None, "database": None, "print_blob": True}
    hypothesis.settings.register_profile(
        "share", derandomize=True, max_examples=20, **common
    )
    hypothesis.settings.register_profile("torture", max_examples=1000, **common)
    torture = config.getoption("--torture")
    hypothesis.settings.load_profile("torture" if torture else "share")
    config.stash[COUNTS] = {}


@pytest.fixture(scope="session")
def amount(request):
    """Choose between the share of `make test` and what `make torture` does."""

    def choose(share, torture):
        return torture if request.config.getoption("--torture") else share

    return choose


@pytest.fixture(scope="session")
def only_torture(amount):
    """Skip what has no small share."""
    if not amount(False, True):
        pytest.skip("in make torture only")


@pytest.fixture(scope="session")
def seed(request):
    """Seed of all random cases: ``--hypothesis-seed``, or 0."""
    given = request.config.getoption("--hypothesis-seed") or "0"
    return int(given) if given.isdecimal() else 0


@pytest.fixture(scope="session")
def tally(request):
    """Count what has been tried, for the list at the end."""
    counts = request.config.stash[COUNTS]

    def add(what, number=1):
        counts[what] = counts.get(what, 0) + number

    return add


def pytest_terminal_summary(terminalreporter, config):
    counts = config.stash[COUNTS]
    if counts:
        terminalreporter.section("tried")
        for what in sorted(counts):
            terminalreporter.line(f"{counts[what]:>9,}  {what}")


@pytest.fixture(scope="session")
def command(tmp_path_factory):
    """Run ``mtt-dos`` in a folder, with limits of memory and time."""
    with running(tmp_path_factory.mktemp("idle")) as command:
        yield command


@pytest.fixture(scope="session")
def reader():
    """Read outputs of calculations and data sets in another process."""
    with reading() as read:
        yield read


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
