"""
Draw the figure of the first page: ``python docs/draw_predicted.py demo``.

It shows what the model of ``make demo`` predicts for six structures that were held out
of its training. The build of the site does not run this, as it has no such model.
"""

import sys
from pathlib import Path

import ase.io
import torch
from draw_theory import STYLE, WIDTH, draw_all, fill
from matplotlib.figure import Figure

from metatrain_dos.data.target_spec import TargetSpec
from metatrain_dos.loss.alignment import best_shift, window
from metatrain_dos.models.model import DOSModel


MATERIALS = {
    "GaAs": "GaAs",
    "MgO": "MgO",
    "C-graphene": "graphene",
    "Al-fcc": "aluminium",
    "Cu-fcc": "copper",
    "H2O": "water",
}


def compare(folder):
    """
    Predict the DOS of one structure of each material, and align it.

    :param folder: data set with a trained model
    :return: for each material its energies (eV), and computed and predicted DOS
        (states/eV), where it is trusted
    """
    made = TargetSpec.read(folder / "grid.json")
    model = DOSModel.load(folder / "model.pt", device="cpu")
    shown = {}
    for atoms in ase.io.read(folder / "test.xyz", ":"):
        if atoms.info["material"] not in MATERIALS:
            continue
        p = torch.from_numpy(next(model.predict([atoms])))[None]
        t, m = (
            torch.tensor(atoms.info[key][made.extra_targets :])[None]
            for key in ("dos", "dos_mask")
        )
        m = m.bool()
        p = p.to(t.dtype)
        s = best_shift(p, t, m, tail_weight=1.0)
        energies = made.grid.energies - atoms.info["highest_occupied"]
        inside = m[0].numpy()
        shown[atoms.info["material"]] = (
            energies[inside],
            t[0].numpy()[inside],
            window(p, s, t.shape[-1])[0].numpy()[inside],
        )
    return shown


def draw(shown, colors):
    """Draw predicted over computed DOS, one panel for each material."""
    figure = Figure(figsize=(WIDTH, 5.6), layout="constrained")
    panels = figure.subplots(3, 2)
    for panel, (material, name) in zip(panels.flat, MATERIALS.items(), strict=True):
        x, computed, predicted = shown[material]
        fill(panel, x, computed, colors["target"], "computed")
        panel.plot(x, predicted, color=colors["prediction"], lw=1.4, label="predicted")
        panel.axvline(0.0, color=colors["accent"], lw=1, ls=":")
        first = x[computed > 1e-3 * computed.max()][0]
        panel.set_xlim(first - 1.5, x[-1])
        panel.set_ylim(0, 1.15 * max(computed.max(), predicted.max()))
        panel.set_title(name)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=2)
    figure.supxlabel("energy - highest occupied, eV", fontsize=STYLE["font.size"])
    figure.supylabel("DOS, states/eV", fontsize=STYLE["font.size"])
    return figure


if __name__ == "__main__":
    data_set = Path(sys.argv[1]) / "dos"
    draw_all(
        Path(__file__).parent / "figures",
        {"predicted": draw},
        lambda: compare(data_set),
    )
