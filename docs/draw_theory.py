"""
Draw the figures of the page on theory, from the data that come with the package.

Each is drawn twice, for light and for dark pages. The build of the site runs this;
``python docs/draw_theory.py`` does, too.
"""

from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.figure import Figure

from metatrain_dos.data.dos import density_of_states, trust_mask, trusted_limit
from metatrain_dos.data.grid import EnergyGrid
from metatrain_dos.data.readers import read_extxyz
from metatrain_dos.data.target_spec import TargetSpec
from metatrain_dos.loss.alignment import alignment_costs, best_shift, window
from metatrain_dos.loss.terms import (
    cumulative_term,
    front_tail_term,
    gradient_term,
    masked_term,
)


DATA = Path(__file__).parents[1] / "examples" / "data" / "structures.xyz.xz"
MATERIAL = "GaAs"
MOVED = 4.0  # eV between the energy zeros of "prediction" and target
EXTRA = 200
H = 0.05  # grid spacing, eV

LIGHT = {
    "text": "#30353a",
    "target": "#7f8c8d",
    "prediction": "#c0392b",
    "accent": "#1f618d",
    "zone": "#f5b041",
}
DARK = {
    "text": "#d5d8dc",
    "target": "#aab7b8",
    "prediction": "#ec7063",
    "accent": "#5dade2",
    "zone": "#b9770e",
}
STYLE = {
    "font.size": 10.5,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "svg.hashsalt": "metatrain-dos",  # the same file from every build
}
WIDTH = 6.0


class Scene:
    """
    A target, its mask, and a stand-in for a prediction, all of one material.

    The prediction is the DOS of another structure of the material, with its energies
    moved, as a good model with another energy zero would predict it.
    """

    def __init__(self) -> None:
        same = [
            each
            for each in read_extxyz(DATA)
            if each.atoms.info["material"] == MATERIAL
        ]
        self.calculation, other = same[1], same[4]
        covering = TargetSpec.covering([self.calculation]).grid
        # Some untrusted columns belong in the picture.
        self.grid = EnergyGrid(covering.origin, H, covering.size + 60)
        bands, weights = self.calculation.eigenvalues, self.calculation.kpoint_weights
        target = density_of_states(bands, weights, self.grid).sum(0)
        mask = trust_mask(bands, self.grid)

        wide = EnergyGrid(self.grid.origin - EXTRA * H, H, self.grid.size + EXTRA)
        self.axis = wide.energies
        difference = trusted_limit(other.eigenvalues) - trusted_limit(
            self.calculation.eigenvalues
        )
        predicted = density_of_states(
            other.eigenvalues - difference - MOVED, other.kpoint_weights, wide
        ).sum(0)
        self.target = torch.tensor(target)[None]
        self.mask = torch.tensor(mask)[None]
        self.predicted = torch.tensor(predicted)[None]

    @property
    def shown(self):
        """The target where it is trusted, NaN elsewhere, ``(points,)``."""
        return torch.where(self.mask, self.target, torch.nan)[0].numpy()

    def shift(self, predicted=None):
        """Find the best shift of the target, in columns."""
        p = self.predicted if predicted is None else predicted
        return best_shift(p, self.target, self.mask, tail_weight=1.0)


def panels(rows, height):
    """Make a figure of panels above each other, narrow enough for a phone."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, np.atleast_1d(figure.subplots(rows, sharex=True))


def fill(panel, x, y, color, label):
    """Draw a computed DOS."""
    panel.fill_between(x, y, color=color, alpha=0.35, lw=0)
    panel.plot(x, y, color=color, lw=1, label=label)


def draw_shift(scene, colors):
    """A target slides along its prediction; the cost of every shift."""
    figure = Figure(figsize=(WIDTH, 6.2), layout="constrained")
    top, middle, bottom = figure.subplots(3, height_ratios=[1, 1, 1.25])
    s = int(scene.shift())
    target = scene.shown
    for panel, shift, name in ((top, 0, "s = 0"), (middle, s, f"s* = {s}")):
        start = scene.axis[0] + shift * H
        x = start + H * np.arange(len(target))
        fill(panel, x, target, colors["target"], "target, slid")
        panel.plot(
            scene.axis,
            scene.predicted[0],
            color=colors["prediction"],
            lw=1.4,
            label="prediction",
        )
        panel.set_title(f"{name}: the target begins at column {shift}")
        panel.axvline(start, color=colors["accent"], lw=1, ls="--")
        panel.set_ylabel("states/eV")
        panel.set_ylim(0)
        panel.set_xlim(scene.axis[0] - 0.3, scene.axis[-1])
    top.set_ylim(0, 3.0)
    top.legend(loc="upper right", ncols=2)
    middle.set_xlabel("energy on the axis of the prediction, eV")

    options = {"grid_spacing": H}
    both = alignment_costs(
        scene.predicted, scene.target, scene.mask, tail_weight=1.0, **options
    )[0]
    masked = alignment_costs(
        scene.predicted, scene.target, scene.mask, tail_weight=0.0, **options
    )[0]
    slid = H * np.arange(EXTRA + 1)
    bottom.plot(slid, both, color=colors["accent"], lw=1.8, label="$A(s)$")
    bottom.plot(
        slid, masked, color=colors["target"], lw=1.2, ls="--", label="its masked part"
    )
    bottom.plot(
        slid,
        both - masked,
        color=colors["zone"],
        lw=1.2,
        ls="-.",
        label="its tail part",
    )
    bottom.plot(s * H, both[s], "o", color=colors["prediction"], ms=6)
    bottom.annotate(
        "$s^*$",
        (s * H, float(both[s])),
        (0, 9),
        fontsize=12,
        textcoords="offset points",
        ha="center",
    )
    bottom.set_xlabel("how far the target is slid, eV")
    bottom.set_ylabel("cost, states²/eV")
    bottom.set_title("the cost of every shift")
    bottom.set_ylim(0, 1.3 * float(both.max()))
    bottom.legend(loc="upper left", ncols=3)
    return figure


def draw_mask(scene, colors):
    """The same calculation with fewer bands: its missing states and its mask."""
    figure, (panel,) = panels(1, 3.0)
    bands = scene.calculation.eigenvalues
    fewer = bands[..., :-4]
    x = scene.grid.energies
    weights = scene.calculation.kpoint_weights
    full = density_of_states(bands, weights, scene.grid).sum(0)
    cut = density_of_states(fewer, weights, scene.grid).sum(0)
    limit = trusted_limit(fewer)
    known = x <= trusted_limit(bands)
    fill(panel, x, cut, colors["target"], f"DOS of {fewer.shape[-1]} bands, the target")
    panel.plot(
        x[known],
        full[known],
        color=colors["prediction"],
        lw=1.4,
        label=f"DOS of {bands.shape[-1]} bands",
    )
    panel.axvspan(limit, x[known][-1], color=colors["zone"], alpha=0.3, lw=0)
    panel.axvline(limit, color=colors["accent"], lw=1, ls="--")
    panel.annotate(
        "mask: true  ",
        (limit, 0.96),
        ha="right",
        va="top",
        xycoords=("data", "axes fraction"),
    )
    panel.annotate(
        "  false", (limit, 0.96), va="top", xycoords=("data", "axes fraction")
    )
    panel.set_xlim(x[0], x[known][-1])
    panel.set_ylim(0, 1.35 * full[known].max())
    panel.set_xlabel("energy, eV")
    panel.set_ylabel("states/eV")
    panel.legend(loc="upper left")
    return figure


def with_bump(scene, energy, height, width=0.35):
    """Add states to the prediction where there should be none."""
    bump = height * np.exp(-0.5 * ((scene.axis - energy) / width) ** 2)
    return scene.predicted + torch.tensor(bump)[None]


def draw_tail(scene, colors):
    """States that are predicted in front of the target."""
    figure, (panel,) = panels(1, 2.9)
    s = scene.shift()
    start = scene.axis[int(s)]
    predicted = with_bump(scene, start - 2.2, 0.9)
    s = scene.shift(predicted)
    tail = float(
        front_tail_term(predicted, scene.target, scene.mask, s, grid_spacing=H)
    )
    x = scene.axis[int(s)] + H * np.arange(scene.target.shape[-1])
    target = scene.shown
    fill(panel, x, target, colors["target"], "target, slid")
    panel.plot(
        scene.axis,
        predicted[0],
        color=colors["prediction"],
        lw=1.4,
        label="prediction with states in front",
    )
    front = scene.axis <= scene.axis[int(s)]
    panel.fill_between(
        scene.axis[front],
        predicted[0][front],
        color=colors["zone"],
        alpha=0.7,
        lw=0,
        label=f"front tail: {tail:.2f} states²/eV",
    )
    panel.axvline(scene.axis[int(s)], color=colors["accent"], lw=1, ls="--")
    panel.set_xlim(start - 5, start + 9)
    panel.set_ylim(0, 2.3 * float(predicted.max()) / 2)
    panel.set_xlabel("energy on the axis of the prediction, eV")
    panel.set_ylabel("states/eV")
    panel.legend(loc="upper right")
    return figure


def draw_gradient(scene, colors):
    """A prediction that swings where no target holds it."""
    figure, (top, bottom) = panels(2, 4.2)
    s = scene.shift()
    start = int(s)
    trusted = start + int(scene.mask.sum())
    x = scene.axis
    swing = 0.5 * np.sin(2 * np.pi * (x - x[trusted]) / 0.9)
    swing *= (x > x[trusted]) * (1 - np.exp(-(((x - x[trusted]) / 1.0) ** 2)))
    last = scene.predicted[0, trusted]
    smooth = torch.where(torch.tensor(x > x[trusted]), last, scene.predicted[0])[None]
    wild = smooth + torch.tensor(swing)[None]
    for predicted, color, name, width in (
        (wild, colors["prediction"], "swings", 1.2),
        (smooth, colors["accent"], "stays level", 1.8),
    ):
        g = float(gradient_term(predicted, scene.target, scene.mask, s, grid_spacing=H))
        top.plot(
            x,
            predicted[0],
            color=color,
            lw=width,
            label=f"{name}: $G$ = {g:.3g} states²/eV³",
        )
        bottom.plot(x, np.gradient(predicted[0].numpy(), H), color=color, lw=width)
    target = scene.shown
    own = x[start] + H * np.arange(len(target))
    top.fill_between(own, target, color=colors["target"], alpha=0.35, lw=0)
    for panel in (top, bottom):
        panel.axvspan(x[trusted], x[-1], color=colors["zone"], alpha=0.25, lw=0)
        panel.axvline(x[trusted], color=colors["accent"], lw=1, ls="--")
    top.annotate(
        "$u$ true: no target here",
        (x[trusted] + 0.15, 0.97),
        va="top",
        xycoords=("data", "axes fraction"),
    )
    top.set_xlim(x[trusted] - 6, x[-1])
    top.set_ylim(0, 1.9 * float(wild[0, trusted:].max()))
    top.set_ylabel("prediction")
    top.legend(
        loc="lower right",
        bbox_to_anchor=(1, 1.0),
        ncols=2,
        columnspacing=1.0,
        handlelength=1.2,
    )
    bottom.set_ylabel("its slope")
    bottom.set_xlabel("energy on the axis of the prediction, eV")
    return figure


def draw_cumulative(scene, colors):
    """Two predictions with the same squared error, and their integrated errors."""
    figure, (top, bottom) = panels(2, 4.4)
    s = scene.shift()
    x = scene.grid.energies
    inside = window(scene.predicted, s, len(x))
    target, mask = scene.target, scene.mask
    low, high = x[0] + 3.6, x[0] + 12.0
    width = 0.35
    peak = torch.tensor(0.4 * np.exp(-0.5 * ((x - low) / width) ** 2))
    dip = torch.tensor(0.4 * np.exp(-0.5 * ((x - high) / width) ** 2))
    zero = torch.zeros(1, dtype=torch.int64)
    options = {"grid_spacing": H}
    top.fill_between(
        x,
        torch.where(mask, target, torch.nan)[0],
        lw=0,
        color=colors["target"],
        alpha=0.35,
        label="target",
    )
    for change, color, name, style in (
        (peak - dip, colors["prediction"], "states moved down", "-"),
        (peak + dip, colors["accent"], "states too many", "--"),
    ):
        predicted = target + change
        d = float(masked_term(predicted, target, mask, zero, **options))
        c = float(cumulative_term(predicted, target, mask, zero, **options))
        top.plot(
            x,
            torch.where(mask, predicted, torch.nan)[0],
            color=color,
            lw=1.3,
            ls=style,
            label=f"{name}: $D$ = {d:.2f}, $C$ = {c:.2f}",
        )
        excess = np.concatenate([[0], np.cumsum(H * change.numpy())])[1:]
        bottom.plot(x[mask[0]], excess[mask[0]], color=color, lw=1.5, ls=style)
    bottom.axhline(0, color=colors["target"], lw=0.8)
    top.set_xlim(x[0] + 1, x[mask[0]][-1])
    top.set_ylim(0, 2.0 * float(inside.max()))
    top.set_ylabel("states/eV")
    top.legend(loc="upper left")
    bottom.set_ylabel("states too many\nbelow this energy")
    bottom.set_xlabel("energy, eV")
    return figure


FIGURES = {
    "shift": draw_shift,
    "mask": draw_mask,
    "tail": draw_tail,
    "gradient": draw_gradient,
    "cumulative": draw_cumulative,
}


def draw_all(folder, figures=FIGURES, make_scene=Scene):
    """
    Draw figures, for light and for dark pages.

    :param folder: where to; ``NAME.svg`` and ``NAME-dark.svg``
    :param figures: name -> function of a scene and colours
    :param make_scene: what makes the scene
    """
    folder.mkdir(exist_ok=True)
    scene = make_scene()
    for suffix, colors in (("", LIGHT), ("-dark", DARK)):
        ink = dict.fromkeys(
            (
                "text.color",
                "axes.edgecolor",
                "axes.labelcolor",
                "xtick.color",
                "ytick.color",
            ),
            colors["text"],
        )
        with mpl.rc_context({**STYLE, **ink}):
            for name, draw in figures.items():
                draw(scene, colors).savefig(
                    folder / f"{name}{suffix}.svg",
                    transparent=True,
                    metadata={"Date": None},
                )


if __name__ == "__main__":
    draw_all(Path(__file__).parent / "figures")
