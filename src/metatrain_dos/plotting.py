"""Figures."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .grid import EnergyGrid


if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .evaluation import AlignedDOS  # which needs torch


COMPUTED = "#7f8c8d"
PREDICTED = "#c0392b"

# Bars that a figure has room for.
MOST_BARS = 800


def plot_predicted_and_computed(
    energies: np.ndarray,
    aligned: "AlignedDOS",
    titles: Sequence[str],
    *,
    zeros: Sequence[float | None] | None = None,
    columns: int = 4,
) -> "Figure":
    """
    Draw predicted over computed DOS, one panel for each structure.

    What is not trusted of the computed DOS is left out.

    :param energies: energies of the points of the targets, ``(points,)``, eV
    :param aligned: predictions and targets
    :param titles: title of each panel
    :param zeros: energy of the highest occupied state of each structure, eV; where it
        is known, energies are relative to it
    :param columns: number of panels in a row
    :return: the figure
    """
    from matplotlib.figure import Figure

    samples = len(aligned.targets)
    rows = -(-samples // columns)
    figure = Figure(figsize=(3.0 * columns, 2.1 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    for panel in panels.flat[samples:]:
        panel.set_axis_off()

    for i, panel in enumerate(panels.flat[:samples]):
        zero = zeros[i] if zeros is not None else None
        mask = aligned.mask[i]
        x = energies[mask] - (zero or 0.0)
        computed, predicted = aligned.targets[i][mask], aligned.predictions[i][mask]
        panel.fill_between(x, computed, color=COMPUTED, alpha=0.35, lw=0)
        panel.plot(x, computed, color=COMPUTED, lw=0.8, label="computed")
        panel.plot(x, predicted, color=PREDICTED, lw=1.1, label="predicted")
        if zero is not None:
            panel.axvline(0.0, color="black", lw=0.6, ls=":")
        # There is nothing to see where there are no states yet.
        occupied = x[computed > 1e-3 * computed.max()]
        panel.set_xlim(occupied[0] - 1.5, x[-1])
        panel.set_ylim(0.0, 1.15 * max(computed.max(), predicted.max()))
        panel.set_title(titles[i], fontsize=9)
        panel.tick_params(labelsize=7)
        panel.spines[["top", "right"]].set_visible(False)

    known = zeros is not None and all(zero is not None for zero in zeros)
    origin = " - highest occupied" if known else ""
    figure.supxlabel(f"energy{origin}, eV", fontsize=9)
    figure.supylabel("DOS, states / eV", fontsize=9)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper right", ncols=2, frameon=False, fontsize=9
    )
    return figure


def plot_trusted_ranges(
    lowest: np.ndarray,
    trusted: np.ndarray,
    materials: np.ndarray,
    names: Sequence[str],
    *,
    fermi_levels: np.ndarray,
    grid: EnergyGrid,
) -> "Figure":
    """
    Draw the trusted range of each structure as a bar on one energy axis.

    Structures of a material are next to each other and share a colour. Where there are
    more structures than rows of pixels, a row stands for several of one material: full
    colour where all are trusted, pale where some are.

    :param lowest: lowest eigenvalue, ``(structures,)``, eV
    :param trusted: highest trusted energy, ``(structures,)``, eV
    :param materials: number of the material, ``(structures,)``
    :param names: name of each material
    :param fermi_levels: Fermi level, NaN where it is not known, ``(structures,)``, eV
    :param grid: energies of the data set, whose ends are marked
    :return: the figure
    """
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

    # By name, and by their end within a material, so that neighbours are alike.
    rank = np.argsort(np.argsort(np.array(names)))
    order = np.lexsort((trusted, rank[materials]))
    sizes = np.bincount(rank[materials])
    place = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    step = -(-len(order) // MOST_BARS)
    starts = np.flatnonzero(place % step == 0)

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
    """Write the name of each material next to the middle of its bars, if it fits."""
    room = len(materials) / height * 0.13  # bars that a line of text is as high as
    ticks, labels, last = [], [], -room
    for number in np.unique(materials):
        middle = float(np.flatnonzero(materials == number).mean())
        if middle - last >= room:
            ticks.append(middle)
            labels.append(names[number])
            last = middle
    axes.set_yticks(ticks, labels, fontsize=7)
    axes.tick_params(axis="y", length=0)
