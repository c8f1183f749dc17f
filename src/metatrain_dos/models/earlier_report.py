"""Compare errors with those of an earlier report, structure by structure."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..utils.text import shorten
from .comparison import RowId
from .error_columns import COLUMNS
from .error_table import ErrorTable


class Change(NamedTuple):
    """Medians of absolute values, before and now, and the share that is smaller now."""

    before: float
    now: float
    smaller: float


class EarlierReport:
    """
    Match the rows of an earlier report with those of a table.

    :param path: folder of the report, or its ``errors.json``
    :param table: errors of the same structures, of another model
    :raises ValueError: if there is no such report, or it is about other structures
    """

    def __init__(self, path: Path, table: ErrorTable) -> None:
        file = path / "errors.json" if path.is_dir() else path
        try:
            content = json.loads(file.read_text("utf-8"))
            self.model, rows = str(content["model"]), content["rows"]
            found = {RowId(r["data"], r["structure"], r["atom"]): r for r in rows}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"compare: expected the folder of an older report, got {path} "
                f"({shorten(error)}); give one that `mtt-dos evaluate` has written"
            ) from error
        self._table = table
        self._rows: list[dict[str, Any] | None] = [
            found.get(row_id) for row_id in table.row_ids
        ]
        pairs = zip(self._rows, table.materials, strict=True)
        same = [row is not None and row.get("material") == name for row, name in pairs]
        if not any(same) or sum(same) != sum(row is not None for row in self._rows):
            raise ValueError(
                f"compare: expected a report on the same structures, got {path}; "
                "evaluate both models on the same data"
            )
        self.matched = sum(same)

    def before(self, name: str) -> np.ndarray:
        """Return a column of the earlier report, ``(rows,)``, NaN if not known."""
        values = [(row or {}).get(name) for row in self._rows]
        return np.array([np.nan if x is None else x for x in values], dtype=float)

    def changes(self) -> dict[str, Change]:
        """Compute the change of each column that both know."""
        found = {}
        for name, column in COLUMNS.items():
            before, now = np.abs(self.before(name)), np.abs(self._table[name])
            known = ~np.isnan(before) & ~np.isnan(now)
            if column.in_summary and name != "shift" and known.any():
                before, now = before[known], now[known]
                found[name] = Change(
                    float(np.median(before)),
                    float(np.median(now)),
                    float(np.mean(now < before)),
                )
        return found
