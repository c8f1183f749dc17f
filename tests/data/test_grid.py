"""The energy axis."""

import numpy as np
import pytest

from metatrain_dos import EnergyGrid


def test_energies():
    grid = EnergyGrid(origin=-1.0, spacing=0.5, size=4)
    np.testing.assert_array_equal(grid.energies, [-1.0, -0.5, 0.0, 0.5])


@pytest.mark.parametrize("spacing", [0.05, 0.1, 0.3])
@pytest.mark.parametrize(("lowest", "highest"), [(-7.31, 12.2), (0.0, 0.0), (3, 4)])
def test_covering(lowest, highest, spacing):
    grid = EnergyGrid.covering(lowest, highest, spacing)
    energies = grid.energies
    assert energies[0] <= lowest + 1e-9 and energies[-1] >= highest - 1e-9
    assert lowest - energies[0] < spacing and energies[-1] - highest < spacing
    # whole multiples of the spacing
    np.testing.assert_allclose(grid.origin / spacing, round(grid.origin / spacing))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.nan, 0.05, 3), "origin: expected a finite energy in eV, got nan"),
        ((0.0, 0.0, 3), r"spacing: expected an energy > 0 in eV, got 0\.0"),
        ((0.0, np.inf, 3), "spacing: expected an energy > 0 in eV, got inf"),
        ((0.0, 0.05, 0), "size: expected 1 to 1000000 energies, got 0"),
        ((0.0, 0.05, 10**12), r"size: expected 1 to 1000000 energies, got 1e\+12"),
    ],
)
def test_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        EnergyGrid(*arguments)


@pytest.mark.parametrize("limits", [(1.0, 0.0), (np.nan, 0.0), (0.0, np.inf)])
def test_no_range_to_cover(limits):
    with pytest.raises(ValueError, match="lowest, highest: expected a finite range"):
        EnergyGrid.covering(*limits)
    with pytest.raises(ValueError, match="spacing: expected"):
        EnergyGrid.covering(0.0, 1.0, 0.0)
