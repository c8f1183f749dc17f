"""Find the atoms of a crystal that symmetry exchanges."""

import itertools

import ase
import numpy as np
from ase.geometry import minkowski_reduce
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree


# Displacement of atoms that VASP takes for equivalent, and rounding of positions, Å
PRECISION = 1e-4


def equivalent_atoms(atoms: ase.Atoms, kinds: np.ndarray) -> np.ndarray:
    """
    Find the atoms that the operations of the space group exchange.

    :param atoms: periodic structure
    :param kinds: kind of each atom, ``(atoms,)``; only atoms of one kind are equivalent
    :return: a number for each atom, which equivalent ones share, ``(atoms,)``
    """
    cell = np.asarray(minkowski_reduce(atoms.cell.array)[0])
    places = np.linalg.solve(cell.T, atoms.positions.T).T % 1 % 1
    tree = KDTree(places, boxsize=1)
    reach = PRECISION / np.linalg.norm(cell, axis=1).min()
    names, counts = np.unique(kinds, return_counts=True)
    rare = np.flatnonzero(kinds == names[counts.argmin()])
    pairs = []
    for rotation in _rotations(cell):
        rotated = places @ rotation
        shifts = places[rare] - rotated[rare[0]]
        # Most of them fail with the first atoms already.
        _, images = tree.query(
            (rotated[:4] + shifts[:, None]) % 1 % 1, distance_upper_bound=reach
        )
        for shift in shifts[(images < len(atoms)).all(axis=1)]:
            _, images = tree.query(
                (rotated + shift) % 1 % 1, distance_upper_bound=reach
            )
            # Where there is no atom, its number is that of all atoms.
            if images.max() < len(atoms) and (kinds[images] == kinds).all():
                pairs.append(images)
                if not np.array_equal(rotation, np.eye(3)):
                    break  # the others are this one and a translation
    rows = np.tile(np.arange(len(atoms)), len(pairs))
    links = coo_array((np.ones(len(rows)), (rows, np.concatenate(pairs))))
    return np.asarray(connected_components(links)[1])


def _rotations(cell: np.ndarray) -> np.ndarray:
    """Find the operations that leave a lattice as it is, on rows of coordinates."""
    # New vectors of a reduced cell are sums and differences of the old ones.
    vectors = np.array(list(itertools.product((-1, 0, 1), repeat=3)))
    metric = cell @ cell.T
    products = vectors @ metric @ vectors.T
    allowed = 2 * PRECISION * np.sqrt(metric.diagonal().max())
    first, second, third = (
        np.flatnonzero(np.abs(products.diagonal() - length) < allowed)
        for length in metric.diagonal()
    )
    rows = [
        (i, j, k)
        for i, j, k in itertools.product(first, second, third)
        if abs(products[i, j] - metric[0, 1]) < allowed
        and abs(products[i, k] - metric[0, 2]) < allowed
        and abs(products[j, k] - metric[1, 2]) < allowed
    ]
    return vectors[np.array(rows)]
