"""Figures of predictions."""

import ase.io
import numpy as np
import pytest
from helpers.level_model import write_model

from metatrain_dos.commands.main import main
from metatrain_dos.figures import plot_predictions
from metatrain_dos.models.prediction import PredictedDOS


ENERGIES = np.linspace(-10.0, 10.0, 201)


def predicted(gap=3.0, **curves):
    dos = np.exp(-((ENERGIES + 2.0) ** 2))
    numbers = {
        "fermi_level": 0.0,
        "highest_occupied": -0.5 * gap,
        "lowest_unoccupied": 0.5 * gap,
        "gap": gap,
    }
    return PredictedDOS(ENERGIES, dos, dos.cumsum(), numbers, curves)


def test_one_structure():
    spread = np.full(len(ENERGIES), 0.1)
    figure = plot_predictions([predicted(dos_std=spread)], ["C"], zero="Fermi level")
    (panel,) = figure.axes
    (curve,) = panel.get_lines()
    np.testing.assert_array_equal(curve.get_ydata(), predicted().dos)
    (band,) = panel.collections
    x, y = band.get_paths()[0].vertices.T
    at_peak = y[np.isclose(x, -2.0)]
    assert (at_peak.min(), at_peak.max()) == pytest.approx((0.9, 1.1))
    (gap,) = panel.patches
    assert (gap.get_x(), gap.get_width()) == (-1.5, 3.0)
    assert [text.get_text() for text in panel.texts] == ["3.00 eV"]
    assert figure.get_supxlabel() == "energy - Fermi level, eV"


def test_a_metal_has_a_line():
    figure = plot_predictions([predicted(gap=0.0)], ["Na"])
    (panel,) = figure.axes
    assert not panel.patches
    assert panel.get_lines()[1].get_xdata() == [0.0, 0.0]
    assert figure.get_supxlabel() == "energy, eV"


def test_a_grid():
    predictions = [predicted(gap) for gap in (1.0, 2.0, 3.0, 4.0, 5.0)]
    figure = plot_predictions(predictions, list("abcde"), columns=3, total=9)
    assert [panel.get_title() for panel in figure.axes] == [*"abcde", ""]
    assert figure.get_suptitle() == "the first 5 of 9 structures"


@pytest.fixture
def folder(tmp_path):
    write_model(tmp_path)
    frames = [ase.Atoms("C", info={"n_electrons": 4.0})] * 20
    ase.io.write(tmp_path / "frames.xyz", frames)
    return tmp_path


def predict(folder, *options):
    files = [folder / "model.pt", folder / "frames.xyz", "-o", folder / "dos.npz"]
    main(["predict", *map(str, [*files, *options])])


@pytest.mark.parametrize(
    ("options", "titles", "heading"),
    [
        ((), ["C"] * 16, "the first 16 of 20 structures"),
        (("--mean",), ["C, mean over 20 structures"], None),
    ],
)
def test_predict_draws(folder, options, titles, heading, capsys):
    predict(folder, "--figure", folder / "dos.svg", *options)
    text = (folder / "dos.svg").read_text("utf-8")
    comments = [line.strip()[5:-4] for line in text.splitlines() if "<!-- " in line]
    assert [each for each in comments if each.startswith("C")] == titles
    assert heading is None or heading in comments
    assert f"figure: {folder / 'dos.svg'}" in capsys.readouterr().out


def test_other_endings(folder):
    with pytest.raises(SystemExit, match=r"figure: expected a file that ends in \.pdf"):
        predict(folder, "--figure", "dos.docx")
    assert not (folder / "dos.npz").exists()
