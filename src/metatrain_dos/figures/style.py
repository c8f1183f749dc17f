"""Colours and axes of all figures."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.figure import Figure


COMPUTED = "#7f8c8d"
PREDICTED = "#c0392b"


def remove_spines(axes: Any) -> None:
    """Remove the top and right spines."""
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)


def make_panels(titles: Sequence[str], columns: int) -> tuple[Figure, list[Any]]:
    """Make a figure with a panel for each title, in rows."""
    rows = -(-len(titles) // columns)
    figure = Figure(figsize=(3.0 * columns, 2.1 * rows), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for panel in panels[len(titles) :]:
        panel.set_axis_off()
    for panel, title in zip(panels, titles, strict=False):
        panel.set_title(title, fontsize=9)
        remove_spines(panel)
    return figure, panels[: len(titles)]


@contextmanager
def default_settings() -> Iterator[None]:
    """Draw with the default settings of matplotlib, not those of the user."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        yield
