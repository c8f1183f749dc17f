"""Draw a target of a data set."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from .style import COMPUTED, PREDICTED, remove_spines


def plot_target(
    energies: np.ndarray,
    targets: Mapping[str, tuple[np.ndarray, np.ndarray]],
    title: str,
    fermi_level: float | None = None,
) -> Figure:
    """
    Draw the targets of one structure, and the energies at which they are trusted.

    :param energies: energies of the columns, ``(columns,)``, eV
    :param targets: name -> DOS ``(columns,)``, states/eV, or that of several atoms,
        ``(atoms, columns)``, and mask, bool, of the same shape
    :param title: title of the figure
    :param fermi_level: Fermi level on the same axis, eV
    """
    figure = Figure(figsize=(6.4, 2.6 * len(targets)), layout="constrained")
    panels = figure.subplots(len(targets), sharex=True, squeeze=False)[:, 0]
    for panel, (name, (dos, mask)) in zip(panels, targets.items(), strict=True):
        # One label for the lines of all atoms
        for values, label, style in (
            (dos, "not trusted", {"lw": 0.8, "ls": ":"}),
            (np.where(mask > 0.5, dos, np.nan), "trusted", {"lw": 1.2}),
        ):
            lines = panel.plot(energies, values.T, color=COMPUTED, **style)
            lines[0].set_label(label)
        if fermi_level is not None:
            panel.axvline(fermi_level, color=PREDICTED, lw=0.8, label="Fermi level")
        panel.set_ylabel(f"{name}, states / eV", fontsize=8)
        remove_spines(panel)
    panels[0].legend(frameon=False, fontsize=7)
    panels[-1].set_xlabel("energy, eV", fontsize=8)
    figure.suptitle(title, fontsize=9)
    return figure
