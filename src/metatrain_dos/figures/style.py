"""Colours and axes of all figures."""

from typing import Any


COMPUTED = "#7f8c8d"
PREDICTED = "#c0392b"


def remove_spines(axes: Any) -> None:
    """Remove the top and right spines."""
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
