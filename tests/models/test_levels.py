"""Electron count, Fermi level and gap of DOS known on paper, and of real ones."""

import numpy as np
import pytest
import torch
from ase.units import kB
from helpers.paths import STRUCTURES
from metatensor.torch import Labels, TensorBlock, TensorMap

from metatrain_dos import EnergyGrid, density_of_states
from metatrain_dos.data.readers import read_calculations
from metatrain_dos.models.integrated_dos import IntegratedDOS, integrate
from metatrain_dos.models.levels import (
    band_edges,
    cumulative_dos,
    fermi_level,
    states_below,
)
from metatrain_dos.models.noise import sharpened
from metatrain_dos.models.predictor import DEFAULT_THRESHOLD as THRESHOLD
from metatrain_dos.models.predictor import DEFAULT_TOLERANCE as TOLERANCE


GRID = EnergyGrid(-10.0, 0.05, 401)
ENERGIES = GRID.energies
SMEARING = 0.3


def levels(energies, weights, smearing=SMEARING, grid=GRID):
    """Smear levels that hold so many electrons each."""
    return density_of_states(
        np.reshape(energies, (-1, 1)), np.asarray(weights, float), grid, smearing
    )


def bands(*ranges):
    """Make a DOS of 2 states/eV in some ranges, whose ends are in the grid."""
    dos = np.zeros(GRID.size)
    for lowest, highest in ranges:
        middle, half = 0.5 * (lowest + highest), 0.5 * (highest - lowest)
        dos[np.abs(ENERGIES - middle) < half + 1e-9] = 2.0
    return dos


def chain(t1, t2, kpoints=400):
    """Compute the two bands of a chain with hoppings that alternate."""
    k = 2 * np.pi * (np.arange(kpoints) + 0.5) / kpoints
    upper = np.sqrt(t1**2 + t2**2 + 2 * t1 * t2 * np.cos(k))
    return np.stack([-upper, upper], axis=-1), np.full(kpoints, 2 / kpoints)


def real_data():
    """Read the shipped calculations."""
    return list(read_calculations(STRUCTURES))


# Counting


def test_counting_is_exact_where_the_dos_is_a_straight_line():
    energies = np.array([0.0, 1.0, 3.0, 4.0])  # not equally spaced
    dos = np.array([0.0, 2.0, 2.0, 0.0])
    np.testing.assert_allclose(cumulative_dos(dos, energies), [0, 1, 5, 6])
    at = [-1.0, 0.5, 1.0, 2.5, 3.5, 9.0]
    counts = [states_below(dos, energies, energy) for energy in at]
    np.testing.assert_allclose(counts, [0.0, 0.25, 1.0, 4.0, 5.75, 6.0])


@pytest.mark.parametrize("electrons", [0.001, 0.25, 1.0, 3.7, 5.0, 5.9])
def test_the_fermi_level_inverts_the_count(electrons):
    energies = np.array([0.0, 1.0, 3.0, 4.0])
    dos = np.array([0.0, 2.0, 2.0, 0.0])
    level = fermi_level(dos, energies, electrons, tolerance=1e-6)
    # Both are exact but for rounding.
    np.testing.assert_allclose(states_below(dos, energies, level), electrons, 1e-12)


def test_rounding_at_the_end_of_a_band():
    """The square under the root of the parabola is zero there, give or take 1e-16."""
    heights = np.random.default_rng(0).uniform(0.1, 9.0, (100, 1))
    for (each,) in integrate(heights * [0.0, 1.0, 0.0], [0.0, 0.7, 1.3]):
        # The DOS is zero there: an error of 1e-16 states is one of 1e-8 eV.
        assert each.energy_at(each.states[-1]) == pytest.approx(1.3, abs=1e-7)


def test_free_electrons():
    energies = np.arange(0, 12, 0.01)
    dos = 0.7 * np.sqrt(energies)
    expected = np.array([0.5, 3.0, 11.0])
    electrons = 0.7 * expected**1.5 / 1.5
    # The rule of trapezia loses 0.2 h^1.5 of the root at zero: 1.5e-4 states.
    found = fermi_level(np.tile(dos, (3, 1)), energies, electrons)
    np.testing.assert_allclose(found, expected, atol=4e-4)
    edges = band_edges(dos, energies, electrons[1])
    assert edges.gap == 0
    assert edges.highest_occupied == edges.fermi_level == edges.lowest_unoccupied


def test_a_chain_is_a_metal():
    eigenvalues, weights = chain(1.0, 1.0)
    dos = density_of_states(eigenvalues, weights, GRID, 0.1)
    # N(E) = 4 arccos(-E / 2) / pi, which the smearing keeps odd about half filling.
    edges = band_edges(dos, ENERGIES, 2.0, smearing=0.1)
    np.testing.assert_allclose(edges.fermi_level, 0.0, atol=1e-9)
    assert edges.gap == 0
    # Elsewhere it moves the level by sigma^2 N'' / 2 N' = 0.0019 eV at E = 1.
    quarter = fermi_level(dos, ENERGIES, 4 * np.arccos(-0.5) / np.pi)
    np.testing.assert_allclose(quarter, 1.0, atol=3e-3)


# Gaps


def test_two_bands_with_a_gap():
    dos = bands((-4.0, -1.0), (1.5, 5.0))
    # The two cells at the ends of a band hold half of its last point each.
    electrons = 2.0 * (3.0 + GRID.spacing)
    edges = band_edges(dos, ENERGIES, electrons)
    # A step is anywhere in its cell.
    np.testing.assert_allclose(edges.highest_occupied, -1.0, atol=GRID.spacing)
    np.testing.assert_allclose(edges.lowest_unoccupied, 1.5, atol=GRID.spacing)
    np.testing.assert_allclose(edges.fermi_level, 0.25, atol=1e-9)
    assert fermi_level(dos, ENERGIES, electrons) == edges.fermi_level
    # One electron more, or less, and it is a metal.
    assert band_edges(dos, ENERGIES, electrons + 1).gap == 0
    assert band_edges(dos, ENERGIES, electrons - 1).gap == 0


@pytest.mark.parametrize("weights", [(2, 2), (2, 6), (10, 0.5)])
@pytest.mark.parametrize("gap", [3.0, 4.0, 8.0])
def test_smearing_is_undone_for_single_levels(weights, gap):
    dos = levels([-gap / 2, gap / 2], weights)
    edges = band_edges(dos, ENERGIES, weights[0], smearing=SMEARING)
    # Heights are interpolated in cells of a sixth of the smearing, and the tail of the
    # other level still counts where the gap is small.
    np.testing.assert_allclose(edges.highest_occupied, -gap / 2, atol=0.02)
    np.testing.assert_allclose(edges.lowest_unoccupied, gap / 2, atol=0.02)
    np.testing.assert_allclose(edges.fermi_level, 0.0, atol=0.02)
    # Unmoved, an edge is where the tail has fallen to the threshold.
    raw = band_edges(dos, ENERGIES, weights[0], threshold=0.01)
    peaks = np.array(weights) / (SMEARING * np.sqrt(2 * np.pi))
    expected = gap - SMEARING * np.sqrt(2 * np.log(peaks / (0.01 * weights[0]))).sum()
    np.testing.assert_allclose(raw.gap, expected, atol=0.02)


@pytest.mark.parametrize("t2", [0.2, 0.4])
def test_a_dimerised_chain_has_a_gap(t2):
    t1 = 1.5
    eigenvalues, weights = chain(t1, t2)
    dos = density_of_states(eigenvalues, weights, GRID, 0.1)
    edges = band_edges(dos, ENERGIES, 2.0, smearing=0.1)
    # A third of the smearing that is left.
    np.testing.assert_allclose(edges.gap, 2 * (t1 - t2), atol=0.03)
    np.testing.assert_allclose(edges.fermi_level, 0.0, atol=1e-9)


def test_a_gap_that_smearing_has_filled_is_not_seen():
    dos = levels([-0.4, 0.4], [2, 2])
    edges = band_edges(dos, ENERGIES, 2.0, smearing=SMEARING)
    assert edges.gap == 0
    np.testing.assert_allclose(edges.fermi_level, 0.0, atol=1e-9)


def test_sharpening_finds_a_gap_that_smearing_has_filled():
    dos = levels([-0.7, 0.7], [2, 2])
    edges = band_edges(dos, ENERGIES, 2.0, smearing=SMEARING, threshold=0.01)
    # A half of the smearing: each tail adds to the other in the middle.
    np.testing.assert_allclose(edges.gap, 1.4, atol=0.15)
    # Without the smearing, it cannot be told from a metal.
    assert band_edges(dos, ENERGIES, 2.0, threshold=0.01).gap == 0


@pytest.mark.parametrize("smearing", [0.3, 0.5])
def test_sharpened_levels_are_narrower_gaussians(smearing):
    dos = levels([0.0], [2], smearing)
    curve = IntegratedDOS(ENERGIES, dos, cumulative_dos(dos, ENERGIES))
    sharp, width = sharpened(curve, smearing)
    assert 0.4 < width / smearing < 0.6
    expected = levels([0.0], [2], width)
    # Its integral grows by 6 %; the filters end at six times their width.
    np.testing.assert_allclose(
        sharp.dos / sharp.dos.max(), expected / expected.max(), atol=1e-3
    )


def test_a_gap_without_an_end():
    dos = levels([-3.0], [2])
    edges = band_edges(dos, ENERGIES, 2.0, smearing=SMEARING)
    np.testing.assert_allclose(edges.highest_occupied, -3.0, atol=0.02)
    assert np.isnan(edges.lowest_unoccupied) and np.isnan(edges.gap)
    assert edges.highest_occupied < edges.fermi_level < ENERGIES[-1]


@pytest.mark.parametrize("error", [-0.3, 0.3])
def test_the_tolerance_forgives_wrong_counts(error):
    dos = levels([-2.0, 2.0], [2 + error, 2])
    assert band_edges(dos, ENERGIES, 2.0, smearing=SMEARING).gap == 0
    edges = band_edges(dos, ENERGIES, 2.0, smearing=SMEARING, tolerance=0.5)
    np.testing.assert_allclose(edges.gap, 4.0, atol=0.04)
    # A metal has its level where the count is exact, whatever is forgiven.
    metal = bands((-4.0, 4.0))
    exact = fermi_level(metal, ENERGIES, 5.0)
    assert fermi_level(metal, ENERGIES, 5.0, tolerance=0.5) == exact


def test_the_threshold_forgives_noise():
    noise = 0.05 * np.sin(7.3 * ENERGIES)  # positive and negative
    dos = levels([-2.0, 2.0], [2, 2]) + noise
    options = {"smearing": SMEARING, "tolerance": 0.2}
    loose = band_edges(dos, ENERGIES, 2.0, threshold=0.05, **options)
    # Near the threshold, the noise is half of the DOS.
    np.testing.assert_allclose(loose.gap, 4.0, atol=0.4)
    assert band_edges(dos, ENERGIES, 2.0, threshold=0.001, **options).gap < 3.0


def test_where_a_count_is_reached_twice_the_first_time_counts():
    energies = np.arange(6.0)
    dos = np.array([0.0, 2.0, 0.0, -1.0, 0.0, 3.0])
    # N is 0, 1, 2, 1.5, 1, 2.5
    np.testing.assert_allclose(fermi_level(dos, energies, 1.0), 1.0)
    np.testing.assert_allclose(
        states_below(dos, energies, fermi_level(dos, energies, 2.25)), 2.25
    )


# Noise


def noisy(kind, size, rng, clean=None):
    """Make noise of a size, states/eV, with or without a mean."""
    white = size * rng.standard_normal(WIDE.size)
    return {
        "floor": np.where(WIDE.energies < -6.5, size, 0.0),
        "zero mean": white,
        "positive": np.abs(white),
        "cut off": np.maximum(white, -clean) if clean is not None else white,
    }[kind]


WIDE = EnergyGrid(-200.0, 0.05, 4401)


@pytest.mark.parametrize("kind", ["floor", "zero mean", "positive"])
def test_noise_in_front_of_the_states_does_not_count(kind):
    clean = levels(np.linspace(-5.0, 4.0, 90), np.full(90, 0.1), 0.3, WIDE)
    dos = clean + noisy(kind, 0.02, np.random.default_rng(0))
    level = fermi_level(dos, WIDE.energies, 5.0, smearing=0.3)
    expected = fermi_level(clean, WIDE.energies, 5.0)
    # In the band, it adds up to 0.02 sqrt(5 * 0.05) = 0.01 states of 1 per eV.
    assert level == pytest.approx(expected, abs=0.05)
    plain = IntegratedDOS(WIDE.energies, dos, cumulative_dos(dos, WIDE.energies))
    if kind != "zero mean":
        assert plain.energy_at(5.0) < expected - 2.0


@pytest.mark.parametrize("smearing", [0.1, 0.3])
def test_noise_that_is_cut_off_at_zero_has_no_mean_among_states(smearing):
    """A level with one electron, a wide gap, and a band with one per eV."""
    band = np.arange(-15.0, 4.0, 0.05)
    weights = np.r_[1.0, np.full(len(band), 0.05)]
    clean = levels(np.r_[-40.0, band], weights, smearing, WIDE)
    dos = clean + noisy("cut off", 0.05, np.random.default_rng(3), clean)
    found = fermi_level(dos, WIDE.energies, 16.0, smearing=smearing)
    # Noise in the band adds up to 0.05 sqrt(15 * 0.05) = 0.04 states, and at the tails
    # of level and band to 0.02 in 4 eV. That mean would be 0.3 in the band, 4 in front.
    assert found == pytest.approx(fermi_level(clean, WIDE.energies, 16.0), abs=0.12)


@pytest.mark.parametrize("kind", ["zero mean", "positive"])
def test_noise_in_a_gap_does_not_move_its_edges(kind):
    clean = levels([-3.0, 3.0], [2, 2], 0.3, WIDE)
    dos = clean + noisy(kind, 0.05, np.random.default_rng(1))
    edges = band_edges(dos, WIDE.energies, 2.0, smearing=0.3, tolerance=0.1)
    # Half of the smearing: an edge is where the DOS is four times the filtered noise,
    # which changes its slope there by a third.
    np.testing.assert_allclose(edges.highest_occupied, -3.0, atol=0.15)
    np.testing.assert_allclose(edges.lowest_unoccupied, 3.0, atol=0.15)


@pytest.mark.parametrize("smearing", [None, 0.3])
def test_states_that_are_lost_in_noise_have_a_level(smearing):
    """As a model predicts them that has hardly been trained."""
    energies, options = WIDE.energies[:800], {"tolerance": 0.3, "threshold": 0.005}
    found = 0
    for seed in range(40):
        dos = 0.1 + np.random.default_rng(seed).standard_normal(800)
        try:
            edges = band_edges(dos, energies, 3.0, smearing=smearing, **options)
        except ValueError:  # too few states
            continue
        found += 1
        assert energies[0] <= edges.fermi_level <= energies[-1]
        assert edges.highest_occupied <= edges.fermi_level
    assert found > 10


def test_a_lone_level_far_below_the_others_is_no_noise():
    dos = levels([-150.0, -3.0, 3.0], [2, 8, 8], 0.3, WIDE)
    dos += noisy("zero mean", 0.02, np.random.default_rng(2))
    edges = band_edges(dos, WIDE.energies, 10.0, smearing=0.3, tolerance=0.2)
    # 0.2 at both ends; a metal if two of ten electrons are missing.
    np.testing.assert_allclose(edges.gap, 6.0, atol=0.4)


def test_a_dos_that_begins_with_states_is_counted_as_it_is():
    dos = np.linspace(0.5, 3.0, WIDE.size)
    expected = IntegratedDOS(WIDE.energies, dos, cumulative_dos(dos, WIDE.energies))
    assert fermi_level(dos, WIDE.energies, 99.0) == expected.energy_at(99.0)


@pytest.mark.parametrize("smearing", [0.1, 0.3])
def test_a_weak_band_in_front_of_a_strong_one_is_no_noise(smearing):
    """As in copper: a wide s band, whose DOS is a hundredth of that of the d band."""
    band = np.arange(-8.0, -3.0, 0.05)
    dos = levels(np.r_[band, -2.0], np.r_[np.full(100, 0.01), 20.0], smearing)
    expected = IntegratedDOS(ENERGIES, dos, cumulative_dos(dos, ENERGIES))
    found = fermi_level(dos, ENERGIES, 11.0, smearing=smearing)
    # Tails below the threshold are left out.
    assert found == pytest.approx(expected.energy_at(11.0), abs=1e-4)


# Temperature


def test_free_electrons_at_temperature():
    energies = np.arange(0, 12, 0.005)
    dos = np.sqrt(energies)
    electrons, width = 5.0**1.5 / 1.5, 0.2
    found = fermi_level(dos, energies, electrons, temperature=width / kB)
    # Sommerfeld; the next term is smaller by (kT / E_F)^2 = 1.6e-3, of 6.6e-3 eV.
    expected = 5.0 * (1 - np.pi**2 / 12 * (width / 5.0) ** 2)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    cold = fermi_level(dos, energies, electrons, temperature=0.01)
    np.testing.assert_allclose(cold, fermi_level(dos, energies, electrons), atol=1e-6)


@pytest.mark.parametrize("temperature", [300.0, 2000.0])
def test_two_levels_at_temperature(temperature):
    dos = levels([-1.0, 1.0], [2, 6], smearing=0.05)
    found = fermi_level(dos, ENERGIES, 2.0, temperature=temperature)
    # As many holes as electrons; Gaussians of one width do the same to both.
    expected = 0.5 * kB * temperature * np.log(2 / 6)
    # The sum of Gaussians on this grid is off by 1e-6.
    np.testing.assert_allclose(found, expected, atol=2e-3)


# What a DOS may be


def test_batches_tensors_and_tensor_maps():
    rng = np.random.default_rng(0)
    gaps = rng.uniform(3.0, 6.0, (3, 2))
    dos = np.array([[levels([-g / 2, g / 2], [2, 2]) for g in row] for row in gaps])
    electrons = np.full((3, 2), 2.0)
    expected = band_edges(dos, ENERGIES, electrons, smearing=SMEARING)
    np.testing.assert_allclose(expected.gap, gaps, atol=0.04)
    one = band_edges(dos[1, 0], ENERGIES, 2.0, smearing=SMEARING)
    assert one.gap.shape == () and one.gap == expected.gap[1, 0]

    tensor = torch.tensor(dos, requires_grad=True)
    block = TensorBlock(
        tensor.detach(),
        Labels.range("system", 3),
        [Labels.range("spin", 2)],
        Labels.range("energy", GRID.size),
    )
    for other in (tensor, TensorMap(Labels.single(), [block])):
        found = band_edges(other, torch.tensor(ENERGIES), 2.0, smearing=SMEARING)
        np.testing.assert_array_equal(found.gap, expected.gap)
        np.testing.assert_array_equal(
            states_below(other, ENERGIES, 0.0), states_below(dos, ENERGIES, 0.0)
        )
    single = fermi_level(tensor.float(), ENERGIES, 2.0)
    # Single precision rounds the DOS to 7 digits, and its slope to about 5.
    np.testing.assert_allclose(single, fermi_level(dos, ENERGIES, 2.0), atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dos": np.ones(7)}, r"dos: expected 401 points .* got shape \(7,\)"),
        ({"dos": np.full(401, np.nan)}, "dos: expected finite numbers, got 401"),
        ({"energies": np.zeros(401)}, "energies: expected at least two that increase"),
        ({"electrons": 0.0}, "electrons: expected a number > 0, got 0"),
        ({"electrons": np.nan}, "electrons: expected a number > 0, got nan"),
        (
            {"electrons": 41.0},
            r"electrons: expected at most the 40\.00 that the states from -10\.00 to "
            r"10\.00 eV hold, got 41; count valence electrons only",
        ),
        ({"electrons": np.ones(3)}, r"electrons: .* in the shape \(\), got shape"),
        ({"tolerance": 0.0}, "tolerance: expected a number of states > 0, got 0"),
        ({"threshold": 0.0}, "threshold: expected a number > 0 in 1/eV, got 0"),
        ({"threshold": np.inf}, "threshold: expected a number > 0 in 1/eV, got inf"),
        ({"smearing": -0.1}, "smearing: expected a width >= 0"),
        ({"temperature": -1.0}, "temperature: expected a number >= 0 in K"),
    ],
)
def test_mistakes(change, message):
    arguments = {"dos": np.full(401, 2.0), "energies": ENERGIES, "electrons": 4.0}
    with pytest.raises(ValueError, match=message):
        fermi_level(**arguments | change)


# Real data


@pytest.fixture(scope="module")
def computed():
    calculations = real_data()
    grid = EnergyGrid(-34.0, 0.05, 1300)
    dos = [
        density_of_states(c.eigenvalues[0], c.kpoint_weights, grid, SMEARING)
        for c in calculations
    ]
    electrons = np.array([c.n_electrons for c in calculations])
    filled = [round(n / 2) for n in electrons]
    bands = [c.eigenvalues[0] for c in calculations]
    highest = np.array([e[:, :n].max() for e, n in zip(bands, filled, strict=True)])
    lowest = np.array([e[:, n:].min() for e, n in zip(bands, filled, strict=True)])
    fermi = np.array([c.fermi_level for c in calculations])
    dos = np.array(dos)
    edges = band_edges(dos, grid.energies, electrons, smearing=SMEARING)
    # Settings of predictions
    loose = band_edges(
        *(dos, grid.energies, electrons),
        smearing=SMEARING,
        tolerance=TOLERANCE * electrons,
        threshold=THRESHOLD,
    )
    return highest, lowest, fermi, edges, loose


def test_fermi_levels_of_real_metals(computed):
    highest, lowest, fermi, edges, loose = computed
    metals = lowest < highest
    assert metals.sum() == 70
    # Of 125 k-points, the states of copper at its Fermi level are few and apart.
    assert (edges.gap[metals] == 0).all() and (loose.gap[metals] > 0).sum() <= 9
    errors = np.abs(edges.fermi_level - fermi)[metals]
    # The calculation smears by 0.14 eV, the DOS by 0.3 eV.
    assert errors.mean() < 0.06 and errors.max() < 0.16


def test_gaps_of_real_insulators(computed):
    highest, lowest, _, edges, loose = computed
    gaps = lowest - highest
    clear = gaps > 0.3
    assert clear.sum() == 135
    inside = (highest < edges.fermi_level) & (edges.fermi_level < lowest)
    assert inside[clear].all()
    wide = gaps > 2.0
    assert wide.sum() == 101
    errors = np.abs(edges.gap - gaps)
    assert errors[wide].mean() < 0.09 and errors[wide].max() < 0.4
    narrow = (gaps > 1.0) & ~wide
    assert np.mean(edges.gap[narrow] > 0) > 0.9 and np.median(errors[narrow]) < 0.5
    # A higher threshold overlooks the weak beginning of bands.
    errors = np.abs(loose.gap - gaps)
    assert np.mean(loose.gap[clear] > 0) > 0.98
    assert np.median(errors[wide]) < 0.1 and errors[clear].max() < 2.5  # eV
