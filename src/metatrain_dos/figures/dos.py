"""Draw predicted and computed DOS."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from ..models.level_errors import LevelPair
from .style import COMPUTED, PREDICTED, make_panels, remove_spines


if TYPE_CHECKING:
    from ..models.errors import AlignedDOS  # needs torch


def plot_predicted_and_computed(
    energies: np.ndarray,
    aligned: "AlignedDOS",
    titles: Sequence[str],
    *,
    zeros: Sequence[float | None] | None = None,
    columns: int = 4,
) -> Figure:
    """
    Draw predicted over computed DOS over the trusted range, one panel per structure.

    :param energies: energies of the points of the targets, ``(points,)``, eV
    :param aligned: predictions and targets
    :param titles: title of each panel
    :param zeros: energy of the highest occupied state of each structure, eV, or
        ``None``; energies are relative to it where it is known
    :param columns: number of panels in a row
    """
    figure, panels = make_panels(titles, columns)
    for i, panel in enumerate(panels):
        zero = zeros[i] if zeros is not None else None
        curves = aligned.targets[i], aligned.predictions[i]
        _draw(panel, energies, *curves, aligned.mask[i], zero)

    known = zeros is not None and all(zero is not None for zero in zeros)
    figure.supxlabel(_energy_label(known), fontsize=9)
    figure.supylabel("DOS, states / eV", fontsize=9)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper right", ncols=2, frameon=False, fontsize=9
    )
    return figure


def plot_structure(
    energies: np.ndarray,
    aligned: "AlignedDOS",
    *,
    atoms: int = 1,
    zero: float | None = None,
    levels: LevelPair | None = None,
) -> Figure:
    """
    Draw predicted over computed DOS of one structure, and both integrated below.

    :param energies: energies of the points of the target, ``(points,)``, eV
    :param aligned: prediction and target of one structure
    :param atoms: number of atoms by which both are divided
    :param zero: energy of the highest occupied state, eV, or ``None``; energies are
        relative to it if it is known
    :param levels: predicted and computed levels, drawn as Fermi level or gap
    """
    if zero is None and levels is not None:
        zero = levels.computed.highest_occupied
    figure = Figure(figsize=(4.2, 3.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    mask = aligned.mask[0]
    computed, predicted = aligned.targets[0] / atoms, aligned.predictions[0] / atoms
    _draw(above, energies, computed, predicted, mask, zero)
    predicted, computed = (values[0] / atoms for values in aligned.integrated())
    _draw(below, energies, computed, predicted, mask, zero)
    if levels is not None:
        _draw_levels(above, levels, zero or 0.0)
    unit = "" if atoms == 1 else "/atom"
    above.set_ylabel(f"DOS, states/eV{unit}", fontsize=8)
    below.set_ylabel(f"states{unit} below", fontsize=8)
    below.set_xlabel(_energy_label(zero is not None), fontsize=8)
    figure.align_ylabels()
    above.legend(frameon=False, fontsize=8, loc="upper left")
    for panel in (above, below):
        remove_spines(panel)
    return figure


def _draw_levels(panel: Any, levels: LevelPair, zero: float) -> None:
    """Draw a bar over each gap, or a tick at the Fermi level, near the top."""
    for height, color, each in (
        (0.97, COMPUTED, levels.computed),
        (0.93, PREDICTED, levels.predicted),
    ):
        edges = np.array([each.highest_occupied, each.lowest_unoccupied]) - zero
        if np.isnan(edges[1]):  # a gap that is open at the end of the axis
            edges[1] = panel.get_xlim()[1]
        place = {"transform": panel.get_xaxis_transform(), "color": color}
        if edges[1] > edges[0]:
            panel.plot(edges, [height] * 2, lw=2.5, solid_capstyle="butt", **place)
        else:
            panel.plot(edges[:1], [height], marker="|", ms=9, mew=2.0, **place)


def _draw(
    panel: Any,
    energies: np.ndarray,
    computed: np.ndarray,
    predicted: np.ndarray,
    mask: np.ndarray,
    zero: float | None,
) -> None:
    """Draw one curve over the other over the trusted range."""
    x = energies[mask] - (zero or 0.0)
    computed, predicted = computed[mask], predicted[mask]
    panel.fill_between(x, computed, color=COMPUTED, alpha=0.35, lw=0)
    panel.plot(x, computed, color=COMPUTED, lw=0.8, label="computed")
    panel.plot(x, predicted, color=PREDICTED, lw=1.1, label="predicted")
    if zero is not None:
        panel.axvline(0.0, color="black", lw=0.6, ls=":")
    # Begin shortly below the first states.
    occupied = x[computed > 1e-3 * computed.max()]
    if len(occupied):
        panel.set_xlim(occupied[0] - 1.5, x[-1])
    panel.set_ylim(0.0, 1.15 * max(computed.max(), predicted.max(), 1e-3))


def _energy_label(known: bool) -> str:
    """Name the axis."""
    return f"energy{' - highest occupied' if known else ''}, eV"
