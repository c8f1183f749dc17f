"""Names, units and definitions of the numbers in an error table."""

from typing import NamedTuple

from ..loss.terms import TERMS


class Column(NamedTuple):
    """
    A number that each row of the table has: short name, unit, and definition.

    :param unit: its unit; ``%`` for a fraction
    :param in_summary: whether its statistics are shown
    """

    label: str
    unit: str
    meaning: str
    in_summary: bool = True

    @property
    def label_with_unit(self) -> str:
        """Name with its unit."""
        return f"{self.label}, {self.unit}" if self.unit else self.label


COLUMNS = {
    "trusted": Column("trusted", "eV", "energy range that is compared", False),
    "rmse_per_atom": Column("RMSE", "states/eV/atom", "root mean square error"),
    "kpoint_error": Column(
        "error of the target",
        "%",
        "estimated error of the computed DOS that its k-points leave, as a fraction of "
        "its root mean square; no model can be better than that",
    ),
    "mae_per_atom": Column("MAE", "states/eV/atom", "mean absolute error"),
    **{
        f"rmse_{channel}_per_atom": Column(
            f"RMSE, spin {channel}", "states/eV/atom", "root mean square error of it"
        )
        for channel in ("up", "down")
    },
    "relative_rmse": Column(
        "RMSE", "%", "as a fraction of the root mean square of the computed DOS"
    ),
    "relative_mae": Column("MAE", "%", "as a fraction of the mean of the computed DOS"),
    "cumulative_rmse_per_atom": Column(
        "integrated, RMS",
        "states/atom",
        "root mean square error of the integrated DOS",
    ),
    "cumulative_max_per_atom": Column(
        "integrated, largest", "states/atom", "largest error of the integrated DOS"
    ),
    "wasserstein": Column(
        "Wasserstein distance",
        "eV",
        "of both DOS scaled to one state over the trusted range, negative values as "
        "zero: the mean distance over which states have to be moved",
    ),
    "fermi_level_error": Column(
        "Fermi level", "eV", "predicted less computed, after the alignment"
    ),
    "dos_at_fermi_level_error": Column(
        "DOS at the Fermi level", "states/eV/atom", "predicted less computed"
    ),
    "gap": Column("computed gap", "eV", "gap of the computed DOS", False),
    "gap_error": Column("gap", "eV", "predicted less computed"),
    "band_energy_error": Column(
        "band energy",
        "eV/atom",
        "predicted less computed integral of energy times DOS up to the Fermi level, "
        "after the alignment",
    ),
    "shift": Column("shift", "eV", "shift of the computed DOS along the prediction"),
    "spread_per_atom": Column(
        "spread of the committee",
        "states/eV/atom",
        "standard deviation over the aligned members, root mean square over energies",
    ),
    **{f"loss_{t.name}": Column(f"loss: {t.name}", t.unit, t.meaning) for t in TERMS},
    "loss": Column("loss", "", "weighted sum of the terms, as in training"),
}
"""
Name of each number -> its column.

All are per atom. Errors of levels have a sign, which statistics leave out.
"""

OVERALL = {
    "rmse": Column(
        "RMSE",
        "states/√eV/atom",
        "square root of the mean over structures of the integral of the squared error "
        "of the DOS per atom (arXiv:2508.17418)",
    ),
    "percent_rmse": Column(
        "RMSE of the spread",
        "%",
        "the same as a fraction of the spread of the data set: the RMSE of predicting, "
        "at each energy, the mean of all computed DOS",
    ),
    "r2": Column(
        "R²",
        "",
        "1 less the squared error as a fraction of the variance, over all energies of "
        "all structures",
    ),
    "error_to_spread": Column(
        "error over spread",
        "",
        "root mean square of the errors of all structures as a multiple of that of the "
        "spreads of the committee: 1 if its spread is an error bar",
    ),
    "spread_correlation": Column(
        "correlation of error and spread",
        "",
        "of their ranks: 1 if the committee knows where it is wrong",
    ),
}
"""Name of each number of a whole data set -> its meaning."""
