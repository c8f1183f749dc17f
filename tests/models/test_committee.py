"""The mean of a committee, its spread, and how both go with the error."""

import json

import ase.io
import numpy as np
import pytest
from ase import Atoms
from helpers.level_model import CHOICES, write_model

from metatrain_dos import EnergyGrid
from metatrain_dos.commands.main import main
from metatrain_dos.data.target_spec import TargetSpec
from metatrain_dos.models.committee import align_committee
from metatrain_dos.models.error_table import calibration
from metatrain_dos.models.errors import align
from metatrain_dos.models.model import DOSModel


SPACING = 0.1


def targets(rng, samples=5, points=60):
    """Make smooth targets that are zero at both ends, and their masks."""
    x = np.arange(points)
    centres = rng.uniform(25, 35, (samples, 1))
    mask = rng.random((samples, points)) < 0.9
    return np.exp(-0.5 * ((x - centres) / 5) ** 2), mask


def predicted(target, factor, shift, extra=12):
    """Scale targets, and move each along its prediction."""
    rows = np.zeros((len(target), target.shape[-1] + extra))
    for row, each, start in zip(rows, target, shift, strict=True):
        row[start : start + len(each)] = factor * each
    return rows


def test_members_are_aligned_before_they_are_averaged():
    rng = np.random.default_rng(0)
    target, mask = targets(rng)
    factors = np.array([0.8, 1.1, 1.4])
    members = [
        predicted(target, factor, rng.integers(0, 13, len(target)))
        for factor in factors
    ]
    aligned, spread = align_committee(members, target, mask, grid_spacing=SPACING)
    # Targets are below 1e-5 where zeros take the place of columns that have moved out.
    np.testing.assert_allclose(aligned.predictions, 1.1 * target, atol=1e-4)
    size = np.sqrt((np.where(mask, target, 0.0) ** 2).sum(-1) / mask.sum(-1))
    np.testing.assert_allclose(spread, np.std(factors, ddof=1) * size, rtol=1e-4)
    np.testing.assert_allclose(aligned.rmse, 0.1 * size, rtol=1e-3)


def test_one_model_is_no_committee():
    rng = np.random.default_rng(1)
    target, mask = targets(rng)
    row = predicted(target, 0.9, [3] * len(target))
    aligned, spread = align_committee([row], target, mask, grid_spacing=SPACING)
    expected = align(row, target, mask, grid_spacing=SPACING)
    np.testing.assert_array_equal(aligned.predictions, expected.predictions)
    assert np.isnan(spread).all()


def test_nothing_is_known_where_nothing_is_trusted():
    target, mask = targets(np.random.default_rng(2))
    mask[1] = False
    members = [predicted(target, f, [0] * len(target)) for f in (1.0, 2.0)]
    _, spread = align_committee(members, target, mask, grid_spacing=SPACING)
    np.testing.assert_array_equal(np.isnan(spread), [False, True, *[False] * 3])


def test_the_spread_is_that_of_the_sum_over_components():
    """Members that differ only in the share of each spin agree on the DOS."""
    target, mask = targets(np.random.default_rng(3))
    both, masks = np.stack([target, target], 1), np.stack([mask, mask], 1)
    up = np.array([[[1.1], [0.9]]])
    members = [factors * np.pad(both, [(0, 0), (0, 0), (4, 8)]) for factors in (up, up)]
    members[1] = members[1][:, [1, 0]]
    aligned, spread = align_committee(members, both, masks, grid_spacing=SPACING)
    assert aligned.predictions.shape == both.shape
    # of sums of 2 +- 0, where each channel has 1 +- 0.14
    np.testing.assert_allclose(spread, 0.0, atol=1e-12)
    np.testing.assert_allclose(aligned.summed().predictions, 2 * target, atol=1e-12)
    masks[0, 0] = False
    aligned = align(members[0], both, masks, grid_spacing=SPACING)
    assert not aligned.summed().mask[0].any() and aligned.summed().mask[1].any()


def test_calibration():
    spread = np.array([1.0, 2.0, 3.0, 4.0, np.nan])
    errors = np.array([2.0, 4.0, 6.0, 8.0, 7.0])
    found = calibration(errors, spread)
    assert found == pytest.approx({"error_to_spread": 2.0, "spread_correlation": 1.0})
    # Not their mean: rms(1, 2, 3, 4) is the root of 7.5.
    found = calibration(errors[[3, 0, 0, 0]], spread[:4])
    assert found["error_to_spread"] == pytest.approx(np.sqrt((64 + 3 * 4) / 30))
    assert found["spread_correlation"] < 0
    for x in (np.full(4, np.nan), np.zeros(4), np.ones(1)):
        assert np.isnan(calibration(errors[: len(x)], x)["error_to_spread"])


def test_the_report_of_a_committee(tmp_path, capsys):
    write_model(tmp_path)
    factors = (0.95, 1.0, 1.1)
    for name, moved, stretched in zip("abc", (-0.4, 0.0, 0.6), factors, strict=True):
        write_model(tmp_path, f"{name}.pt", moved=moved, stretched=stretched)
    structures = [Atoms("C"), Atoms("H2"), Atoms("CH4"), Atoms("Na")]
    rows = DOSModel.load(tmp_path / "model.pt").predict(structures)
    for atoms, row in zip(structures, rows, strict=True):
        atoms.info["dos"] = np.asarray(row)
        # The levels of the model fit into the columns behind the padding.
        atoms.info["dos_mask"] = np.arange(CHOICES.columns) >= CHOICES.extra_targets
    data, output = tmp_path / "data.xyz", tmp_path / "report"
    ase.io.write(data, structures)
    models = [str(tmp_path / f"{name}.pt") for name in "abc"]
    main(["evaluate", *models, str(data), "-o", str(output)])
    report = json.loads((output / "errors.json").read_text())
    assert report["model"] == ", ".join(models)
    spreads = np.array([row["spread_per_atom"] for row in report["rows"]])
    errors = np.array([row["rmse_per_atom"] for row in report["rows"]])
    ratio = np.sqrt((errors**2).sum() / (spreads**2).sum())
    assert report["overall"]["error_to_spread"] == pytest.approx(ratio, rel=1e-4)
    assert (output / "figures" / "spread.svg").is_file()
    text = (output / "report.html").read_text()
    assert "spread of the committee, states/eV/atom" in text
    assert "all, error over spread" in capsys.readouterr().out
    # One model has no spread, and no figure of it.
    main(["evaluate", models[0], str(data), "-o", str(output)])
    report = json.loads((output / "errors.json").read_text())
    assert report["overall"]["error_to_spread"] is None
    assert report["rows"][0]["spread_per_atom"] is None
    assert not (output / "figures" / "spread.svg").exists()
    assert "error over spread" not in capsys.readouterr().out
    assert "error over spread&nbsp;" not in (output / "report.html").read_text()


def test_models_of_different_data_are_no_committee(tmp_path, monkeypatch):
    write_model(tmp_path)
    fewer = TargetSpec(EnergyGrid(-12.0, 0.05, 400), extra_targets=40)
    monkeypatch.setattr("helpers.level_model.CHOICES", fewer)
    write_model(tmp_path, "other.pt")
    files = [str(tmp_path / name) for name in ("model.pt", "other.pt", "data.xyz")]
    message = (
        "models: expected the same target and columns of all, got 481 of 'mtt::dos'"
    )
    with pytest.raises(SystemExit, match=message):
        main(["evaluate", *files, "-o", str(tmp_path / "report")])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (
            ["--structures", "0", "2", "-1"],
            "structures: expected numbers from 0 to 1, ",
        ),
        (["--electrons", "many"], "electrons: .* got the 3 of many for 2 structures"),
    ],
)
def test_options_that_are_out_of_range(tmp_path, monkeypatch, option, message):
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path)
    (tmp_path / "many").write_text("2\n2\n2\n")
    info = {"dos": np.ones(CHOICES.columns)}
    ase.io.write("data.xyz", [Atoms("C", info=info), Atoms("H", info=info)])
    with pytest.raises(SystemExit, match=message):
        main(["evaluate", "model.pt", "data.xyz", "-o", "report", *option])
    assert not (tmp_path / "report").exists()
