"""Results in a notebook, as IPython displays them."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from ase import Atoms
from helpers.level_model import write_model
from IPython.core.formatters import DisplayFormatter

from metatrain_dos import DOSCalculator
from metatrain_dos.models.errors import align
from metatrain_dos.models.levels import band_edges
from metatrain_dos.models.notebook import MOST_CELLS, draw_dos
from metatrain_dos.models.prediction import PredictedDOS
from metatrain_dos.models.thermal import thermal_properties


SVG = "{http://www.w3.org/2000/svg}"
ENERGIES = np.linspace(-10.0, 10.0, 401)
DOS = 2.0 * np.exp(-((np.abs(ENERGIES) - 3.0) ** 2) / 0.2)


def displayed(result):
    """Display as a notebook does; return the drawing and the rows of the table."""
    data, _ = DisplayFormatter().format(result)
    page = ElementTree.fromstring(f"<div>{data['text/html']}</div>")
    cells = [["".join(cell.itertext()) for cell in row] for row in page.iter("tr")]
    return page.find(f"{SVG}svg"), {name: values for name, *values in cells}


def predicted(**numbers):
    levels = {"fermi_level": 0.0, "highest_occupied": -2.0, "lowest_unoccupied": 1.0}
    return PredictedDOS(ENERGIES, DOS, DOS.cumsum(), levels | numbers)


def test_numbers_stand_beside_their_errors_and_units():
    _, rows = displayed(
        predicted(
            gap=1.23456789,
            gap_std=0.0512,
            entropy_300K=1e-4,
            entropy_300K_error=2e-6,
            electrons=8.0,
        )
    )
    assert rows["gap"] == ["1.2346 ± 0.051 over the committee", "eV"]
    assert rows["entropy_300K"] == ["0.0001 ± 2e-06", "eV/K"]
    assert rows["electrons"] == ["8", ""]
    assert not any(name.endswith(("_std", "_error")) for name in rows)


def outline(drawing, name):
    """Read the corners of the only path of a group, ``(2, corners)``."""
    (group,) = [each for each in drawing.iter(f"{SVG}g") if each.get("id") == name]
    path = next(group.iter(f"{SVG}path")).get("d")
    return np.array(re.findall(r"-?[\d.]+", path), float).reshape(-1, 2).T


def test_the_drawing():
    drawing, _ = displayed(predicted())
    x, y = outline(drawing, "dos")
    start = predicted().first_energy
    # The first states are those above a hundredth of the largest.
    expected = -3.0 - np.sqrt(0.2 * np.log(100)) - 1.5
    assert start == pytest.approx(expected, abs=0.06)
    energies = start + (x - x[0]) / np.ptp(x) * (10.0 - start)
    peaks = energies[y < y.min() + 0.1 * np.ptp(y)]
    np.testing.assert_allclose(np.unique(peaks.round()), [-3.0, 3.0])
    edges, _ = outline(drawing, "levels")
    assert np.ptp(edges) / np.ptp(x) == pytest.approx(3.0 / (10.0 - start), abs=1e-4)
    texts = {text.text for text in drawing.iter(f"{SVG}text")}
    assert {"0", "10", "energy, eV", "DOS, states/eV"} <= texts


def test_a_band_and_no_levels():
    flat = np.full(401, 2.0)
    text = draw_dos(ENERGIES, flat, start=-10.0, spread=flat / 4)
    drawing = ElementTree.fromstring(text)
    _, y = outline(drawing, "dos")
    _, band = outline(drawing, "spread")
    # Their distance is a quarter of that of the curve from the axis at the bottom.
    _, frame = outline(drawing, "patch_2")
    assert np.ptp(band) / 2 == pytest.approx((frame.max() - y[0]) / 4, rel=1e-4)
    assert np.ptp(frame) > 1.25 * (frame.max() - y[0])  # It fits in.
    assert 'id="levels"' not in text


def test_the_colours_are_those_of_the_page():
    text = draw_dos(ENERGIES, DOS, start=-10.0, levels=(0.0, 0.0))
    assert text.startswith('<svg fill="currentColor"')
    assert "#000000" not in text and len(text) < 40_000
    assert text == draw_dos(ENERGIES, DOS, start=-10.0, levels=(0.0, 0.0))


def test_a_problem_is_text():
    prediction = PredictedDOS(ENERGIES, DOS, DOS, {}, problem="<b>too few</b>")
    assert "<p>&lt;b&gt;too few&lt;/b&gt;</p>" in prediction._repr_html_()


def test_the_calculator_shows_its_last_results(tmp_path):
    write_model(tmp_path)
    atoms = Atoms("C", calculator=DOSCalculator(tmp_path / "model.pt", electrons=4))
    data, _ = DisplayFormatter().format(atoms.calc)
    assert "text/html" not in data
    atoms.calc.get_dos(atoms)
    drawing, rows = displayed(atoms.calc)
    assert drawing is not None
    assert float(rows["gap"][0]) == pytest.approx(atoms.calc.results["gap"], rel=1e-4)


def test_levels_thermal_properties_and_errors():
    edges = band_edges(np.stack([DOS] * 3), ENERGIES, DOS.sum() * 0.05 / 2)
    _, rows = displayed(edges)
    assert rows["gap"] == [*[f"{gap:.5g}" for gap in edges.gap], "eV"]
    found = thermal_properties(DOS, ENERGIES, 1.0, 1000.0)
    _, rows = displayed(found)
    assert rows["heat_capacity"] == [f"{found.heat_capacity:.5g}", "eV/K"]
    rows = [np.pad(DOS, (0, 10)) * 1.1] * 30
    aligned = align(rows, [DOS] * 30, grid_spacing=0.05)
    _, rows = displayed(aligned)
    assert rows["relative_rmse"] == [*["0.1"] * MOST_CELLS, "…", ""]
