"""
Draw the figure of the training log, from the train.csv of a real training run.

``python docs/draw_training_log.py`` draws ``training-log.csv``: 60 epochs on the
example data.
"""

import csv
from pathlib import Path

import matplotlib as mpl
import numpy as np
from draw_theory import DARK, LIGHT, STYLE
from matplotlib.figure import Figure


DOCS = Path(__file__).parent
TARGET = "mtt::dos"
TERMS = ("DOS", "gradient", "cumulative")
LARGEST_SHIFT = 10.0  # eV, extra_targets * grid_spacing


def read(path):
    """
    Read the numbers of a train.csv.

    :param path: names, units, and one row for each epoch
    :return: array by name
    """
    with open(path, newline="") as file:
        names, _, *rows = csv.reader(file)
    return dict(zip(names, np.array(rows, dtype=float).T, strict=True))


def draw(log, colors):
    """
    Draw the shares of the terms, and the shifts.

    :param log: arrays by name
    :param colors: as in ``draw_theory``
    :return: the figure
    """
    figure = Figure(figsize=(6.0, 3.0), layout="constrained")
    terms, shifts = figure.subplots(1, 2)
    epochs = log["Epoch"]
    looks = (colors["prediction"], colors["zone"], colors["accent"])
    for name, color in zip(TERMS, looks, strict=True):
        for phase, style in (("training", ":"), ("validation", "-")):
            share = log[f"{phase} {TARGET} {name} term"] / log[f"{phase} loss"]
            label = name if phase == "validation" else None
            terms.plot(epochs, 100 * share, style, color=color, lw=1.5, label=label)
    terms.set(
        title="What the loss is made of",
        xlabel="epoch",
        ylabel="share of the loss, %",
        ylim=(0, 100),
    )
    terms.legend(loc="center right", labelcolor=colors["text"])

    for phase, color in (
        ("training", colors["target"]),
        ("validation", colors["prediction"]),
    ):
        mean = log[f"{phase} {TARGET} shift"]
        spread = log[f"{phase} {TARGET} shift spread"]
        shifts.plot(epochs, mean, color=color, lw=1.5, label=phase)
        shifts.fill_between(
            epochs, mean - spread, mean + spread, color=color, alpha=0.25, lw=0
        )
    for limit in (0, LARGEST_SHIFT):
        shifts.axhline(limit, color=colors["text"], lw=0.8, ls="--")
    shifts.set(
        title="Where targets come to lie",
        xlabel="epoch",
        ylabel="shift, eV: mean and spread",
    )
    # below the largest shift
    corner = {"loc": "upper right", "bbox_to_anchor": (1.0, 0.92)}
    shifts.legend(**corner, labelcolor=colors["text"])
    return figure


def main():
    log = read(DOCS / "training-log.csv")
    for suffix, colors in (("", LIGHT), ("-dark", DARK)):
        inked = ("text.color", "axes.edgecolor", "axes.labelcolor")
        inked += ("xtick.color", "ytick.color")
        with mpl.rc_context({**STYLE, **dict.fromkeys(inked, colors["text"])}):
            draw(log, colors).savefig(
                DOCS / "figures" / f"training-log{suffix}.svg",
                transparent=True,
                metadata={"Date": None},
            )


if __name__ == "__main__":
    main()
