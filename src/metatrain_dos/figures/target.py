"""Draw a target of a data set."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from .style import COMPUTED, PREDICTED, remove_spines


if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_target(
    energies: np.ndarray,
    targets: Mapping[str, tuple[np.ndarray, np.ndarray]],
    title: str,
    fermi_level: float | None = None,
) -> "Figure":
    """
    Draw the targets of one structure, and the energies at which they are trusted.

    :param energies: energies of the columns, ``(columns,)``, eV
    :param targets: name -> DOS ``(columns,)``, states/eV, and mask ``(columns,)``, bool
    :param title: title of the figure
    :param fermi_level: Fermi level on the same axis, eV
    :return: the figure
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 2.6 * len(targets)), layout="constrained")
    panels = figure.subplots(len(targets), sharex=True, squeeze=False)[:, 0]
    for panel, (name, (dos, mask)) in zip(panels, targets.items(), strict=True):
        panel.plot(energies, dos, color=COMPUTED, lw=0.8, ls=":", label="not trusted")
        trusted = np.where(mask, dos, np.nan)
        panel.plot(energies, trusted, color=COMPUTED, lw=1.2, label="trusted")
        if fermi_level is not None:
            panel.axvline(fermi_level, color=PREDICTED, lw=0.8, label="Fermi level")
        panel.set_ylabel(f"{name}, states / eV", fontsize=8)
        remove_spines(panel)
    panels[0].legend(frameon=False, fontsize=7)
    panels[-1].set_xlabel("energy, eV", fontsize=8)
    figure.suptitle(title, fontsize=9)
    return figure
