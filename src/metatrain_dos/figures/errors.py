"""Draw the distribution of errors and shifts."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .style import COMPUTED, PREDICTED, remove_spines


# Materials that fit into a figure.
MOST_MATERIALS = 40

# More dots in one row are a dark bar anyway.
MOST_DOTS = 200


def plot_errors(
    errors: np.ndarray, materials: np.ndarray, names: Sequence[str], label: str
) -> Figure:
    """
    Draw the errors of each material as dots, and their median as a bar.

    The worst material is on top. If there are many, only the worst are drawn. If a
    material has many structures, evenly chosen ones are drawn, the best and the worst
    among them.

    :param errors: error of each structure, ``(structures,)``; NaN is left out
    :param materials: number of the material, ``(structures,)``
    :param names: name of each material
    :param label: axis label, with the unit
    """
    known = np.flatnonzero(~np.isnan(errors))
    in_order = errors[known[np.lexsort((errors[known], materials[known]))]]
    numbers, sizes = np.unique(materials[known], return_counts=True)
    groups = np.split(in_order, np.cumsum(sizes)[:-1]) if len(numbers) else []
    rows = [(values, names[n]) for values, n in zip(groups, numbers, strict=True)]
    rows.sort(key=lambda row: (-float(np.median(row[0])), row[1]))
    shown = rows[:MOST_MATERIALS]
    figure, axes = _panel(1.0 + 0.17 * len(shown), label)
    for y, (values, _) in enumerate(shown):
        chosen = np.linspace(0, len(values) - 1, min(len(values), MOST_DOTS))
        dots = values[chosen.round().astype(int)]
        axes.plot(dots, np.full(len(dots), y), "o", ms=3.5, color=COMPUTED, alpha=0.7)
        axes.plot(np.median(values), y, "|", ms=9, mew=1.8, color=PREDICTED)
    axes.set_yticks(range(len(shown)), [name for _, name in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlim(left=0.0)
    if len(shown) < len(rows):
        axes.set_title(f"the worst {len(shown)} of {len(rows)} materials", fontsize=8)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", lw=0.4, alpha=0.4)
    return figure


def plot_shifts(shifts: np.ndarray, longest: float) -> Figure:
    """
    Draw the distribution of the shifts of targets along their predictions.

    :param shifts: shift of each structure, ``(structures,)``, eV; NaN is left out
    :param longest: largest possible shift, eV
    """
    figure, axes = _panel(2.4, "shift, eV", "structures")
    known = shifts[~np.isnan(shifts)]
    axes.hist(known, bins=40, range=(0.0, max(longest, 1e-3)), color=COMPUTED)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def plot_pairs(x: np.ndarray, y: np.ndarray, x_label: str, y_label: str) -> Figure:
    """
    Draw two numbers of each structure, and the line on which they are the same.

    :param x: one number, ``(structures,)``; NaN is left out
    :param y: the other one
    :param x_label: axis label, with the unit
    :param y_label: axis label, with the unit
    """
    figure, axes = _panel(3.6, x_label, y_label)
    known = ~np.isnan(x) & ~np.isnan(y)
    axes.plot(x[known], y[known], "o", ms=3.5, color=COMPUTED, alpha=0.7)
    axes.axline((0.0, 0.0), slope=1.0, lw=0.8, color=PREDICTED)
    axes.set_xlim(left=0.0)
    axes.set_ylim(bottom=0.0)
    return figure


def _panel(height: float, x_label: str, y_label: str = "") -> tuple[Figure, Any]:
    """Make a figure with one panel."""
    figure = Figure(figsize=(4.2, height), layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(x_label, fontsize=8)
    axes.set_ylabel(y_label, fontsize=8)
    remove_spines(axes)
    return figure, axes
