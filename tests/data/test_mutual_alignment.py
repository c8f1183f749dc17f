"""Zeros at which the DOS of structures of one composition agree."""

import ase
import numpy as np
import pytest

from metatrain_dos.data.calculation import Calculation
from metatrain_dos.data.gridded_dos import GriddedDOS
from metatrain_dos.data.mutual_alignment import counted_from, mutual_zeros


SMEARING = 0.3
CLOSE = 0.03  # eV, a third of a step


def free_electrons(zero, *, bands=20, atoms=1):
    """Make a metal whose DOS grows as a root, so that its end is its highest point."""
    n = np.arange(1, 60 * bands + 1)
    energies = (n / 60) ** (2 / 3) * 2.0
    return calculation(energies.reshape(bands, 60).T, zero, atoms)


def molecule(zero, levels=(-18.0, -9.0, -7.5, -6.0, 2.0, 3.0)):
    return calculation(np.array([levels]), zero, 1)


def calculation(bands, zero, atoms):
    bands = np.concatenate([bands] * atoms, axis=-1)
    return Calculation(
        atoms=ase.Atoms(f"Na{atoms}", np.arange(3.0 * atoms).reshape(-1, 3)),
        eigenvalues=np.sort(bands)[None] + zero,
        kpoint_weights=np.full(len(bands), 2 / len(bands)),
    )


def on_grid(calculation, step=0.02):
    """Put the states on a grid."""
    energies, states = calculation.levels
    edges = np.arange(energies.min() - 0.5, energies.max() + 0.5, step)
    counts, _ = np.histogram(energies, edges, weights=states)
    return GriddedDOS(calculation.atoms, edges, counts[None], 0.0)


@pytest.mark.parametrize("make", [free_electrons, molecule])
def test_agree(make):
    moves = [0.7, -3.15, 2.23, 0.05]
    unknown = [np.nan] * len(moves)
    zeros = mutual_zeros([make(move) for move in moves], unknown, SMEARING)
    # the first stays where it is
    np.testing.assert_allclose(zeros, np.subtract(moves, moves[0]), atol=CLOSE)


def test_a_dos_that_ends_elsewhere():
    """The highest points of the DOS of metals do not attract each other."""
    several = [free_electrons(1.0), free_electrons(-2.0, bands=12)]
    zeros = mutual_zeros(several, [np.nan, np.nan], SMEARING)
    np.testing.assert_allclose(zeros, [0.0, -3.0], atol=CLOSE)
    zeros = mutual_zeros(several[::-1], [np.nan, np.nan], SMEARING)
    np.testing.assert_allclose(zeros, [0.0, 3.0], atol=CLOSE)


def test_between_steps():
    """Most levels agree, and the lowest one, at which the steps begin, does not."""
    several = [molecule(0.0), molecule(2.0, (-18.05, -9.0, -7.5, -6.0, 2.0, 3.0))]
    zeros = mutual_zeros(several, [np.nan, np.nan], SMEARING)
    np.testing.assert_allclose(zeros, [0.0, 2.0], atol=CLOSE)


def test_known_zeros_are_kept_and_others_follow():
    several = [molecule(1.0), molecule(5.0), molecule(-2.0)]
    zeros = mutual_zeros(several, [1.5, 5.5, np.nan], SMEARING)
    np.testing.assert_allclose(zeros, [1.5, 5.5, -1.5], atol=CLOSE)


def test_sizes_of_cells_do_not_matter():
    several = [free_electrons(0.0, atoms=4), free_electrons(2.0)]
    zeros = mutual_zeros(several, [np.nan, np.nan], SMEARING)
    np.testing.assert_allclose(zeros, [0.0, 2.0], atol=CLOSE)


def test_phases():
    """A structure follows the one that it is like, not the first."""
    several = [
        *(free_electrons(0.0), molecule(0.0)),
        *(molecule(3.0), free_electrons(-4.0)),
    ]
    zeros = mutual_zeros(several, [0.0, 0.0, np.nan, np.nan], SMEARING)
    np.testing.assert_allclose(zeros, [0.0, 0.0, 3.0, -4.0], atol=CLOSE)


def test_dos_on_a_grid():
    several = [free_electrons(0.0), on_grid(free_electrons(1.3))]
    zeros = mutual_zeros(several, [np.nan, np.nan], SMEARING)
    np.testing.assert_allclose(zeros, [0.0, 1.3], atol=CLOSE)


def test_counted_from():
    states = molecule(0.0)
    on_axis = GriddedDOS(states.atoms, np.arange(4.0), [[0, 1.0, 0]], 0.1, 2.0, None, 3)
    moved = counted_from(on_axis, 0.5)
    np.testing.assert_allclose(moved.edges, np.arange(4.0) - 0.5)
    assert (moved.fermi_level, moved.end) == (1.5, 2.5)
    assert counted_from(states, 2.0).lowest == states.lowest - 2.0
    assert counted_from(states, 0.0) is states
