"""Options: what is accepted, and what is said of the rest."""

import math

import numpy as np
import pytest
import yaml
from metatrain.utils.loss import create_loss
from omegaconf import OmegaConf
from pydantic import BaseModel

from metatrain_dos import MaskedDOSLoss
from metatrain_dos.loss.options import MaskedDOSHypers, validate_hypers
from metatrain_dos.loss.terms import TERMS


def make(**options):
    return MaskedDOSLoss("mtt::dos", **options)


def test_defaults():
    hypers = make().hypers
    assert hypers.grad_weight == 1e-4
    assert hypers.int_weight == 0.01
    assert hypers.extra_targets == 200
    assert hypers.reduction == "mean"
    assert hypers.grid_spacing == 0.05
    assert hypers.tail_weight == 1.0


@pytest.mark.parametrize("load", [yaml.safe_load, OmegaConf.create])
def test_numbers_as_yaml_spells_them(load):
    # PyYAML reads the first three as text, OmegaConf as numbers.
    options = load(
        "grad_weight: 1e-4\ntail_weight: 1.5e3\nextra_targets: 2e2\n"
        "int_weight: 2\ngrid_spacing: .05\n"
    )
    hypers = make(**options).hypers
    assert hypers.grad_weight == 1e-4 and hypers.tail_weight == 1500.0
    assert hypers.extra_targets == 200 and hypers.int_weight == 2.0
    assert isinstance(hypers.extra_targets, int)
    assert isinstance(hypers.int_weight, float)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_reductions_from_python(reduction):
    assert make(reduction=reduction).reduction == reduction


NOT_A_WEIGHT = [-1, -1e-9, math.nan, math.inf, "heavy", "2.0 eV", None, [1], {}]
NOT_A_WEIGHT += [True, np.True_]
WEIGHT = "a finite number >= 0"
BAD = [
    *(("grad_weight", value, WEIGHT) for value in NOT_A_WEIGHT),
    *(("int_weight", value, WEIGHT) for value in NOT_A_WEIGHT),
    *(("tail_weight", value, WEIGHT) for value in NOT_A_WEIGHT),
    *(
        ("extra_targets", value, "a whole number from 0 to 1000000")
        for value in (-1, 2.5, "200 eV", "many", True, None, math.nan, math.inf)
    ),
    *(
        ("grid_spacing", value, "a finite number > 0, in eV")
        for value in (0, -0.05, math.nan, math.inf, "fine", False, None)
    ),
    *(
        ("reduction", value, "'mean', 'sum' or 'none'")
        for value in ("median", "Mean", None, 1, True)
    ),
    *(("weight", value, "a finite number") for value in ("a lot", math.nan, True)),
    ("gradients", {"positions": {}}, "nothing"),
    pytest.param("int_weight", 10**5000, WEIGHT, id="thousands of digits"),
]


@pytest.mark.parametrize(("option", "value", "expected"), BAD)
def test_refused(option, value, expected):
    arguments = {"weight": 1.0, "reduction": "mean", option: value}
    with pytest.raises(ValueError, match=f"'{option}' must be {expected}") as by_class:
        make(**arguments)
    with pytest.raises(ValueError) as by_metatrain:
        create_loss("masked_dos", name="mtt::dos", gradient=None, **arguments)
    message = str(by_class.value)
    assert str(by_metatrain.value) == message
    assert message.startswith("Invalid options for loss 'masked_dos' of target 'mtt::")
    assert f"({type(value).__name__})" in message
    assert len(message) < 400 and "\n" not in message


@pytest.mark.parametrize(
    ("mistyped", "meant"),
    [
        ("grad_wieght", "grad_weight"),
        ("gradWeight", "grad_weight"),
        ("int-weight", "int_weight"),
        ("extra_target", "extra_targets"),
        ("grid_spacng", "grid_spacing"),
    ],
)
def test_unknown_option_names_the_closest(mistyped, meant):
    with pytest.raises(
        ValueError, match=rf"unknown option '{mistyped}' \(did you mean '{meant}'\?\)"
    ):
        make(**{mistyped: 1})


def test_unknown_option_like_nothing():
    with pytest.raises(ValueError, match=r"unknown option 'zzz';.*options are extra_t"):
        make(zzz=1)


def test_numbers_of_numpy():
    hypers = make(int_weight=np.float32(0.5), extra_targets=np.int64(7)).hypers
    assert hypers.int_weight == 0.5 and type(hypers.extra_targets) is int


def test_all_mistakes_at_once():
    with pytest.raises(ValueError, match=r"'int_weight' must.*'reduction' must"):
        make(int_weight=-1, reduction="median")


def test_training_needs_a_scalar():
    with pytest.raises(ValueError, match="'mean' or 'sum', because training needs"):
        validate_hypers(
            MaskedDOSHypers, {"reduction": "none"}, loss_type="x", training=True
        )


def test_keys_that_are_no_text():
    with pytest.raises(ValueError, match="unknown option '1'"):
        validate_hypers(MaskedDOSHypers, {1: 2}, loss_type="x")


def test_a_schema_without_descriptions_is_readable():
    class Plain(BaseModel):
        sharpness: int = 1

    with pytest.raises(ValueError, match=r"'sharpness' must be .*integer"):
        validate_hypers(Plain, {"sharpness": "x"}, loss_type="plain")


def test_every_term_has_its_weight():
    fields = MaskedDOSHypers.model_fields
    weights = {term.option for term in TERMS} - {None}
    assert weights == {name for name in fields if name.endswith("_weight")}


def test_weights_of_the_loss_are_those_of_the_options():
    loss = MaskedDOSLoss(
        "mtt::dos", grad_weight=0.5, int_weight=0.25, tail_weight=0.125
    )
    assert loss.weights == {
        "grad_weight": 0.5,
        "int_weight": 0.25,
        "tail_weight": 0.125,
    }
