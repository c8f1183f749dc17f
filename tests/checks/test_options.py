"""Options that metatrain refuses, or that do not suit a density of states."""

import pytest
from helpers.checks import LOSS, TARGET, TRAINING, change, findings, line_of, only


def test_wrong_options_have_a_line_each(folder):
    change(**{f"{LOSS}.int_wieght": 1, f"{LOSS}.grad_weight": -1})
    first, second = findings()
    assert first.severity == second.severity == "error"
    assert "(did you mean 'int_weight'?)" in first.found
    assert "'grad_weight' must be a finite number >= 0, got -1" in second.found
    assert first.line == line_of("int_wieght")
    assert second.line == line_of("grad_weight")


@pytest.mark.parametrize(("weight", "count"), [(0.0, 0), (0.1, 0), (2.0, 1)])
def test_heavy_cumulative_term(folder, weight, count):
    change(**{f"{LOSS}.int_weight": weight})
    found = findings()
    assert [each.severity for each in found] == ["warning"] * count
    assert [each.line for each in found] == [line_of("int_weight")] * count


def test_unknown_target(folder):
    light = {"type": "masked_dos", "int_weight": 0.0}
    change(**{f"{TRAINING}.loss": {"mtt::ods": "masked_dos", TARGET: light}})
    found = only("error", "'mtt::ods' is no target of the training set")
    assert found.line == line_of("mtt::ods") and "'mtt::dos'" in found.fix


def test_mistyped_loss(folder):
    change(**{f"{LOSS}.type": "maskd_dos"})
    found = only("error", "Unknown loss 'maskd_dos', did you mean 'masked_dos'?")
    assert found.line == line_of("loss:")


@pytest.mark.parametrize("architecture", ["pet", "soap_bpnn"])
@pytest.mark.parametrize(
    ("option", "severity", "text"),
    [
        ("scale_targets", "error", "scale_targets is true, the default of"),
        ("atomic_baseline", "error", "is not 0.0 but fitted, the default of"),
        ("best_model_metric", "warning", "e_prod, the default of"),
    ],
)
def test_defaults(folder, architecture, option, severity, text):
    change(**{f"{TRAINING}.{option}": None, "architecture.name": architecture})
    found = only(severity, text)
    assert found.path.startswith(f"{TRAINING}.{option}")
    assert found.line == line_of("  training:")


@pytest.mark.parametrize(
    ("option", "value", "severity", "text"),
    [
        ("scale_targets", True, "error", "scale_targets is true"),
        ("atomic_baseline", {TARGET: 1.5}, "error", "is not 0.0 but 1.5"),
        ("atomic_baseline", {"other": 0.0}, "error", "is not 0.0 but fitted"),
        ("best_model_metric", "mae_prod", "warning", "best_model_metric is mae_pr"),
        ("per_structure_targets", [TARGET], "note", "is in per_structure_targets"),
    ],
)
def test_choices(folder, option, value, severity, text):
    change(**{f"{TRAINING}.{option}": value})
    assert only(severity, text).line >= line_of(option)


def test_what_metatrain_refuses(folder):
    change(**{f"{TRAINING}.batch_sice": 3})
    assert only("error", "Extra inputs").line == line_of("batch_sice")


def test_unknown_architecture(folder):
    change(**{"architecture.name": "pett"})
    assert only("error", "'pett'").line == line_of("name: pett")


def test_what_metatrain_refuses_of_the_outline(folder):
    change(seeed=3)
    assert only("error", "Extra inputs").line == line_of("seeed")
    change(seeed=None, **{"validation_set.systems.lenght_unit": "angstrom"})
    found = only("error", "Extra inputs")
    assert found.path == "validation_set.systems.lenght_unit"
    assert found.line == line_of("lenght_unit")
