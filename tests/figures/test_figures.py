"""Figures, as far as a test can see them."""

import io

import numpy as np
import pytest

from metatrain_dos import EnergyGrid
from metatrain_dos.figures import plot_errors, plot_shifts, plot_trusted_ranges
from metatrain_dos.figures.trusted_ranges import MOST_BARS


def draw(number, materials=5, **options):
    rng = np.random.default_rng(0)
    lowest = rng.uniform(-20, -10, number)
    trusted = rng.uniform(5, 15, number)
    numbers = rng.integers(0, materials, number)
    names = [f"material {i}" for i in range(materials)]
    levels = rng.uniform(-5, 5, number)
    levels[::2] = np.nan
    figure = plot_trusted_ranges(
        lowest,
        trusted,
        numbers,
        names,
        fermi_levels=levels,
        grid=EnergyGrid(-25.0, 0.1, 500),
    )
    figure.savefig(io.BytesIO())
    return lowest, trusted, numbers, figure.axes[0]


@pytest.mark.parametrize("number", [1, 7, 800])
def test_every_structure_has_its_bar(number):
    lowest, trusted, _, axes = draw(number)
    (bars,) = axes.collections[:-1]  # the last are the Fermi levels
    segments = np.array(bars.get_segments())
    assert segments.shape == (number, 2, 2)
    np.testing.assert_allclose(np.sort(segments[:, 0, 0]), np.sort(lowest))
    np.testing.assert_allclose(np.sort(segments[:, 1, 0]), np.sort(trusted))


def test_colours_are_those_of_materials():
    lowest, _, numbers, axes = draw(60)
    bars = axes.collections[0]
    starts = np.array(bars.get_segments())[:, 0, 0]
    material = numbers[np.array([np.argmin(np.abs(lowest - x)) for x in starts])]
    colors = {tuple(color) for color in bars.get_colors()}
    assert len(colors) == 5
    for color, number in zip(bars.get_colors(), material, strict=True):
        same = bars.get_colors()[material == number]
        assert (same == color).all()
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == [f"material {i}" for i in range(5)]
    y = np.array(bars.get_segments())[:, 0, 1]
    middles = [y[material == i].mean() for i in range(5)]
    np.testing.assert_allclose(axes.get_yticks(), middles)


@pytest.mark.parametrize("materials", [300, 5000])
def test_many_structures_share_rows(materials):
    lowest, trusted, _, axes = draw(100_000, materials=materials)
    pale, full = axes.collections[:2]
    assert len(pale.get_segments()) <= MOST_BARS
    segments = np.array(pale.get_segments())
    assert segments[:, 0, 0].min() == lowest.min()
    assert segments[:, 1, 0].max() == trusted.max()
    assert 0 < len(full.get_segments()) <= len(segments)
    assert len(axes.get_yticks()) < 100


@pytest.mark.parametrize("materials", [1, 4, 60])
def test_the_worst_material_is_on_top(materials):
    rng = np.random.default_rng(1)
    numbers = np.repeat(np.arange(materials), 5)
    errors = rng.uniform(0, 1, len(numbers))
    errors[3] = errors[numbers == 2] = np.nan
    names = [f"material {i}" for i in range(materials)]
    figure = plot_errors(errors, numbers, names, "error")
    figure.savefig(io.BytesIO())
    (axes,) = figure.axes
    known = [i for i in range(materials) if i != 2]
    medians = {i: np.nanmedian(errors[numbers == i]) for i in known}
    order = sorted(known, key=medians.get, reverse=True)[:40]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == [names[i] for i in order]
    dots, bars = axes.get_lines()[::2], axes.get_lines()[1::2]
    for y, (i, dot, bar) in enumerate(zip(order, dots, bars, strict=True)):
        own = errors[numbers == i]
        np.testing.assert_array_equal(dot.get_xdata(), np.sort(own[~np.isnan(own)]))
        assert (dot.get_ydata() == y).all()
        assert bar.get_xdata() == medians[i]
    assert axes.get_title() == (
        "the worst 40 of 59 materials" if materials > 40 else ""
    )


def test_dots_of_many_structures_keep_the_ends():
    errors = np.random.default_rng(2).uniform(0, 1, 10_000)
    figure = plot_errors(errors, np.zeros(10_000, int), ["one"], "error")
    dots = figure.axes[0].get_lines()[0].get_xdata()
    assert len(dots) == 200
    assert (dots.min(), dots.max()) == (errors.min(), errors.max())


@pytest.mark.parametrize("longest", [0.0, 10.0])
def test_every_known_shift_is_counted(longest):
    shifts = np.array([0.0, np.nan, 0.5 * longest, longest])
    figure = plot_shifts(shifts, longest)
    figure.savefig(io.BytesIO())
    bars = figure.axes[0].patches
    assert sum(bar.get_height() for bar in bars) == 3
