"""
Draw the figure of the page on predicting, from the data that come with the package.

The build of the site runs this; ``python docs/draw_predicting.py`` does, too.
"""

from pathlib import Path

import draw_theory
import numpy as np
from draw_theory import DATA, fill, panels

from metatrain_dos.data.readers import read_extxyz
from metatrain_dos.data.target_spec import TargetSpec
from metatrain_dos.models.levels import DEFAULT_THRESHOLD, band_edges, cumulative_dos


MATERIAL = "MgO"


class Insulator:
    """The DOS of a calculation, and its levels."""

    def __init__(self):
        calculation = next(
            each
            for each in read_extxyz(DATA)
            if each.atoms.info["material"] == MATERIAL
        )
        choices = TargetSpec.covering([calculation])
        dos, mask = choices.dos_and_mask(calculation)
        energies = choices.grid.energies[mask]
        self.dos = dos[mask]
        self.electrons = calculation.n_electrons
        edges = band_edges(
            self.dos, energies, self.electrons, smearing=choices.smearing
        )
        raw = band_edges(self.dos, energies, self.electrons)
        self.states = cumulative_dos(self.dos, energies)
        bands, filled = calculation.eigenvalues[0], round(self.electrons / 2)
        true = bands[:, :filled].max(), bands[:, filled:].min()

        # As the tool gives them: relative to the Fermi level.
        zero = float(edges.fermi_level)
        self.energies = energies - zero
        self.raw = np.array([raw.highest_occupied, raw.lowest_unoccupied]) - zero
        self.edges = np.array([edges.highest_occupied, edges.lowest_unoccupied]) - zero
        self.true = np.array(true) - zero
        self.gap = float(edges.gap)

    @property
    def none(self):
        """DOS that counts as none, states/eV."""
        return DEFAULT_THRESHOLD * self.electrons


def draw_gap(scene, colors):
    """The Fermi level from the count, and the edges from the tails."""
    figure, (top, middle, bottom) = panels(3, 6.4)
    x, near = scene.energies, (scene.energies > -6) & (scene.energies < 11)
    fill(top, x[near], scene.dos[near], colors["target"], "DOS")
    top.set_ylabel("states/eV")
    top.set_title(f"{MATERIAL}, {scene.electrons:g} electrons")

    middle.plot(x[near], scene.states[near], color=colors["accent"], lw=1.6)
    middle.axhline(scene.electrons, color=colors["prediction"], lw=1, ls="--")
    middle.annotate(
        "electrons",
        (x[near][0], scene.electrons),
        (4, 4),
        textcoords="offset points",
        color=colors["prediction"],
    )
    middle.set_ylabel("states below")

    bottom.semilogy(x[near], scene.dos[near], color=colors["target"], lw=1.4)
    bottom.axhline(scene.none, color=colors["prediction"], lw=1, ls="--")
    bottom.annotate(
        "threshold",
        (x[near][0], scene.none),
        (4, -5),
        textcoords="offset points",
        va="top",
        color=colors["prediction"],
    )
    bottom.plot(
        scene.raw,
        [scene.none] * 2,
        "o",
        color=colors["prediction"],
        ms=5,
        label="edges of the smeared DOS",
    )
    bottom.set_ylim(scene.none / 100, 3 * scene.dos[near].max())
    bottom.set_ylabel("states/eV")
    bottom.set_xlabel("energy relative to the Fermi level, eV")
    for panel in (top, middle, bottom):
        panel.axvspan(*scene.edges, color=colors["zone"], alpha=0.3, lw=0)
        panel.axvline(0, color=colors["text"], lw=1, ls=":")
    for i, energy in enumerate(scene.true):
        bottom.axvline(
            energy,
            color=colors["accent"],
            lw=1.2,
            ls="--",
            label=None if i else "edges of the eigenvalues",
        )
    bottom.legend(loc="lower right", bbox_to_anchor=(1.0, 0.98), ncols=2)
    top.annotate(
        f"gap {scene.gap:.2f} eV",
        (0.15, 0.9),
        xycoords=("data", "axes fraction"),
        va="top",
    )
    top.set_xlim(x[near][0], x[near][-1])
    return figure


def draw_all(folder):
    """
    Draw the figure, for light and for dark pages.

    :param folder: where to
    """
    draw_theory.draw_all(folder, {"gap": draw_gap}, Insulator)


if __name__ == "__main__":
    draw_all(Path(__file__).parent / "figures")
