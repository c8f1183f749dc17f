"""Show how far something is."""

from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


# Seconds that something takes before anything is shown.
PATIENCE = 2.0


def progress(
    verb: str, unit: str, items: Iterable[Any] | None = None, total: int | None = None
) -> Any:
    """
    Make a bar that shows itself only if something takes long.

    :param verb: what is done
    :param unit: what it is done with
    :param items: what to go through; without it, the caller moves the bar
    :param total: number of items, where it is known
    :return: the items, or the bar, which is a context manager
    """
    return tqdm(
        items, desc=verb, unit=f" {unit}", total=total, delay=PATIENCE, leave=False
    )
