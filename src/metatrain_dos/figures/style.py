"""What all figures share."""

from typing import Any


COMPUTED = "#7f8c8d"
PREDICTED = "#c0392b"


def bare(axes: Any) -> None:
    """Leave away what says nothing."""
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
