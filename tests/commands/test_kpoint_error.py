"""The k-point error of a target, from `prepare` to `check` and `evaluate`."""

import csv
import json

import ase.io
import numpy as np
import pytest
from helpers.calculations import crystal
from helpers.level_model import write_model
from helpers.prepare import prepare, report

from metatrain_dos.commands.main import main
from metatrain_dos.data.calculation import Calculation, calculation_to_atoms


def calculation(seed, width):
    """Bands of a width (eV) on a grid of 3 x 3 x 3 points."""
    axis = np.arange(3) / 3
    kpoints = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(-1, 3)
    rise = width / 6 * (3 - np.cos(2 * np.pi * kpoints).sum(axis=1))
    bands = np.array([-7.0, -6.0, -5.5, -4.0, -3.0, 4.0, 8.0]) + rise[:, None]
    return Calculation(
        crystal(seed, "C2"),
        bands[None],
        np.full(27, 2 / 27),
        n_electrons=8.0,
        kpoints=kpoints,
    )


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Make a data set of ten structures with narrow bands, and ten with wide ones."""
    folder = tmp_path_factory.mktemp("kpoints")
    write_model(folder)
    frames = [
        calculation_to_atoms(calculation(i, 4.0 if i % 2 else 0.1)) for i in range(20)
    ]
    ase.io.write(folder / "all.xyz", frames)
    like = ["--like", folder / "grid.json"]
    prepare(folder / "all.xyz", "-o", folder / "dos", *like)
    return folder / "dos"


def table(dataset):
    with (dataset / "sources.csv").open() as file:
        return list(csv.DictReader(file))


def test_prepare_lists_targets_with_too_few(dataset, capsys):
    found = report(dataset)["kpoint_error"]
    assert found["unknown"] == 0 and found["largest"] == pytest.approx(0.2, abs=0.01)
    assert sorted(each["number"] for each in found["large"]) == list(range(1, 20, 2))
    for row in table(dataset):
        is_wide = int(row["number"]) % 2 == 1
        assert (float(row["kpoint_error"]) > 0.1) == is_wide
        assert (float(row["kpoint_error"]) < 0.001) == (not is_wide)
    for row in report(dataset)["trusted_ranges"]:
        assert (row["kpoint_error"] > 0.1) == (row["number"] % 2 == 1)


def test_check_warns(dataset, capsys, monkeypatch):
    monkeypatch.chdir(dataset)
    with pytest.raises(SystemExit, match="0"):
        main(["check", "options.yaml"])
    printed = capsys.readouterr().out
    wide = [r for r in table(dataset) if int(r["number"]) % 2]
    in_training = [row for row in wide if row["split"] == "training_set"]
    assert f"training_set, in {len(in_training)} structures" in printed
    assert "leave an error of up to 20 % (estimated)" in printed


def test_show_tells_it(dataset, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    main(["show", str(dataset), "0"])
    first = next(r for r in table(dataset) if r["split"] == "training_set")
    shown = float(first["kpoint_error"])
    assert f"k-point error  {shown:.2g}"[:18] in capsys.readouterr().out


def test_evaluate_shows_it_beside_the_errors(dataset, tmp_path, capsys):
    model = dataset.parent / "model.pt"
    main(["evaluate", *map(str, (model, dataset / "test.xyz", "-o", tmp_path / "r"))])
    content = json.loads((tmp_path / "r" / "errors.json").read_text("utf-8"))
    expected = [
        float(row["kpoint_error"])
        for row in table(dataset)
        if row["split"] == "test_set"
    ]
    assert [row["kpoint_error"] for row in content["rows"]] == expected
    median = content["summary"]["kpoint_error"]["median"]
    assert median == pytest.approx(np.median(expected))
    printed = capsys.readouterr().out
    assert "error of the target" in printed
    assert ("in the median (estimated)" in printed) == (median > 0.1)
