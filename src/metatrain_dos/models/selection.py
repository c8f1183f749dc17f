"""Select the structures that a report draws."""

from collections.abc import Collection
from dataclasses import dataclass
from heapq import nsmallest

import numpy as np

from ..data.samples import Sample
from .comparison import Batch
from .errors import AlignedDOS
from .level_errors import LevelPair


EACH = 3
"""Rows drawn from the best, from the middle and from the worst."""

MOST_ATOMS = 12
"""Atoms drawn of a structure that was asked for, where rows are atoms."""

# Random rows among which those nearest to the median are found.
CANDIDATES = 200


@dataclass(frozen=True, eq=False)
class Selected:
    """One row that may be drawn, with its error relative to the size of the DOS."""

    row: int
    error: float
    aligned: AlignedDOS
    sample: Sample
    levels: LevelPair | None


class Selection:
    """
    Collect rows to draw while batches go by, in bounded memory.

    Rows are ranked by their error relative to the size of the DOS. The best and the
    worst are exact. Those in the middle are the nearest to the median among
    :data:`CANDIDATES` random rows.

    :param asked: structures that the user wants to see
    """

    def __init__(self, asked: Collection[int] = ()) -> None:
        self._asked: dict[int, list[int]] = {structure: [] for structure in asked}
        self._kept: dict[int, Selected] = {}
        self._lots: dict[int, float] = {}
        self._rows = 0
        self._random = np.random.default_rng(0)

    def add(self, batch: Batch) -> None:
        """Keep the rows of a batch that may be drawn."""
        first = self._rows
        self._rows += len(batch.row_ids)
        errors = {row: kept.error for row, kept in self._kept.items()}
        lots = self._random.random(len(batch.row_ids))
        for i, error in enumerate(batch.aligned.relative_rmse):
            if np.isfinite(error):
                errors[first + i] = float(error)
                self._lots[first + i] = lots[i]
                rows = self._asked.get(batch.row_ids[i].structure, [])
                if len(rows) < MOST_ATOMS:
                    rows.append(first + i)
        ranked = sorted(errors, key=errors.__getitem__)
        candidates = nsmallest(CANDIDATES, errors, key=self._lots.__getitem__)
        asked = (row for rows in self._asked.values() for row in rows)
        wanted = {*ranked[:EACH], *ranked[-EACH:], *candidates, *asked}
        self._lots = {row: self._lots[row] for row in wanted}
        self._kept = {
            row: self._kept.get(row)
            or Selected(
                row,
                errors[row],
                batch.aligned.sample(row - first),
                batch.samples[row - first],
                batch.levels[row - first],
            )
            for row in wanted
        }

    def ranked(self, median: float) -> tuple[dict[str, list[Selected]], list[int]]:
        """
        Select the rows to draw.

        :param median: median of the error of all rows
        :return: rows by rank, which is ``best``, ``median``, ``worst`` or
            ``asked for``, and structures that were asked for but have no known error
        """
        order = sorted(self._kept.values(), key=lambda kept: kept.error)
        between = order[EACH : len(order) - EACH]
        middle = nsmallest(EACH, between, key=lambda kept: abs(kept.error - median))
        asked = {
            structure: [self._kept[row] for row in rows]
            for structure, rows in self._asked.items()
        }
        ranks = {
            "best": order[:EACH],
            "median": sorted(middle, key=lambda kept: kept.error),
            "worst": order[EACH:][-EACH:][::-1],
            "asked for": [kept for rows in asked.values() for kept in rows],
        }
        return ranks, [structure for structure, rows in asked.items() if not rows]
