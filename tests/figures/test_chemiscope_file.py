"""Files for the viewer chemiscope, as its own package reads them."""

import json
import sys

import ase.io
import chemiscope
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from helpers.level_model import CHOICES, write_model

from metatrain_dos.commands.main import main
from metatrain_dos.figures.chemiscope_file import write_predictions
from metatrain_dos.models.model import DOSModel
from metatrain_dos.models.prediction import PredictedDOS


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Write two models, and a metal, an atom and a molecule with targets."""
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path)
    write_model(tmp_path, "moved.pt", moved=0.3)
    metal = Atoms("Na", pbc=True, cell=np.diag([4.0, 4.0, 4.0]))
    frames = [metal, Atoms("C"), molecule("CH4")]
    rows = DOSModel.load("model.pt").predict(frames)
    for atoms, row, electrons in zip(frames, rows, (1.0, 4.0, 12.0), strict=True):
        columns = np.arange(CHOICES.columns)
        mask = (columns >= CHOICES.extra_targets) & (columns < 400)
        atoms.info = {"n_electrons": electrons, "dos": 1.1 * row, "dos_mask": mask}
    ase.io.write("frames.xyz", frames)
    return tmp_path


def load(name):
    """Load a file as the widget of a notebook does, which checks it."""
    data = json.loads(chemiscope.show_input(name).value)
    return data["properties"], data["parameters"]


def predict(models, *options):
    files = [*models.split(), "frames.xyz"]
    main(["predict", *files, "-o", "dos.npz", "--force", *options])


@pytest.mark.parametrize("zero", ["fermi", "axis"])
def test_predictions(folder, zero, capsys):
    predict("model.pt moved.pt", "--chemiscope", "dos.json", "--zero", zero)
    assert "chemiscope: dos.json\n" in capsys.readouterr().out
    properties, parameters = load("dos.json")
    ((label, axis),) = parameters.items()
    assert label == {"fermi": "energy - Fermi level", "axis": "energy"}[zero]
    assert axis["units"] == "eV"
    energies = np.array(axis["values"])
    with np.load("dos.npz") as written:
        # From shortly below the first states of any structure to the first end.
        first = min(
            x[np.argmax(y > 0.01 * y.max())]
            for x, y in zip(written["dos_energies"], written["dos"], strict=True)
        )
        assert energies[0] == pytest.approx(first - 1.5, abs=1e-4)
        end = written["dos_energies"][:, -1].min()
        assert end - 0.05 < energies[-1] <= end + 1e-4
        for name, ours in (("DOS", "dos"), ("dos_std", "dos_std")):
            assert properties[name]["parameters"] == [label]
            for i, row in enumerate(properties[name]["values"]):
                expected = np.interp(
                    energies, written["dos_energies"][i], written[ours][i], left=0.0
                )
                # four decimals, of energies and of the DOS
                np.testing.assert_allclose(row, expected, atol=3e-4)
        for name in ("gap", "gap_std", "axis_zero"):
            np.testing.assert_array_equal(properties[name]["values"], written[name])
    assert properties["gap"]["units"] == "eV"
    assert "units" not in properties["electrons"]


def test_there_are_no_states_before_an_axis_begins(tmp_path):
    energies, flat = np.arange(-5.0, 5.0), np.ones(10)
    long, short = (
        PredictedDOS(energies[i:], flat[i:], flat[i:].cumsum(), {}) for i in (0, 4)
    )
    path = tmp_path / "dos.json"
    write_predictions(path, [(Atoms("H"), long), (Atoms("C"), short)], "axis")
    properties, _ = load(str(path))
    assert properties["DOS"]["values"] == [[1.0] * 10, [0.0] * 4 + [1.0] * 6]


def test_thermal_quantities_have_their_units(folder):
    predict("model.pt", "--temperature", "3000", "--chemiscope", "dos.json.gz")
    properties, _ = load("dos.json.gz")
    assert properties["heat_capacity_3000K"]["units"] == "eV/K"
    assert properties["free_energy_3000K"]["units"] == "eV"
    assert properties["dos_at_fermi_level"]["units"] == "states/eV"


def test_a_mean(folder):
    predict("model.pt", "--mean", "--electrons", "4", "--chemiscope", "dos.json")
    properties, _ = load("dos.json")
    assert len(properties["dos_error"]["values"]) == 1


def test_parts(folder):
    (folder / "atoms").mkdir()
    write_model(folder / "atoms", kind="atom")
    predict("atoms/model.pt", "--per-atom", "--chemiscope", "dos.json")
    properties, _ = load("dos.json")
    rows = np.array(properties["DOS of the atom"]["values"])
    assert properties["DOS of the atom"]["target"] == "atom" and len(rows) == 7
    np.testing.assert_allclose(
        rows[2:].sum(0), properties["DOS"]["values"][2], atol=3e-4
    )
    predict("atoms/model.pt", "--per-element", "--chemiscope", "dos.json")
    properties, _ = load("dos.json")
    carbon, hydrogen = (properties[f"DOS, {x}"]["values"] for x in ("C", "H"))
    np.testing.assert_array_equal(hydrogen[:2], 0.0)
    np.testing.assert_allclose(
        np.add(carbon[2], hydrogen[2]), properties["DOS"]["values"][2], atol=2e-4
    )


def test_without_levels(folder):
    frames = ase.io.read("frames.xyz", ":")
    for atoms in frames:
        del atoms.info["n_electrons"]
    ase.io.write("frames.xyz", frames)
    predict("model.pt", "--zero", "axis", "--chemiscope", "dos.json")
    properties, _ = load("dos.json")
    assert properties.keys() == {"structure", "DOS", "axis_zero"}


def evaluate(*options):
    main(["evaluate", "model.pt", "frames.xyz", "-o", "report", *options])


def test_a_comparison(folder, capsys):
    evaluate("--chemiscope", "report.json")
    assert "chemiscope: report.json\n" in capsys.readouterr().out
    properties, parameters = load("report.json")
    assert list(parameters) == ["energy on the axis of the targets"]
    computed, predicted = (
        np.array(properties[f"{name} DOS"]["values"])
        for name in ("computed", "predicted")
    )
    trusted = ~np.isnan(computed)
    # The mask ends there, and the padding has no column here.
    assert trusted.all(0).tolist() == [True] * 360 + [False] * 81
    rows = json.loads((folder / "report" / "errors.json").read_text())["rows"]
    assert properties["relative_rmse"]["units"] == "%"
    for i, row in enumerate(rows):
        error = (predicted - computed)[i][trusted[i]]
        assert np.sqrt((error**2).mean()) == pytest.approx(
            row["rmse_per_atom"], abs=1e-4
        )
        for name in ("relative_rmse", "gap_error"):
            scale = 100 if name == "relative_rmse" else 1
            assert properties[name]["values"][i] == pytest.approx(
                scale * row[name], rel=1e-5
            )
        gaps = [properties[f"gap, {x}"]["values"][i] for x in ("predicted", "computed")]
        assert gaps[0] - gaps[1] == pytest.approx(row["gap_error"], abs=1e-5)
    assert properties["material"]["values"] == ["Na", "C", "CH4"]
    assert "spread_per_atom" not in properties


def test_a_comparison_of_atoms(folder):
    write_model(folder, kind="atom")
    frames = ase.io.read("frames.xyz", ":")
    for atoms in frames:
        atoms.arrays["dos"] = np.tile(atoms.info.pop("dos"), (len(atoms), 1))
        del atoms.info["dos_mask"]
    ase.io.write("frames.xyz", frames)
    evaluate("--chemiscope", "report.json")
    properties, _ = load("report.json")
    assert {properties[name]["target"] for name in ("computed DOS", "loss_masked")} == {
        "atom"
    }
    assert len(properties["predicted DOS"]["values"]) == 7


def test_files_that_cannot_be_written(folder, monkeypatch):
    for run in (lambda *options: predict("model.pt", *options), evaluate):
        with pytest.raises(SystemExit, match=r"that ends in \.json or \.json\.gz, got"):
            run("--chemiscope", "dos.html")
    monkeypatch.setitem(sys.modules, "chemiscope", None)
    for run in (lambda *options: predict("model.pt", *options), evaluate):
        with pytest.raises(SystemExit, match=r"install metatrain-dos\[chemiscope\]"):
            run("--chemiscope", "dos.json")
    assert not (folder / "dos.npz").exists() and not (folder / "report").exists()
