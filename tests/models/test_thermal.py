"""Electronic thermodynamics, against closed forms and sums over eigenvalues."""

import numpy as np
import pytest
from ase.units import kB
from helpers.paths import STRUCTURES
from scipy.optimize import brentq
from scipy.special import expit, xlogy

from metatrain_dos import EnergyGrid, density_of_states
from metatrain_dos.data.readers import read_extxyz
from metatrain_dos.models.thermal import (
    dos_at_fermi_level,
    sommerfeld_coefficient,
    thermal_properties,
)


def sums(levels, weights, electrons, temperature):
    """Sum over levels that hold ``weights`` electrons each."""
    width = kB * temperature

    def occupations(level):
        return expit(-(levels - level) / width)

    level = brentq(
        lambda x: weights @ occupations(x) - electrons,
        levels.min() - 50 * width,
        levels.max() + 50 * width,
        xtol=1e-14,
    )
    f = occupations(level)
    entropy = -kB * weights @ (xlogy(f, f) + xlogy(1 - f, 1 - f))
    x = (levels - level) / width
    m0, m1, m2 = (weights @ (f * (1 - f) * x**i) for i in range(3))
    energy = weights @ (levels * f)
    capacity = kB * (m2 - m1**2 / m0)
    return level, energy, entropy, energy - temperature * entropy, capacity


def fields(found):
    return [
        found.chemical_potential,
        found.band_energy,
        found.entropy,
        found.free_energy,
        found.heat_capacity,
    ]


@pytest.mark.parametrize("temperature", [100.0, 1000.0, 5000.0])
def test_a_constant_dos(temperature):
    """Textbook: everything is exact but for exp(-E_F / kT)."""
    energies = np.arange(-10.0, 15.0, 0.05)
    dos, electrons = np.where(energies > -9.52, 2.0, 0.0), 19.0
    found = thermal_properties(dos, energies, electrons, temperature)
    heat = np.pi**2 / 3 * kB**2 * temperature * 2.0
    # States begin in the middle of a cell.
    start = -9.525
    top = start + electrons / 2.0
    np.testing.assert_allclose(found.chemical_potential, top, atol=1e-6)
    zero = top**2 - start**2
    np.testing.assert_allclose(
        found.band_energy, zero + heat * temperature / 2, atol=2e-3
    )
    # Quadrature of a smooth function; 1e-9 is the precision of the level.
    np.testing.assert_allclose(found.entropy, heat, rtol=1e-7)
    np.testing.assert_allclose(found.heat_capacity, heat, rtol=1e-7)
    np.testing.assert_allclose(
        found.free_energy, found.band_energy - temperature * found.entropy
    )
    gamma = sommerfeld_coefficient(dos_at_fermi_level(dos, energies, electrons))
    np.testing.assert_allclose(gamma * temperature, heat, rtol=1e-12)


@pytest.mark.parametrize("temperature", [2000.0, 6000.0])
def test_two_levels(temperature):
    """The Schottky anomaly, of levels narrower than kT."""
    levels, weights = np.array([-0.5, 0.5]), np.array([2.0, 6.0])
    grid = EnergyGrid(-3.0, 0.005, 1201)
    dos = density_of_states(levels[:, None], weights, grid, 0.02)
    found = thermal_properties(dos, grid.energies, 2.0, temperature, smearing=0.02)
    expected = sums(levels, weights, 2.0, temperature)
    # A Gaussian of 0.02 eV adds (0.02 / kT)^2 / 2 = 0.7 % of a level's heat capacity.
    np.testing.assert_allclose(fields(found), expected, rtol=0.01, atol=2e-3)
    np.testing.assert_allclose(found.entropy, expected[2], rtol=0.01)
    np.testing.assert_allclose(found.heat_capacity, expected[4], rtol=0.02)


def test_free_electrons():
    """Sommerfeld's expansion, whose next terms are (kT / E_F)^2 = 3e-4 of these."""
    energies = np.arange(0.0, 15.0, 0.005)
    dos = np.sqrt(energies)
    electrons, temperature = 5.0**1.5 / 1.5, 1000.0
    width = kB * temperature
    found = thermal_properties(dos, energies, electrons, temperature)
    heat = np.pi**2 / 3 * kB * width * np.sqrt(5.0)
    np.testing.assert_allclose(found.heat_capacity, heat, rtol=2e-3)
    np.testing.assert_allclose(found.entropy, heat, rtol=2e-3)
    expected = 0.6 * electrons * 5.0 + heat * temperature / 2
    # The rule of trapezia loses 1e-4 states of the root at zero.
    np.testing.assert_allclose(found.band_energy, expected, atol=2e-3)


def test_the_heat_capacity_is_the_slope_of_the_band_energy():
    rng = np.random.default_rng(0)
    grid = EnergyGrid(-10.0, 0.05, 401)
    dos = density_of_states(rng.uniform(-8, 8, (60, 1)), np.ones(60), grid, 0.3)
    below, at, above = (
        thermal_properties(dos, grid.energies, 25.0, t)
        for t in (1990.0, 2000.0, 2010.0)
    )
    slope = (above.band_energy - below.band_energy) / 20.0
    # Second order in 10 K of 2000 K.
    np.testing.assert_allclose(at.heat_capacity, slope, rtol=1e-3)
    # And the entropy is minus the slope of the free energy.
    slope = (above.free_energy - below.free_energy) / 20.0
    np.testing.assert_allclose(at.entropy, -slope, rtol=1e-4)


def test_against_the_eigenvalues_of_real_metals():
    """With smearing far below kT, so that only the method differs."""
    calculations = list(read_extxyz(STRUCTURES))
    metals = [
        c for c in calculations if c.atoms.info["material"] in ("Al-fcc", "Cu-fcc")
    ]
    temperature = 3000.0
    for each in metals[:6]:
        bands = each.eigenvalues[0]
        grid = EnergyGrid.covering(bands.min() - 1, bands.max() + 1, 0.01)
        dos = density_of_states(bands, each.kpoint_weights, grid, 0.03)
        found = thermal_properties(
            dos, grid.energies, each.n_electrons, temperature, smearing=0.03
        )
        weights = np.broadcast_to(each.kpoint_weights[:, None], bands.shape)
        expected = sums(bands.ravel(), weights.ravel(), each.n_electrons, temperature)
        # Smearing adds (0.03 / kT)^2 = 1.3 % to the width of -df/dE squared.
        np.testing.assert_allclose(found.heat_capacity, expected[4], rtol=0.03)
        np.testing.assert_allclose(found.entropy, expected[2], rtol=0.03)
        # Smearing raises the energy of occupied states by 0.03^2 D(E_F) / 2.
        np.testing.assert_allclose(found.band_energy, expected[1], atol=2e-3)
        np.testing.assert_allclose(found.chemical_potential, expected[0], atol=2e-3)


@pytest.mark.parametrize(
    ("temperature", "level", "energy", "heat", "free_energy"),
    [
        (3000.0, 7.434165, 39.184739, 0.366364, 38.818375),
        (10000.0, 7.562849, 40.972468, 3.961824, 37.010645),
    ],
)
def test_against_phonopy(temperature, level, energy, heat, free_energy):
    """``phonopy.qha.electron.ElectronFreeEnergy`` 4.10, with the same eigenvalues."""
    each = next(
        c for c in read_extxyz(STRUCTURES) if c.atoms.info["material"] == "Al-fcc"
    )
    bands = each.eigenvalues[0]
    grid = EnergyGrid.covering(bands.min() - 2, bands.max() + 2, 0.005)
    dos = density_of_states(bands, each.kpoint_weights, grid, 0.02)
    found = thermal_properties(
        dos, grid.energies, each.n_electrons, temperature, smearing=0.02
    )
    expected = [level, energy, heat / temperature, free_energy, found.heat_capacity]
    # Smearing of 0.02 eV changes energies by 0.02^2 D(E_F), and entropies by
    # (0.02 / kT)^2 / 2 = 0.3 % at 3000 K.
    np.testing.assert_allclose(fields(found), expected, rtol=0, atol=5e-4)
    np.testing.assert_allclose(found.entropy, heat / temperature, rtol=3e-3)


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.nan])
def test_temperatures_that_are_none(temperature):
    with pytest.raises(ValueError, match="temperature: expected a number > 0 in K"):
        thermal_properties(np.ones(50), np.arange(50.0), 4.0, temperature)


def test_an_axis_that_ends_too_early():
    with pytest.raises(ValueError, match=r"ends far above .* 5000 K, got 0\.\d\d eV"):
        thermal_properties(np.ones(50), np.arange(50.0), 48.0, 5000.0)


def test_states_of_a_few_electrons_may_be_missing():
    energies = np.linspace(0.0, 20.0, 401)
    dos = np.where(energies < 10.0, 1.0, 0.0)  # ends in a gap with 9.975 states
    full = thermal_properties(dos, energies, 9.975, 1000.0)
    found = thermal_properties(dos, energies, 10.1, 1000.0, tolerance=0.2)
    assert found.band_energy == pytest.approx(full.band_energy, abs=0.01)
    with pytest.raises(ValueError, match=r"expected at most the 9\.9"):
        thermal_properties(dos, energies, 10.1, 1000.0)


def test_noise_at_the_fermi_level_is_no_dos():
    energies = np.arange(-20.0, 20.0, 0.05)
    dos = sum(3 * np.exp(-((energies - at) ** 2) / 0.18) for at in (-8.0, 8.0))
    dos = dos + 0.02 * np.random.default_rng(0).standard_normal(len(energies))
    options = {"smearing": 0.3, "threshold": 0.05, "tolerance": 0.1}
    electrons = 3 * 0.3 * np.sqrt(2 * np.pi)
    assert dos_at_fermi_level(dos, energies, electrons, **options) == 0.0


def test_batches():
    dos = np.array([np.full(50, 1.0), np.full(50, 2.0)])
    found = thermal_properties(dos, np.arange(50.0), [4.0, 9.0], 300.0)
    one = thermal_properties(dos[1], np.arange(50.0), 9.0, 300.0)
    assert found.entropy.shape == (2,) and one.entropy.shape == ()
    np.testing.assert_array_equal(np.array(fields(found))[:, 1], fields(one))
