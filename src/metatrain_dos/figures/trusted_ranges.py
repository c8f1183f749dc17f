"""Draw the trusted ranges of a data set."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from ..data.grid import EnergyGrid


# Bars that fit into a figure.
MOST_BARS = 800


def plot_trusted_ranges(
    lowest: np.ndarray,
    trusted: np.ndarray,
    materials: np.ndarray,
    names: Sequence[str],
    *,
    fermi_levels: np.ndarray,
    grid: EnergyGrid,
) -> Figure:
    """
    Draw the trusted range of each structure as a bar on one energy axis.

    Structures of a material are next to each other and share a colour. If there are
    more than ``MOST_BARS`` structures, a row stands for several: full colour where
    all are trusted, pale where some are. These are of one material, unless there are
    too many materials for that.

    :param lowest: lowest eigenvalue, ``(structures,)``, eV
    :param trusted: highest trusted energy, ``(structures,)``, eV
    :param materials: number of the material, ``(structures,)``
    :param names: name of each material
    :param fermi_levels: Fermi level, NaN if unknown, ``(structures,)``, eV
    :param grid: energy grid of the data set, whose ends are marked
    """
    # By name, and by their end within a material, so that neighbours are alike.
    rank = np.argsort(np.argsort(np.array(names)))
    order = np.lexsort((trusted, rank[materials]))
    sizes = np.bincount(rank[materials])
    number, step = np.arange(len(order)), 1
    if len(order) > MOST_BARS:
        # The last row of a material may stand for less than a full step.
        partial = int(np.count_nonzero(sizes))
        if partial > MOST_BARS // 2:
            partial = 0
        else:
            number -= np.repeat(np.cumsum(sizes) - sizes, sizes)
        step = -(-len(order) // (MOST_BARS - partial))
    starts = np.flatnonzero(number % step == 0)

    def per_bar(function: np.ufunc, values: np.ndarray) -> np.ndarray:
        return function.reduceat(values[order], starts)

    bars = len(starts)
    height = float(np.clip(0.16 * bars, 2.5, 11.0))
    figure = Figure(figsize=(8.0, height + 0.8), layout="constrained")
    axes = figure.subplots()
    room = 72 * height / bars
    # Gaps that are narrower than a pixel would only flicker.
    thickness = min(0.8 * room, 7.0) if room > 3 else 1.1 * room
    colors = np.array([f"C{number % 10}" for number in rank])[materials[order[starts]]]
    y = np.arange(bars)

    def draw(left: np.ndarray, right: np.ndarray, **style: Any) -> None:
        ends = np.stack([np.stack([left, y], -1), np.stack([right, y], -1)], 1)
        drawn = right > left
        axes.add_collection(
            LineCollection(
                list(ends[drawn]),
                colors=colors[drawn],
                lw=thickness,
                capstyle="butt",
                **style,
            )
        )

    if step > 1:
        draw(per_bar(np.minimum, lowest), per_bar(np.maximum, trusted), alpha=0.35)
    draw(per_bar(np.maximum, lowest), per_bar(np.minimum, trusted))
    middle = order[(starts + np.append(starts[1:], len(order))) // 2]
    known = ~np.isnan(fermi_levels[middle])
    axes.scatter(
        fermi_levels[middle][known],
        y[known],
        s=max(thickness, 2.5) ** 2,
        marker="|",
        lw=min(max(thickness, 0.8), 1.2),
        color="black",
        label="Fermi level",
        zorder=3,
    )
    for end in (grid.energies[0], grid.energies[-1]):
        axes.axvline(end, color="black", lw=0.6, ls=":")

    _name_rows(axes, rank[materials[order[starts]]], sorted(names), height)
    axes.set_ylim(bars - 0.3, -0.7)
    axes.autoscale_view(scaley=False)
    axes.set_xlabel("energy, eV (dotted: the grid)")
    axes.spines[["top", "right", "left"]].set_visible(False)
    title = (
        f"{len(order)} structures, from their lowest state to where they are trusted"
    )
    axes.set_title(title, fontsize=10, loc="left")
    if known.any():
        figure.legend(loc="outside lower right", frameon=False, fontsize=8)
    return figure


def _name_rows(
    axes: Any, materials: np.ndarray, names: Sequence[str], height: float
) -> None:
    """Label the middle of each material's bars where there is room for text."""
    room = len(materials) / height * 0.13  # number of bars per line of text
    ticks, labels, last = [], [], -room
    found = np.unique(materials, return_index=True, return_counts=True)
    for number, first, count in zip(*found, strict=True):
        middle = first + 0.5 * (count - 1)
        if middle - last >= room:
            ticks.append(middle)
            labels.append(names[number])
            last = middle
    axes.set_yticks(ticks, labels, fontsize=7)
    axes.tick_params(axis="y", length=0)
