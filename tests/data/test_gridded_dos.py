"""A density of states on a grid of its own, against the eigenvalues behind it."""

import ase
import numpy as np
import pytest
from helpers.dos_files import sampled_dos, smeared_below

from metatrain_dos.data.calculation import Calculation
from metatrain_dos.data.dos import density_of_states
from metatrain_dos.data.grid import EnergyGrid
from metatrain_dos.data.gridded_dos import GriddedDOS
from metatrain_dos.data.references import (
    highest_occupied,
    missing_electrons,
    reference_energy,
)
from metatrain_dos.data.target_spec import TargetSpec


ATOMS = ase.Atoms("Si2", [[0, 0, 0], [1.36] * 3], cell=[5.43] * 3, pbc=True)
GRID = EnergyGrid(-14.0, 0.05, 481)


@pytest.fixture
def calculation():
    rng = np.random.default_rng(3)
    bands = np.sort(rng.uniform(-10, 8, (2, 20, 9)), axis=-1)
    level = 1.0
    return Calculation(
        atoms=ATOMS,
        eigenvalues=bands,
        kpoint_weights=np.full(20, 1 / 20),
        fermi_level=level,
        n_electrons=float((bands < level).sum() / 20),
    )


def gridded(calculation, own=0.1, step=0.04, first=-12.0, last=10.0, **more):
    """Put states on a grid exactly, smeared by their own width."""
    edges = np.arange(first, last, step)
    below = smeared_below(calculation, edges, own)
    more = {
        "fermi_level": calculation.fermi_level,
        "n_electrons": calculation.n_electrons,
        **more,
    }
    return GriddedDOS(ATOMS, edges, np.diff(below, axis=1), own, **more)


@pytest.mark.parametrize(
    ("own", "step", "tolerance"),
    [
        (0.1, 0.04, 1e-4),
        # It is not known where in its bin a state is.
        (0.0, 0.01, 5e-3),
        (0.0, 0.2, 8e-2),
        # So little is missing that the steps of 0.2 eV must not show.
        (0.28, 0.2, 1e-2),
        # All of the width is its own; the mean over a step of 0.05 eV is wider.
        (0.3, 0.04, 5e-3),
    ],
)
def test_widths_add_up_to_the_one_of_eigenvalues(calculation, own, step, tolerance):
    expected = density_of_states(
        calculation.eigenvalues, calculation.kpoint_weights, GRID, 0.3
    )
    found = gridded(calculation, own, step).on_grid(GRID, 0.0, 0.3)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, 0, tolerance * expected.max())


def test_the_step_of_the_grid_is_a_width(calculation):
    grid = EnergyGrid(-14.0, 0.2, 120)
    expected = density_of_states(
        calculation.eigenvalues, calculation.kpoint_weights, grid, 0.3
    )
    found = gridded(calculation, 0.27).on_grid(grid, 0.0, 0.3)
    np.testing.assert_allclose(found, expected, 0, 4e-3 * expected.max())


@pytest.mark.parametrize("smearing", [0.1, 0.12, 0.3, 1.0])
def test_no_state_is_lost(calculation, smearing):
    grid = EnergyGrid(-25.0, 0.07, 900)
    found = gridded(calculation).on_grid(grid, 0.0, smearing)
    # Rounding; and tails beyond 8 standard deviations.
    np.testing.assert_allclose(found.sum(axis=1) * grid.spacing, [9, 9], rtol=1e-9)


def test_states_are_moved_with_the_zero(calculation):
    dos = gridded(calculation)
    moved = dos.on_grid(EnergyGrid(GRID.origin - 2.5, 0.05, 481), 2.5, 0.3)
    np.testing.assert_allclose(moved, dos.on_grid(GRID, 0.0, 0.3), 0, 1e-9)


def test_samples_have_their_energies_in_the_middle(calculation):
    energies = np.arange(-12, 10, 0.05)
    samples = sampled_dos(calculation, energies)
    dos = GriddedDOS.from_samples(ATOMS, energies, samples, smearing=0.1)
    expected = density_of_states(
        calculation.eigenvalues, calculation.kpoint_weights, GRID, 0.3
    )
    np.testing.assert_allclose(dos.on_grid(GRID, 0.0, 0.3), expected, 0, 1e-3)


def test_wider_than_asked(calculation):
    with pytest.raises(ValueError, match=r"expected at least the 0.4 eV .* got 0.3 eV"):
        gridded(calculation, own=0.4).on_grid(GRID, 0.0, 0.3)
    # Steps are a width, too: sqrt(1/12) of 1.2 eV.
    coarse = gridded(calculation, own=0.0, step=1.2)
    with pytest.raises(ValueError, match=r"at least the 0.346 eV"):
        coarse.on_grid(GRID, 0.0, 0.3)


def test_the_target(calculation):
    dos = gridded(calculation, end=calculation.complete)
    for reference in ("raw", "fermi", "neutral"):
        spec = TargetSpec.covering([calculation], reference=reference)
        expected, mask = spec.dos_and_mask(calculation)
        found, found_mask = spec.dos_and_mask(dos)
        # The neutral level of smeared states in bins is off by some meV.
        tolerance = 2e-2 if reference == "neutral" else 2e-3
        np.testing.assert_allclose(found, expected, 0, tolerance * expected.max())
        assert mask.any()
        assert (mask != found_mask).sum() <= (reference == "neutral")


def test_the_neutral_level(calculation):
    # States that are smeared twice would give 0.04 eV less.
    expected = reference_energy(calculation, "neutral")
    found = reference_energy(gridded(calculation, own=0.25), "neutral")
    assert found == pytest.approx(expected, abs=1e-3)


def test_both_channels(calculation):
    spec = TargetSpec.covering([calculation], spin_resolved=True)
    expected, found = spec.row(calculation)[0], spec.row(gridded(calculation))[0]
    np.testing.assert_allclose(found, expected, 0, 2e-3 * expected.max())
    up, down = np.split(found, 2)
    assert np.abs(up - down).max() > 0.1


def test_where_it_begins_and_ends(calculation):
    dos = gridded(calculation, own=0.0, step=0.01)
    assert dos.lowest == pytest.approx(calculation.lowest, abs=0.011)  # a bin
    # Four bands of each channel are not trusted, which is more than enough here.
    ends = [np.sort(each.ravel())[-80] for each in calculation.eigenvalues]
    assert dos.complete == pytest.approx(min(ends), abs=0.011)
    assert dos.complete < calculation.complete
    cut = gridded(calculation, last=3.0)
    assert cut.complete == pytest.approx(3.0, abs=0.05)
    known = gridded(calculation, end=calculation.complete)
    assert known.complete == calculation.complete
    beyond = gridded(calculation, last=3.0, end=5.0)
    assert beyond.complete == pytest.approx(3.0, abs=0.05)


def test_electrons(calculation):
    assert missing_electrons(gridded(calculation)) == 0
    wrong = calculation.n_electrons - 3
    off = missing_electrons(gridded(calculation, own=0.0, step=0.01, n_electrons=wrong))
    assert off == pytest.approx(-3, abs=0.06)  # the state of one k-point
    assert missing_electrons(gridded(calculation, n_electrons=None)) is None
    # Its edges are smeared, so that it has no highest occupied state.
    assert highest_occupied(gridded(calculation)) is None
    with pytest.raises(ValueError, match="expected one for the reference 'vbm'"):
        reference_energy(gridded(calculation), "vbm")


@pytest.mark.parametrize(
    ("edges", "states", "smearing", "message"),
    [
        ([0, 1, 2], [[0, 1, 1]], 0.1, "expected 1 or 2 spin channels on 2 energies"),
        ([0, 1, 2], [[0, 1]] * 3, 0.1, "expected 1 or 2 spin channels"),
        ([0, 2, 1], [[0, 1]], 0.1, "expected increasing numbers"),
        ([0, 1, 2], [[0, 1], [0, -1]], 0.1, "expected states in every spin channel"),
        ([0, 1, 2], [[0.5, 1]], 0.1, r"no states at its first energy, 0 eV, got 0.5"),
        ([0, 1, 2], [[0, 1]], -0.1, "expected the standard deviation"),
        ([0, 1, 2], [[0, 1]], None, "expected the standard deviation"),
        ([0, 1, np.inf], [[0, 1]], 0.1, "energies: expected finite numbers"),
    ],
)
def test_what_is_refused(edges, states, smearing, message):
    with pytest.raises(ValueError, match=message):
        GriddedDOS(ATOMS, np.array(edges), np.array(states), smearing)


def test_samples_that_do_not_fit():
    with pytest.raises(ValueError, match=r"a value at each of 3 energies.*\(1, 2\)"):
        GriddedDOS.from_samples(ATOMS, np.arange(3.0), np.array([0, 1]), smearing=0.1)
