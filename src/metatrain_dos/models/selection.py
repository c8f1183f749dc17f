"""Choose the structures that are drawn."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from .comparison import Comparison, Place
from .error_table import ErrorTable
from .errors import AlignedDOS


EACH = 3
"""Structures that are drawn of the best, of those in the middle, and of the worst."""

MOST_ATOMS = 12
"""Atoms that are drawn of a structure that was asked for, of a target with atoms."""


@dataclass(frozen=True)
class Chosen:
    """
    Hold one structure, or atom, that is drawn.

    :param rank: why: ``best``, ``median``, ``worst`` or ``asked for``
    :param row: its row in the table
    :param aligned: its prediction and target
    :param zero: energy of its highest occupied state, eV, where the file says it
    """

    rank: str
    row: int
    aligned: AlignedDOS
    zero: float | None


def choose(
    table: ErrorTable, asked: Collection[int] = ()
) -> tuple[list[tuple[str, int]], list[int]]:
    """
    Choose rows of the table by their error relative to the size of the DOS.

    :param table: all errors
    :param asked: structures that the user wants to see
    :return: rank and row of each, in the order of the report, and structures that were
        asked for but have no known error
    """
    errors = table["relative_rmse"]
    order = np.argsort(errors, kind="stable")[: int((~np.isnan(errors)).sum())]
    best = order[:EACH]
    worst = order[EACH:][-EACH:][::-1]
    between = order[EACH : len(order) - EACH]
    start = max(len(between) - EACH, 0) // 2
    ranks = {"best": best, "median": between[start:][:EACH], "worst": worst}
    chosen = [(name, int(row)) for name, rows in ranks.items() for row in rows]
    known = set(order.tolist())
    missing = []
    for structure in dict.fromkeys(asked):
        rows = [
            row
            for row, place in enumerate(table.places)
            if place.structure == structure and row in known
        ]
        chosen += [("asked for", row) for row in rows[:MOST_ATOMS]]
        if not rows:
            missing.append(structure)
    return chosen, missing


def collect(
    comparison: Comparison, table: ErrorTable, chosen: Sequence[tuple[str, int]]
) -> list[Chosen]:
    """
    Predict what was chosen once more, which takes less than to keep everything.

    :param comparison: model and data
    :param table: all errors
    :param chosen: rank and row of each
    :return: what there is to draw, in the order of ``chosen``
    """
    wanted = {table.places[row]: row for _, row in chosen}
    found: dict[Place, tuple[AlignedDOS, float | None]] = {}
    only = {(place.data, place.structure) for place in wanted}
    for batch in comparison.batches(only):
        for i, place in enumerate(batch.places):
            if place in wanted:
                zero = batch.rows[i].atoms.info.get("highest_occupied")
                found[place] = (
                    batch.aligned.sample(i),
                    None if zero is None else float(zero),
                )
    return [Chosen(rank, row, *found[table.places[row]]) for rank, row in chosen]
