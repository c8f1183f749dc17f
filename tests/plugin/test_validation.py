"""Options of a loss in metatrain's own validation, before any data is read."""

import logging
import re
from types import MappingProxyType

import pytest
from metatrain.utils.architectures import (
    check_architecture_options,
    get_default_hypers,
)
from metatrain.utils.pydantic import MetatrainValidationError

from metatrain_dos.plugin.validation import InvalidLossOptionsError, check_section


def check(loss, architecture="pet", **training):
    """Let metatrain validate the options of an architecture."""
    options = get_default_hypers(architecture, base_precision=32)
    options["training"] |= {"loss": loss, **training}
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


class TestAdvice:
    """Warnings of ``mtt train``, whose logger has handlers."""

    @pytest.fixture
    def advice(self, caplog):
        handler = logging.NullHandler()
        logger = logging.getLogger("metatrain")
        logger.addHandler(handler)

        def advice(loss, **training):
            caplog.clear()
            check(loss, **training)
            return [each.message for each in caplog.records]

        yield advice
        logger.removeHandler(handler)

    GOOD = MappingProxyType(
        {
            "scale_targets": False,
            "atomic_baseline": {"x": 0.0},
            "best_model_metric": "loss",
        }
    )
    LIGHT = MappingProxyType({"type": "masked_dos", "int_weight": 0.01})

    def test_nothing_to_say(self, advice):
        assert advice({"x": dict(self.LIGHT)}, **self.GOOD) == []
        assert advice({"x": "mse"}) == []
        for loss in ("masked_dos", {"x": "masked_dos"}):
            assert advice(loss, **self.GOOD) == []
        long = {**self.LIGHT, "type": "metatrain-dos::masked_dos"}
        assert advice({"x": long}, **self.GOOD) == []
        per_element = {"x": {1: 0.0, 6: 0.0}}
        good = {**self.GOOD, "atomic_baseline": per_element}
        assert advice({"x": dict(self.LIGHT)}, **good) == []

    @pytest.mark.parametrize(
        ("option", "value", "message"),
        [
            (
                "scale_targets",
                True,
                r"^architecture\.training\.scale_targets: scale_targets is true; .* "
                r"Recommended: `scale_targets: false`$",
            ),
            (
                "atomic_baseline",
                {},
                r"atomic_baseline of 'x' is not 0\.0 but fitted; .* "
                r"Recommended: `atomic_baseline: \{x: 0\.0\}`$",
            ),
            ("atomic_baseline", {"x": {1: 0.0, 6: -1.5}}, r"is not 0\.0 but -1\.5; "),
            (
                "best_model_metric",
                "mae_prod",
                r"best_model_metric is mae_prod; .* `best_model_metric: loss`$",
            ),
        ],
    )
    def test_options(self, advice, option, value, message):
        options = {**self.GOOD, option: value}
        (said,) = advice({"x": dict(self.LIGHT)}, **options)
        assert re.search(message, said)

    @pytest.mark.parametrize(
        ("loss", "path", "value"),
        [
            ({"x": {"type": "masked_dos", "int_weight": 2}}, "loss.x", "2;"),
            ({"x": {"type": "masked_dos", "int_weight": 0.5}}, "loss.x", "0.5;"),
            (
                {"x": {"type": "metatrain-dos::masked_dos", "int_weight": 0.5}},
                "loss.x",
                "0.5;",
            ),
        ],
    )
    def test_heavy_cumulative_term(self, advice, loss, path, value):
        (said,) = advice(loss, **self.GOOD)
        start = f"architecture.training.{path}.int_weight: int_weight is {value}"
        assert said.startswith(start)

    def test_variables_are_not_known_yet(self, advice):
        loss = {"x": {"type": "masked_dos", "int_weight": "${oc.env:X}"}}
        assert advice(loss, **self.GOOD) == []

    def test_once_for_all_targets(self, advice):
        options = {**self.GOOD, "atomic_baseline": {"x": 0.0, "y": 0.0}}
        options["scale_targets"] = True
        said = advice({"x": dict(self.LIGHT), "y": dict(self.LIGHT)}, **options)
        assert len(said) == 1

    def test_only_in_a_training_run(self, caplog):
        check("masked_dos")
        assert caplog.records == []


def test_loss_without_a_schema():
    check_section({"type": "bare", "anything": object()}, {"bare": object}, ["bare"])
