"""Draw predictions: one structure, a grid of several, or the mean of a trajectory."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ase
import numpy as np
from matplotlib.figure import Figure

from ..models.prediction import PredictedDOS
from .style import COMPUTED, PREDICTED, default_settings, make_panels


MOST_PANELS = 16
"""Structures in a grid."""

ENDINGS = (".pdf", ".png", ".svg")
"""Endings of files that can be drawn."""

ZERO_LABELS = {"fermi": "Fermi level", "vbm": "highest occupied", "axis": ""}
"""Zero of the energies -> name on the axis."""


def plot_predictions(
    predictions: Sequence[PredictedDOS],
    titles: Sequence[str],
    *,
    zero: str = "",
    total: int = 0,
    columns: int = 4,
) -> Figure:
    """
    Draw the predicted DOS of structures, one panel each, with its Fermi level or gap.

    A standard deviation over a committee, or the error of a mean over frames, is a band
    around the curve.

    :param predictions: predictions, at least one and at most ``MOST_PANELS``
    :param titles: title of each panel
    :param zero: zero of the energies, for the label of the axis
    :param total: number of structures, if there are more than are drawn
    :param columns: number of panels in a row
    """
    number = len(predictions)
    figure, panels = make_panels(titles, min(columns, number))
    if number == 1:
        figure.set_size_inches(5.2, 3.4)
    for panel, predicted in zip(panels, predictions, strict=True):
        _draw(panel, predicted)
    figure.supxlabel(f"energy{f' - {zero}' if zero else ''}, eV", fontsize=9)
    figure.supylabel("DOS, states/eV", fontsize=9)
    if total > number:
        figure.suptitle(f"the first {number} of {total} structures", fontsize=9)
    return figure


def refuse_figure(path: Path) -> None:
    """Refuse a file with another ending than :data:`ENDINGS`."""
    if path.suffix not in ENDINGS:
        raise ValueError(
            f"figure: expected a file that ends in {', '.join(ENDINGS)}, got "
            f"{path}; choose one of these formats"
        )


def write_figure(
    path: Path,
    predictions: Sequence[tuple[ase.Atoms, PredictedDOS]],
    zero: str,
    total: int,
) -> None:
    """
    Draw the first structures and their predictions to a file.

    :param zero: zero of the energies, one of :data:`ZERO_LABELS`
    :param total: number of all structures
    """
    titles, drawn = [], []
    for atoms, predicted in predictions[:MOST_PANELS]:
        frames = predicted.numbers.get("frames")
        mean = "" if frames is None else f", mean over {frames:g} structures"
        titles.append(atoms.get_chemical_formula() + mean)
        drawn.append(predicted)
    with default_settings():
        figure = plot_predictions(drawn, titles, zero=ZERO_LABELS[zero], total=total)
        figure.savefig(path, dpi=150)


def _draw(panel: Any, predicted: PredictedDOS) -> None:
    """Draw one DOS."""
    energies, dos, numbers = predicted.dos_energies, predicted.dos, predicted.numbers
    for spread in predicted.curves.values():
        panel.fill_between(
            energies, dos - spread, dos + spread, color=PREDICTED, alpha=0.25, lw=0
        )
    panel.plot(energies, dos, color=PREDICTED, lw=1.1)
    lower, upper = (
        numbers.get(name, np.nan) for name in ("highest_occupied", "lowest_unoccupied")
    )
    if upper > lower:
        panel.axvspan(lower, upper, color=COMPUTED, alpha=0.25, lw=0)
        panel.annotate(
            f"{numbers.get('gap', upper - lower):.2f} eV",
            (0.5 * (lower + upper), 0.98),
            xycoords=("data", "axes fraction"),
            ha="center",
            va="top",
            fontsize=7,
        )
    elif not np.isnan(level := numbers.get("fermi_level", np.nan)):
        panel.axvline(level, color="black", lw=0.6, ls=":")
    panel.set_xlim(predicted.first_energy, energies[-1])
    panel.set_ylim(0.0, 1.15 * max(float(dos.max()), 1e-3))
