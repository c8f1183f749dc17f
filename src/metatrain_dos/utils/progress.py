"""Show how far something is."""

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


# Seconds that something takes before anything is shown.
PATIENCE = 2.0
# Seconds between two lines in a file, where no line replaces an earlier one.
PAUSE = 60.0


def progress(
    verb: str, unit: str, items: Iterable[Any] | None = None, total: int | None = None
) -> Any:
    """
    Make a bar that shows itself only if something takes long.

    :param verb: verb of the work, as in "reading"
    :param unit: plural of one step, as in "files"
    :param items: items to go through; without them, the caller moves the bar
    :param total: number of items, where it is known
    :return: the items, or the bar, which is a context manager
    """
    pause = 0.1 if sys.stderr.isatty() else PAUSE
    return tqdm(
        items,
        desc=verb,
        unit=f" {unit}",
        total=total,
        delay=PATIENCE,
        mininterval=pause,
        maxinterval=max(pause, 10.0),
        leave=False,
    )
