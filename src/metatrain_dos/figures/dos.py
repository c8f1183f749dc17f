"""Draw predicted and computed DOS."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .style import COMPUTED, PREDICTED, remove_spines


if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..models.errors import AlignedDOS  # needs torch


def plot_predicted_and_computed(
    energies: np.ndarray,
    aligned: "AlignedDOS",
    titles: Sequence[str],
    *,
    zeros: Sequence[float | None] | None = None,
    columns: int = 4,
) -> "Figure":
    """
    Draw predicted over computed DOS over the trusted range, one panel per structure.

    :param energies: energies of the points of the targets, ``(points,)``, eV
    :param aligned: predictions and targets
    :param titles: title of each panel
    :param zeros: energy of the highest occupied state of each structure, eV, or
        ``None``; energies are relative to it where it is known
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
        curves = aligned.targets[i], aligned.predictions[i]
        _draw(panel, energies, *curves, aligned.mask[i], zero)
        panel.set_title(titles[i], fontsize=9)
        remove_spines(panel)

    known = zeros is not None and all(zero is not None for zero in zeros)
    figure.supxlabel(_energy_label(known), fontsize=9)
    figure.supylabel("DOS, states / eV", fontsize=9)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper right", ncols=2, frameon=False, fontsize=9
    )
    return figure


def plot_structure(
    energies: np.ndarray, aligned: "AlignedDOS", *, zero: float | None = None
) -> "Figure":
    """
    Draw predicted over computed DOS of one structure, and both integrated below.

    :param energies: energies of the points of the target, ``(points,)``, eV
    :param aligned: prediction and target of one structure
    :param zero: energy of the highest occupied state, eV, or ``None``; energies are
        relative to it if it is known
    :return: the figure
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2, 3.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    mask = aligned.mask[0]
    _draw(above, energies, aligned.targets[0], aligned.predictions[0], mask, zero)
    predicted, computed = (values[0] for values in aligned.integrated())
    _draw(below, energies, computed, predicted, mask, zero)
    above.set_ylabel("DOS, states/eV", fontsize=8)
    below.set_ylabel("states below", fontsize=8)
    below.set_xlabel(_energy_label(zero is not None), fontsize=8)
    figure.align_ylabels()
    above.legend(frameon=False, fontsize=8, loc="upper left")
    for panel in (above, below):
        remove_spines(panel)
    return figure


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
