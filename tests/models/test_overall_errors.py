"""Errors of a whole data set, against their definitions."""

import numpy as np
import pytest
from helpers.cases import make_case
from scipy.stats import wasserstein_distance

from metatrain_dos.models.errors import align
from metatrain_dos.models.overall_errors import OverallErrors


SPACING = 0.05
ATOMS = np.array([1, 2, 3, 4, 5, 6])


def measured(rows=6, **options):
    p, t, m = (x.numpy() for x in make_case(0, samples=rows, **options))
    return align(p, t, m, grid_spacing=SPACING)


@pytest.mark.parametrize("batches", [[6], [2, 4]])
def test_against_the_definitions(batches):
    aligned = measured()
    overall, first = OverallErrors(), 0
    for size in batches:
        for i in range(first, first + size):
            overall.add(aligned.sample(i), ATOMS[i : i + 1])
        first += size
    m, atoms = aligned.mask, ATOMS[:, None]
    p, t = (np.where(m, x / atoms, 0.0) for x in (aligned.predictions, aligned.targets))
    mean = t.sum(0) / np.maximum(m.sum(0), 1)
    error = np.trapezoid((p - t) ** 2, dx=SPACING, axis=1)
    spread = np.trapezoid(np.where(m, t - mean, 0.0) ** 2, dx=SPACING, axis=1)
    # float64 sums of a few hundred numbers
    assert overall.compute() == pytest.approx(
        {
            "rmse": np.sqrt(error.mean()),
            "percent_rmse": np.sqrt(error.mean() / spread.mean()),
            "r2": 1 - ((p - t)[m] ** 2).sum() / ((t[m] - t[m].mean()) ** 2).sum(),
        },
        rel=1e-10,
    )


def test_predicting_the_mean_is_an_error_of_one():
    t = measured(masked=0.0).targets
    overall = OverallErrors()
    overall.add(align(t * 0 + t.mean(0), t, grid_spacing=SPACING), np.ones(6, int))
    assert overall.compute()["percent_rmse"] == pytest.approx(1.0)


def test_structures_that_are_trusted_nowhere_do_not_count():
    aligned = measured()
    known, all_of_them = OverallErrors(), OverallErrors()
    aligned.mask[2] = False
    for i in range(6):
        all_of_them.add(aligned.sample(i), ATOMS[i : i + 1])
        if i != 2:
            known.add(aligned.sample(i), ATOMS[i : i + 1])
    assert all_of_them.compute() == pytest.approx(known.compute())
    assert np.isnan(OverallErrors().compute()["rmse"])


def test_wasserstein_distance():
    aligned = measured()
    for i, m in enumerate(aligned.mask):
        x = SPACING * np.flatnonzero(m)
        weights = np.maximum(aligned.predictions[i][m], 0), aligned.targets[i][m]
        expected = wasserstein_distance(x, x, *weights)
        assert aligned.wasserstein[i] == pytest.approx(expected, rel=1e-10)
