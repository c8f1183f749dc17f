"""A network and a training run for each data set."""

import pytest
from metatrain.utils.architectures import (
    check_architecture_options,
    get_default_hypers,
)
from omegaconf import OmegaConf

from metatrain_dos.data.recipe import (
    MODELS,
    choose_recipe,
    describe_time,
    fitting_int_weight,
)


def choose(structures, **more):
    usual = {"atoms": 3 * structures, "columns": 1000, "trusted_range": 40.0}
    return choose_recipe(structures, **usual | more)


@pytest.mark.parametrize("architecture", MODELS)
def test_metatrain_takes_the_options(architecture):
    made = choose(100, architecture=architecture)
    chosen = {"model": made.model, "training": made.training}
    options = OmegaConf.merge(get_default_hypers(architecture), chosen)
    check_architecture_options(architecture, OmegaConf.to_container(options))


@pytest.mark.parametrize(
    ("structures", "batch_size", "epochs"),
    [
        (1, 1, 3000),
        (10, 2, 600),
        (96, 8, 250),
        (100, 8, 231),  # 13 batches, the last one with 4 structures
        (10_000, 8, 40),  # each structure is seen often enough
    ],
)
def test_length_is_counted_in_steps(structures, batch_size, epochs):
    training = choose(structures).training
    assert training["batch_size"] == batch_size
    assert training["num_epochs"] == epochs


def test_a_run_that_is_stopped_has_a_checkpoint():
    for structures in (1, 96, 10_000):
        training = choose(structures).training
        assert 1 <= training["checkpoint_interval"] <= training["num_epochs"] / 4


def test_time_grows_with_columns_atoms_and_structures():
    assert choose(100, columns=3000).seconds > 1.1 * choose(100).seconds
    assert choose(100, atoms=6000).seconds > 5 * choose(100).seconds
    assert choose(40_000).seconds == pytest.approx(4 * choose(10_000).seconds)


@pytest.mark.parametrize(
    ("trusted_range", "weight"),
    [
        (40.0, 0.01),
        (20.0, 0.01),  # more makes the DOS worse
        (70.0, 0.003),
        (230.0, 3e-4),
        (-1.0, 0.01),  # trusted nowhere
    ],
)
def test_int_weight_falls_with_the_square_of_a_long_range(trusted_range, weight):
    assert fitting_int_weight(trusted_range) == weight
    assert choose(10, trusted_range=trusted_range).loss == {"int_weight": weight}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (5, "a minute"),
        (89, "a minute"),
        (170, "3 minutes"),
        (60 * 95, "2 hours"),
        (3600 * 20, "20 hours"),
        (86400 * 30, "30 days"),
    ],
)
def test_time_is_told_in_one_digit(seconds, text):
    assert describe_time(seconds) == text
