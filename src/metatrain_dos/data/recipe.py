"""Choose a network for a data set, and the length of its training run."""

import math
from dataclasses import dataclass
from typing import Any, Literal

from ..loss.defaults import RECOMMENDED_INT_WEIGHT


Architecture = Literal["soap_bpnn", "pet"]

# Sizes that were best in benchmarks/bench_losses.py, on some 100 structures. With
# `legacy`, metatrain's default, SOAP-BPNN has a network of its own for each element,
# with more than 40 million parameters for 20 elements.
MODELS: dict[Architecture, dict[str, Any]] = {
    "soap_bpnn": {
        "legacy": False,
        "soap": {"max_angular": 4, "max_radial": 4, "cutoff": {"radius": 5.0}},
        "bpnn": {"num_neurons_per_layer": 128},
    },
    "pet": {
        "cutoff": 4.5,
        "d_pet": 64,
        "d_node": 128,
        "d_head": 64,
        "d_feedforward": 128,
        "num_heads": 4,
        "num_attention_layers": 1,
        "num_gnn_layers": 2,
    },
}

BATCH_SIZE = 8
LEARNING_RATE = 3e-3
STEPS = 3000
"""Steps of a training run, unless these are fewer than :data:`FEWEST_EPOCHS`."""
FEWEST_EPOCHS = 40

# Seconds of one core for a structure, for an atom of it, and for a thousand columns, in
# one epoch: fitted to 24 to 96 structures of 3 and 23 atoms with 500 and 1500 columns,
# to 20 %. Other cores are twice as fast.
SECONDS = {"soap_bpnn": (4.5e-3, 5.5e-4, 4e-4), "pet": (6.5e-3, 3.4e-3, 4e-4)}

# The longest trusted range for which RECOMMENDED_INT_WEIGHT was tried, eV.
RANGE = 40.0


@dataclass(frozen=True)
class Recipe:
    """
    A network and its training run.

    :param architecture: name of the architecture
    :param model: options of the model
    :param training: options of the training run
    :param loss: options of the loss
    :param seconds: rough length of the training run on one core
    """

    architecture: Architecture
    model: dict[str, Any]
    training: dict[str, Any]
    loss: dict[str, Any]
    seconds: float


def choose_recipe(
    structures: int,
    *,
    atoms: int,
    columns: float,
    trusted_range: float,
    architecture: Architecture = "soap_bpnn",
) -> Recipe:
    """
    Choose a network and its training run for a data set.

    The number of steps is fixed, not that of epochs, unless the data set is so large
    that each structure would be seen a few times only. metatrain keeps the checkpoint
    with the lowest loss on the validation set.

    :param structures: number of structures in the training set
    :param atoms: number of atoms of all of them
    :param columns: mean number of columns in all targets of a structure
    :param trusted_range: usual length of the range in which a DOS is trusted, eV
    :param architecture: name of the architecture
    :return: the recipe
    """
    # Several batches take more steps than one.
    batch_size = max(1, min(BATCH_SIZE, structures // 4))
    epochs = max(FEWEST_EPOCHS, round(STEPS / math.ceil(structures / batch_size)))
    each, per_atom, per_thousand = SECONDS[architecture]
    epoch = structures * (each + per_thousand * columns / 1000) + atoms * per_atom
    return Recipe(
        architecture,
        MODELS[architecture],
        {
            "num_epochs": epochs,
            "batch_size": batch_size,
            "learning_rate": LEARNING_RATE,
            "log_interval": max(1, epochs // 50),
            "checkpoint_interval": max(1, epochs // 10),
        },
        {"int_weight": fitting_int_weight(trusted_range)},
        epochs * epoch,
    )


def fitting_int_weight(trusted_range: float) -> float:
    """
    Choose the weight of the cumulative term for an energy axis.

    The square of a running integral grows with the square of the length of the axis.
    On short axes, a larger weight makes the DOS worse and the integrated DOS no better.

    :param trusted_range: usual length of the range in which a DOS is trusted, eV
    :return: weight, with one digit
    """
    longer = max(trusted_range, RANGE) / RANGE
    return float(f"{RECOMMENDED_INT_WEIGHT / longer**2:.0e}")


def describe_time(seconds: float) -> str:
    """Describe a length of time in one digit, as in ``3 minutes``."""
    for unit, size in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 1.5 * size:
            return f"{float(f'{seconds / size:.0e}'):g} {unit}"
    return "a minute"
