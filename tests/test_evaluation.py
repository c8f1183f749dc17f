"""Errors that do not depend on the energy zero, and the figure of them."""

import numpy as np
import pytest
from conftest import make_case

from metatrain_dos.evaluation import align
from metatrain_dos.plotting import plot_predicted_and_computed


def test_the_zero_does_not_matter():
    _, t, m = (x.numpy() for x in make_case(0, points=60, extra=0))
    t[:, :2] = t[:, -2:] = 0
    first = align(np.pad(1.1 * t, ((0, 0), (3, 9))), t, m, grid_spacing=0.05)
    second = align(np.pad(1.1 * t, ((0, 0), (8, 4))), t, m, grid_spacing=0.05)
    np.testing.assert_array_equal(second.shift - first.shift, 5)
    np.testing.assert_allclose(second.rmse, first.rmse)
    np.testing.assert_allclose(first.relative_rmse, 0.1)


def test_only_the_trusted_range_counts():
    p, t, m = (x.numpy() for x in make_case(1, extra=0))
    aligned = align(p, t, m, grid_spacing=0.05)
    expected = [np.sqrt(np.mean((a - b)[c] ** 2)) for a, b, c in zip(p, t, m)]  # noqa: B905
    np.testing.assert_allclose(aligned.rmse, expected)


def test_predicting_nothing_is_an_error_of_one():
    _, t, m = (x.numpy() for x in make_case(2, extra=0))
    aligned = align(np.zeros_like(t), t, m, grid_spacing=0.05)
    np.testing.assert_allclose(aligned.relative_rmse, 1.0)


@pytest.mark.parametrize("fermi_levels", [None, [0.5, None, 0.7], [0.1, 0.2, 0.3]])
def test_figure(fermi_levels, tmp_path):
    p, t, m = (x.numpy() for x in make_case(3, samples=3, points=60, masked=0.0))
    aligned = align(p, t, m, grid_spacing=0.05)
    energies = 0.05 * np.arange(60)
    figure = plot_predicted_and_computed(
        energies, aligned, ["a", "b", "c"], zeros=fermi_levels, columns=2
    )
    panels = figure.axes
    assert [panel.get_title() for panel in panels] == ["a", "b", "c", ""]
    computed, predicted = panels[1].get_lines()[:2]
    zero = (fermi_levels or [0, 0, 0])[1] or 0
    np.testing.assert_allclose(computed.get_xdata(), energies - zero)
    np.testing.assert_allclose(computed.get_ydata(), t[1])
    np.testing.assert_allclose(predicted.get_ydata(), aligned.predictions[1])
    label = "energy - highest occupied, eV" if fermi_levels else "energy, eV"
    known = fermi_levels is None or None not in fermi_levels
    assert figure.get_supxlabel() == (label if known else "energy, eV")
    figure.savefig(tmp_path / "figure.png")
