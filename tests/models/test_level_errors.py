"""Levels of predicted and computed DOS, against levels that are known."""

import numpy as np
import pytest

from metatrain_dos.models.level_errors import level_pair


ENERGIES = np.arange(-15.0, 10.0, 0.05)
SMEARING = 0.2
MASK = np.ones(len(ENERGIES), dtype=bool)


def dos_of(levels, states=2.0):
    """Smear levels."""
    x = (ENERGIES[:, None] - np.asarray(levels)) / SMEARING
    return states * np.exp(-0.5 * x**2).sum(-1) / (SMEARING * np.sqrt(2 * np.pi))


INSULATOR = dos_of([-9.0, -5.5, 1.5])
METAL = dos_of(np.arange(-10.0, 8.0, 0.1), states=0.2)


def test_a_perfect_prediction_has_no_error():
    for dos, electrons in ((INSULATOR, 4.0), (METAL, 9.0)):
        predicted, computed = level_pair(
            dos.copy(), dos, MASK, ENERGIES, electrons, SMEARING
        )
        # The settings for predictions allow for noise: a threshold is 20 times higher.
        assert predicted == pytest.approx(computed, abs=0.02)


def test_levels_are_those_of_the_eigenvalues():
    predicted, computed = level_pair(
        dos_of([-9.2, -5.2, 1.0]), INSULATOR, MASK, ENERGIES, 4.0, SMEARING
    )
    # Edges of single levels are exact but for the grid: 0.05 eV for a smearing of 0.2.
    for found, levels in (
        (predicted, (-9.2, -5.2, 1.0)),
        (computed, (-9.0, -5.5, 1.5)),
    ):
        assert found.highest_occupied == pytest.approx(levels[1], abs=0.02)
        assert found.lowest_unoccupied == pytest.approx(levels[2], abs=0.02)
        assert found.gap == pytest.approx(levels[2] - levels[1], abs=0.03)
        assert found.fermi_level == pytest.approx(np.mean(levels[1:]), abs=0.02)
        assert found.band_energy == pytest.approx(2 * sum(levels[:2]), abs=1e-3)
        assert found.dos_at_fermi_level < 1e-6


def test_a_metal():
    _, computed = level_pair(METAL, METAL, MASK, ENERGIES, 9.0, SMEARING)
    # 45 levels of 0.2 states are full; the Fermi level is between two of them.
    level = -10.0 + 0.1 * 44.5
    assert computed.gap == 0
    assert computed.fermi_level == pytest.approx(level, abs=1e-3)
    assert computed.dos_at_fermi_level == pytest.approx(2.0, rel=1e-3)
    # Smearing is even around the level: its energy is second order, sigma^2 D / 2.
    expected = 0.2 * (-10.0 + 0.1 * np.arange(45)).sum()
    assert computed.band_energy == pytest.approx(expected, abs=0.05)


def test_the_error_of_the_band_energy_does_not_depend_on_the_zero():
    other = dos_of([-9.2, -5.2, 1.0])
    errors = []
    for zero in (0.0, 7.0):
        predicted, computed = level_pair(
            other, INSULATOR, MASK, ENERGIES - zero, 4.0, SMEARING
        )
        errors.append(predicted.band_energy - computed.band_energy)
    assert errors[0] == pytest.approx(2 * (-9.2 - 5.2 + 9.0 + 5.5), abs=1e-3)
    assert errors[1] == pytest.approx(errors[0], abs=1e-9)


def test_only_the_trusted_range_is_used():
    mask = ENERGIES < 5.0
    predicted, computed = level_pair(
        np.where(mask, INSULATOR, -99.0), INSULATOR, mask, ENERGIES, 4.0, SMEARING
    )
    assert predicted == pytest.approx(computed, abs=0.02)


@pytest.mark.parametrize("electrons", [None, 99.0, np.nan])
def test_electrons_that_do_not_fit(electrons):
    assert level_pair(METAL, METAL, MASK, ENERGIES, electrons, SMEARING) is None
    nowhere = np.zeros_like(MASK)
    assert level_pair(METAL, METAL, nowhere, ENERGIES, 9.0, SMEARING) is None
    broken = np.full_like(METAL, np.nan)
    assert level_pair(broken, METAL, MASK, ENERGIES, 9.0, SMEARING) is None
