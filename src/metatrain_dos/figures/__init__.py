"""Figures, and the report of ``mtt-dos evaluate``."""

from .dos import plot_predicted_and_computed, plot_structure
from .errors import plot_errors, plot_shifts
from .predictions import plot_predictions
from .trusted_ranges import plot_trusted_ranges


__all__ = [
    "plot_errors",
    "plot_predicted_and_computed",
    "plot_predictions",
    "plot_shifts",
    "plot_structure",
    "plot_trusted_ranges",
]
