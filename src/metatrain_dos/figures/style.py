"""Colours and axes of all figures."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


COMPUTED = "#7f8c8d"
PREDICTED = "#c0392b"


def remove_spines(axes: Any) -> None:
    """Remove the top and right spines."""
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)


@contextmanager
def default_settings() -> Iterator[None]:
    """Draw with the default settings of matplotlib, not those of the user."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        yield
