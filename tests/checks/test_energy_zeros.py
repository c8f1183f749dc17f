"""How far apart the energy zeros of similar structures are."""

import numpy as np
import pytest

from metatrain_dos.checks.energy_zeros import EnergyZeros, level_energies


def test_levels():
    """A flat DOS of 2 states per eV and atom from 1 eV on."""
    energies = 0.05 * np.arange(201)
    dos = np.where(energies > 1, 2.0, 0.0)
    levels = level_energies(dos, energies <= 4, 0.05)
    # 0.25 states are there at 1.125 eV, 6 at 4 eV, where trust ends
    assert levels[0] == pytest.approx(1.125, abs=0.01)
    assert np.isfinite(levels[:23]).all() and np.isnan(levels[24:]).all()


def test_a_rigid_shift_is_measured_exactly():
    energies = 0.1 * np.arange(400)
    trusted = np.ones(400, dtype=bool)
    spread = EnergyZeros()
    for position, shift in enumerate((0.0, 3.2, -1.1)):
        dos = 3 * np.exp(-0.5 * (energies - 15 - shift) ** 2)
        spread.add(f"{position}", "X", 0.05, dos, trusted, 0.1)
    widest = spread.widest()
    # a sum stands for the integral, so a tenth of a column
    assert widest.spread == pytest.approx(4.3, abs=0.01)
    assert (widest.lowest_name, widest.highest_name) == ("2", "1")


def test_kinds_are_not_mixed():
    spread = EnergyZeros()
    dos = np.exp(-0.5 * (np.arange(200) - 50.0) ** 2)
    trusted = np.ones(200, dtype=bool)
    spread.add("a", "X", 0.05, dos, trusted, 0.1)
    spread.add("b", "Y", 0.05, np.roll(dos, 90), trusted, 0.1)
    spread.add("c", "X", 0.08, np.roll(dos, 90), trusted, 0.1)
    spread.add("d", "X", 0.0, np.roll(dos, 90), trusted, 0.1)
    assert spread.widest().spread == 0
    spread.add("e", "X", 0.07, np.roll(dos, 50), trusted, 0.1)
    assert spread.widest().spread == pytest.approx(5, abs=0.01)
