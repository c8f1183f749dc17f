"""Equal structures, and near relatives."""

import time

import ase
import numpy as np
import pytest
from ase.build import bulk, molecule

from metatrain_dos.data.identity import (
    SIZE,
    families,
    fingerprint,
    join_groups,
    same_structures,
    stable_keys,
)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def rattled(atoms, size, rng, strain=0.0):
    atoms = atoms.copy()
    shape = np.eye(3) + strain * rng.normal(size=(3, 3))
    atoms.set_cell(atoms.cell.array @ shape, scale_atoms=True)
    atoms.positions += rng.normal(scale=size, size=(len(atoms), 3))
    return atoms


def same_as_first(*structures):
    numbers = same_structures(np.stack([fingerprint(each) for each in structures]))
    return [number == numbers[0] for number in numbers[1:]]


def test_what_changes_nothing(rng):
    atoms = rattled(bulk("NaCl", "rocksalt", 5.6).repeat((2, 2, 1)), 0.1, rng)
    shuffled = atoms[rng.permutation(len(atoms))]
    moved = atoms.copy()
    moved.positions += rng.integers(-3, 4, (len(atoms), 3)) @ atoms.cell.array
    rotated = atoms.copy()
    rotated.rotate(50, (1, 2, 3), rotate_cell=True)
    printed = atoms.copy()  # as pw.x and VASP print
    printed.positions = np.round(printed.positions, 6)
    assert same_as_first(atoms, shuffled, moved, rotated, printed) == [True] * 4


def test_what_changes_the_structure(rng):
    atoms = rattled(bulk("NaCl", "rocksalt", 5.6).repeat(3), 0.1, rng)
    displaced = atoms.copy()
    displaced.positions[7, 0] += 0.01  # as phonopy displaces
    other = atoms.copy()
    other.positions[9, 0] += 0.01
    strained = atoms.copy()
    strained.set_cell(atoms.cell.array * 1.001, scale_atoms=True)
    swapped = atoms.copy()
    swapped.numbers[:2] = swapped.numbers[1::-1]
    isolated = atoms.copy()
    isolated.pbc = False
    structures = displaced, other, strained, swapped, isolated
    assert same_as_first(atoms, *structures) == [False] * 5
    # Both have one atom displaced in the same way.
    assert same_as_first(displaced, other) == [False]


def test_the_box_of_a_molecule_does_not_count():
    water = molecule("H2O")
    boxed = water.copy()
    boxed.cell = [12, 13, 14]
    assert same_as_first(water, boxed) == [True]


def test_no_edge_of_rounding_splits_twins(rng):
    """Twins differ by rounding, wherever they are relative to the rounding grid."""
    points = np.zeros((4000, SIZE))
    points[:, 1] = 2
    points[:2000, 2:] = rng.uniform(-50, 50, (2000, SIZE - 2))
    points[2000:] = points[:2000]
    points[2000:, 2:] += rng.uniform(-1e-4, 1e-4, (2000, SIZE - 2))
    numbers = same_structures(points)
    np.testing.assert_array_equal(numbers[:2000], numbers[2000:])
    assert len(set(numbers)) == 2000


def test_families(rng):
    prototypes = [
        bulk("Si", "diamond", 5.43),
        bulk("Si", "sc", 2.6).repeat((2, 1, 1)),
        bulk("Si", "bcc", 3.1, cubic=True),
        molecule("Si2H6"),
    ]
    structures = [
        rattled(each, 0.1, rng, strain=0.01) for each in prototypes for _ in range(12)
    ]
    numbers = families(np.stack([fingerprint(each) for each in structures]))
    numbers = numbers.reshape(4, 12)
    assert all(len(set(row)) == 1 for row in numbers)
    assert len(set(numbers[:, 0])) == 4


def test_a_trajectory_is_one_family(rng):
    atoms = bulk("Cu", "fcc", 3.6).repeat(2)
    frames = []
    for _ in range(60):  # far away from where it began
        atoms = rattled(atoms, 0.15, rng)
        frames.append(atoms)
    points = np.stack([fingerprint(each) for each in frames])
    assert len(set(families(points))) == 1
    # Steps of one run stay together even where most are missing.
    far = points[[0, 59]]
    assert len(set(families(far))) == 2
    assert len(set(families(far, np.array([5, 5])))) == 1


def test_keys(rng):
    atoms = [bulk("Si"), bulk("Ge"), rattled(bulk("Si"), 0.2, rng)]
    points = np.stack([fingerprint(each) for each in [*atoms, atoms[0]]])
    exact = stable_keys(points, alike=False)
    assert len(set(exact)) == 3 and exact[0] == exact[3]
    alike = stable_keys(points, alike=True)
    assert alike[0] == alike[3] != alike[1]


def test_join_groups():
    joined = join_groups(np.array([0, 0, 1, 2, 3]), np.array([4, 5, 5, 6, 7]))
    assert joined[0] == joined[1] == joined[2]
    assert len(set(joined)) == 3


def test_none():
    assert len(same_structures(np.empty((0, SIZE)))) == 0
    assert len(families(np.empty((0, SIZE)))) == 0


def test_time_is_linear(rng):
    """Ten times the structures, some of them alike, take less than 40 times as long."""
    seconds = []
    for number in (3000, 30_000):
        points = np.zeros((number, SIZE))
        points[:, 1] = 4
        points[:, 2:] = rng.uniform(-20, 20, (number, SIZE - 2))
        points[number // 2 :, 2:] = rng.normal(scale=0.2, size=(number // 2, SIZE - 2))
        begin = time.process_time()
        families(points)
        same_structures(points)
        seconds.append(time.process_time() - begin)
    assert seconds[1] < 40 * seconds[0]


def test_single_atoms():
    atom = ase.Atoms("H", cell=[4, 4, 4], pbc=True)
    assert same_as_first(atom, bulk("H", "sc", 4)) == [True]
