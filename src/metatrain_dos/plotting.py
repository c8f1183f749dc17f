"""Figures."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .evaluation import AlignedDOS


if TYPE_CHECKING:
    from matplotlib.figure import Figure


COMPUTED = "#7f8c8d"
PREDICTED = "#c0392b"


def plot_predicted_and_computed(
    energies: np.ndarray,
    aligned: AlignedDOS,
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
