"""Draw how errors and shifts are distributed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .style import COMPUTED, PREDICTED, bare


if TYPE_CHECKING:
    from matplotlib.figure import Figure


# Materials that a figure has room for.
MOST_MATERIALS = 40

# Dots of one material, beyond which they are one dark bar anyway.
MOST_DOTS = 200


def plot_errors(
    errors: np.ndarray, materials: np.ndarray, names: Sequence[str], label: str
) -> "Figure":
    """
    Draw the errors of each material as dots, and their median as a bar.

    The worst material is on top. Of many, the worst are drawn, and of many structures
    of one, evenly chosen ones, the best and the worst among them.

    :param errors: error of each structure, ``(structures,)``; NaN is left out
    :param materials: number of the material, ``(structures,)``
    :param names: name of each material
    :param label: what the errors are, with their unit
    :return: the figure
    """
    from matplotlib.figure import Figure

    known = ~np.isnan(errors)
    rows = [
        (np.sort(errors[known & (materials == number)]), names[number])
        for number in np.unique(materials[known])
    ]
    rows.sort(key=lambda row: (-float(np.median(row[0])), row[1]))
    shown = rows[:MOST_MATERIALS]
    figure = Figure(figsize=(4.2, 1.0 + 0.17 * len(shown)), layout="constrained")
    axes = figure.subplots()
    for y, (values, _) in enumerate(shown):
        chosen = np.linspace(0, len(values) - 1, min(len(values), MOST_DOTS))
        dots = values[chosen.round().astype(int)]
        axes.plot(dots, np.full(len(dots), y), "o", ms=3.5, color=COMPUTED, alpha=0.7)
        axes.plot(np.median(values), y, "|", ms=9, mew=1.8, color=PREDICTED)
    axes.set_yticks(range(len(shown)), [name for _, name in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlim(left=0.0)
    axes.set_xlabel(label, fontsize=8)
    if len(shown) < len(rows):
        axes.set_title(f"the worst {len(shown)} of {len(rows)} materials", fontsize=8)
    bare(axes)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", lw=0.4, alpha=0.4)
    return figure


def plot_shifts(shifts: np.ndarray, longest: float) -> "Figure":
    """
    Draw how often targets slid how far along their predictions.

    :param shifts: shift of each structure, ``(structures,)``, eV; NaN is left out
    :param longest: how far a target can slide, eV
    :return: the figure
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(4.2, 2.4), layout="constrained")
    axes = figure.subplots()
    known = shifts[~np.isnan(shifts)]
    axes.hist(known, bins=40, range=(0.0, max(longest, 1e-3)), color=COMPUTED)
    axes.set_xlabel("shift, eV", fontsize=8)
    axes.set_ylabel("structures", fontsize=8)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    bare(axes)
    return figure
