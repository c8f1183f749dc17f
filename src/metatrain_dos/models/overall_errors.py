"""Errors of a whole data set, as papers report them."""

import numpy as np
from scipy.integrate import trapezoid

from .errors import AlignedDOS


class OverallErrors:
    """Errors of a whole data set, from sums over structures at each energy."""

    def __init__(self) -> None:
        self._rows = 0
        self._error = self._count = self._first = self._second = np.zeros(1)
        self._spacing = 1.0

    def add(self, aligned: AlignedDOS, atoms: np.ndarray) -> None:
        """Add some structures, and the number of atoms of each, ``(samples,)``."""
        scale = atoms.reshape(-1, *[1] * (aligned.mask.ndim - 1))
        target = np.where(aligned.mask, aligned.targets, 0.0) / scale
        error = np.where(aligned.mask, aligned.predictions, 0.0) / scale - target
        self._rows += int(aligned.mask.any(-1).sum())
        self._spacing = aligned.grid_spacing
        self._count = self._count + aligned.mask.sum(0)
        self._first = self._first + target.sum(0)
        self._second = self._second + (target**2).sum(0)
        self._error = self._error + (error**2).sum(0)

    def compute(self) -> dict[str, float]:
        """Compute :data:`~metatrain_dos.models.error_columns.OVERALL`."""
        rows = self._rows or np.nan
        counts = np.maximum(self._count, 1)
        rmse = np.sqrt(self._integral(self._error) / rows)
        spread = self._second - self._first**2 / counts
        spread_rmse = np.sqrt(self._integral(np.maximum(spread, 0.0)) / rows)
        total = self._second.sum() - self._first.sum() ** 2 / max(self._count.sum(), 1)
        return {
            "rmse": rmse,
            "percent_rmse": rmse / spread_rmse if spread_rmse > 0 else np.nan,
            "r2": 1 - self._error.sum() / total if total > 0 else np.nan,
        }

    def _integral(self, values: np.ndarray) -> float:
        return float(trapezoid(values, dx=self._spacing, axis=-1).sum())
