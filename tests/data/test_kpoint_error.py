"""Tests of the error that a k-point grid leaves in a density of states."""

import numpy as np
import pytest
import spglib.error
from ase import Atoms
from ase.build import bulk

from metatrain_dos.data.calculation import Calculation
from metatrain_dos.data.dos import density_of_states, trusted_limit
from metatrain_dos.data.grid import EnergyGrid
from metatrain_dos.data.kpoint_error import full_grid, kpoint_error


# It warns of its former way to report errors otherwise.
spglib.error.OLD_ERROR_HANDLING = False

TRIGONAL = Atoms(
    # The lattice has sixfold axes, the structure has not.
    "Si3",
    scaled_positions=[[0.4, 0, 0], [0, 0.4, 1 / 3], [0.6, 0.6, 2 / 3]],
    cell=[4, 4, 5, 90, 90, 120],
    pbc=True,
)
LAYERED = Atoms(
    # The lattice is cubic, and so are the positions, but not the elements.
    "Cu2Au2",
    scaled_positions=[[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
    cell=[4, 4, 4],
    pbc=True,
)


def mesh(size, shift=(0, 0, 0)):
    """All points of a regular grid, ``(points, 3)``."""
    axes = [(np.arange(n) + 0.5 * s) / n for n, s in zip(size, shift, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)


def stars(atoms):
    """Rotations of the structure with time reversal, ``(operations, 3, 3)``."""
    cell = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
    rotations = spglib.get_symmetry(cell)["rotations"]
    return np.concatenate([rotations, -rotations])


def bands(atoms, kpoints):
    """Two bands that have the symmetry of a structure, and no other, in eV."""
    energies = 0
    for vector, height in (((1, 0, 0), 1.5), ((1, 1, 0), 0.7), ((1, 2, 1), 0.4)):
        images = stars(atoms) @ np.array(vector)
        energies += height * np.cos(2 * np.pi * kpoints @ images.T).mean(axis=1)
    return np.stack([-2 - energies, 2 + 0.5 * energies], axis=-1)


def calculate(atoms, size, shift=(0, 0, 0), is_reduced=False):
    """Make a calculation on a grid, all of it or one point of each star."""
    kpoints = mesh(size, shift)
    weights = np.full(len(kpoints), 2 / len(kpoints))
    if is_reduced:
        cell = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
        mapping, points = spglib.get_ir_reciprocal_mesh(size, cell, is_shift=shift)
        chosen, counts = np.unique(mapping, return_counts=True)
        kpoints = (points[chosen] + 0.5 * np.array(shift)) / size
        weights = 2 * counts / counts.sum()
    return Calculation(atoms, bands(atoms, kpoints)[None], weights, kpoints=kpoints)


def change(coarse, fine, smearing):
    """Difference of two densities of states, as a fraction of the second."""
    last = trusted_limit(coarse.eigenvalues, 3 * smearing)
    grid = EnergyGrid.covering(coarse.lowest - 3 * smearing, last, smearing / 3)
    one, other = (
        density_of_states(each.eigenvalues[0], each.kpoint_weights, grid, smearing)
        for each in (coarse, fine)
    )
    return np.linalg.norm(one - other) / np.linalg.norm(other)


@pytest.mark.parametrize("size", [(4, 4, 4), (6, 5, 4), (8, 8, 8), (6, 6, 1)])
@pytest.mark.parametrize("smearing", [0.1, 0.3])
def test_is_about_the_difference_from_a_dense_grid(size, smearing):
    atoms = bulk("Cu")
    dense = tuple(1 if points == 1 else 24 for points in size)
    coarse, fine = calculate(atoms, size), calculate(atoms, dense)
    error = kpoint_error(coarse, smearing)
    ratio = error / change(coarse, fine, smearing)
    # A spline does not know the bands between the points.
    assert 0.5 < ratio < 2


@pytest.mark.parametrize(
    ("atoms", "size", "shift"),
    [
        (bulk("Cu"), (4, 4, 4), (0, 0, 0)),
        (bulk("Cu", cubic=True), (4, 4, 4), (1, 1, 1)),
        (bulk("Si"), (3, 3, 3), (0, 0, 0)),
        (bulk("Mg"), (4, 4, 2), (0, 0, 1)),
        (TRIGONAL, (4, 4, 3), (0, 0, 0)),
        (LAYERED, (4, 4, 4), (0, 0, 0)),
        (bulk("Cu", cubic=True), (4, 4, 1), (0, 0, 0)),
    ],
)
def test_finds_all_points_of_a_reduced_grid(atoms, size, shift):
    found = full_grid(calculate(atoms, size, shift, is_reduced=True))
    expected = calculate(atoms, size, shift).eigenvalues.reshape(*size, 2)
    # The first point that is given need not be the first of the axes.
    assert found.shape == (1, *size, 2)
    np.testing.assert_allclose(
        np.sort(found.reshape(-1, 2), axis=0),
        np.sort(expected.reshape(-1, 2), axis=0),
        atol=1e-12,
    )
    np.testing.assert_allclose(
        # Neighbours are neighbours: the same steps along each axis, in some order
        *[
            np.sort(np.abs(np.diff(grid, axis=0, append=grid[:1])), axis=None)
            for grid in (found[0], expected)
        ],
        atol=1e-12,
    )


def test_reduced_grid_has_the_error_of_the_full_one():
    full, reduced = (
        calculate(TRIGONAL, (4, 4, 3), is_reduced=reduced) for reduced in (False, True)
    )
    # All bands are the same; sums of Gaussians differ by their precision.
    assert kpoint_error(reduced, 0.3) == pytest.approx(
        kpoint_error(full, 0.3), rel=1e-3
    )


def test_counts_both_spin_channels():
    one = calculate(bulk("Cu"), (4, 4, 4))
    two = Calculation(
        one.atoms,
        np.concatenate([one.eigenvalues, one.eigenvalues]),
        one.kpoint_weights / 2,
        kpoints=one.kpoints,
    )
    assert kpoint_error(two, 0.3) == pytest.approx(kpoint_error(one, 0.3), rel=1e-12)


def test_many_bands_are_taken_in_pieces(monkeypatch):
    calculation = calculate(bulk("Cu"), (4, 4, 4))
    whole = kpoint_error(calculation, 0.3)
    monkeypatch.setattr("metatrain_dos.data.kpoint_error.MOST_STATES", 1)
    assert kpoint_error(calculation, 0.3) == pytest.approx(whole, rel=1e-12)


def test_is_unknown_without_a_regular_grid():
    atoms = bulk("Cu")
    grid = calculate(atoms, (4, 4, 4))
    random = np.random.default_rng(0).random((20, 3))
    flat = np.full(20, 0.1)
    for kpoints, weights in ((random, flat), (None, flat), (np.zeros((1, 3)), [2.0])):
        points = random if kpoints is None else kpoints
        calculation = Calculation(
            atoms, bands(atoms, points)[None], np.array(weights), kpoints=kpoints
        )
        assert kpoint_error(calculation, 0.3) is None
    # Bands end before the DOS can be trusted anywhere.
    assert kpoint_error(grid, 5.0) is None
