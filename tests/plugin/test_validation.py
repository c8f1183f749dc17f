"""Options of a loss in metatrain's own validation, before any data is read."""

import pytest
from metatrain.utils.architectures import (
    check_architecture_options,
    get_default_hypers,
)
from metatrain.utils.pydantic import MetatrainValidationError

from metatrain_dos.plugin.validation import InvalidLossOptionsError, check_section


def check(loss, architecture="pet"):
    """Let metatrain validate the options of an architecture."""
    options = get_default_hypers(architecture, base_precision=32)
    options["training"]["loss"] = loss
    check_architecture_options(architecture, options)


@pytest.mark.parametrize("architecture", ["pet", "soap_bpnn"])
@pytest.mark.parametrize(
    "loss",
    [
        "masked_dos",
        {"x": "masked_dos"},
        {"x": {"type": "masked_dos", "int_weight": 1}},
        {"x": {"type": "masked_dos", "int_weight": "${elsewhere}"}},
        {"x": {"type": "masked_dos"}, "y": "mse"},
    ],
)
def test_accepted(loss, architecture):
    check(loss, architecture)


@pytest.mark.parametrize(
    "loss",
    [
        "maskd_dos",
        "Masked-DOS",
        {"x": "maskd_dos"},
        {"x": {"type": "maskd_dos"}},
        {"x": {"gradients": {"positions": {"type": "maskd_dos"}}}},
        {"x": {"gradients": {"positions": "maskd_dos"}}},
    ],
)
def test_mistyped_name(loss):
    message = r"^Unknown loss '.*', did you mean 'masked_dos'\? Valid types: mse, "
    with pytest.raises(InvalidLossOptionsError, match=message):
        check(loss)


def test_wrong_options_name_the_target():
    wrong = {"type": "masked_dos", "int_wieght": 1}
    message = r"loss 'masked_dos' of target 'y': unknown option 'int_wieght' \(did"
    with pytest.raises(InvalidLossOptionsError, match=message):
        check({"x": "mse", "y": wrong})


@pytest.mark.parametrize("section", ["masked_dos", {"type": "masked_dos"}])
def test_gradients_get_another_loss(section):
    message = r"of target 'x\.gradients\.cell': .*values only.*gradient another loss"
    with pytest.raises(InvalidLossOptionsError, match=message):
        check({"x": {"gradients": {"cell": section}}})


def test_all_else_is_left_to_metatrain():
    check("mse")
    check({"x": {"type": "a_loss_in_no_list"}})
    for loss in (3, None, ["masked_dos"], {"x": 3}, {"x": {"type": 3}}):
        with pytest.raises(MetatrainValidationError, match="training"):
            check(loss)


def test_loss_without_a_schema():
    check_section({"type": "bare", "anything": object()}, {"bare": object}, ["bare"])
