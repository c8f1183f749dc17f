"""Find the operations that leave a lattice, or a structure, as it is."""

from collections.abc import Iterator
from itertools import product

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
    pairs = [images for _, images in operations(atoms, kinds)]
    rows = np.tile(np.arange(len(atoms)), len(pairs))
    links = coo_array((np.ones(len(rows)), (rows, np.concatenate(pairs))))
    return np.asarray(connected_components(links)[1])


def operations(
    atoms: ase.Atoms, kinds: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """
    Iterate over the operations of the space group.

    Of those that differ by a translation of the lattice inside the cell, one is
    enough, unless they are translations themselves.

    :param atoms: periodic structure
    :param kinds: kind of each atom, ``(atoms,)``; atoms move to others of their kind
    :return: rotation of rows of fractional coordinates, ``(3, 3)``, and number of the
        atom that each atom comes to, ``(atoms,)``
    """
    reduced, change = minkowski_reduce(atoms.cell.array)
    cell = np.asarray(reduced)
    places = np.linalg.solve(cell.T, atoms.positions.T).T % 1 % 1
    tree = KDTree(places, boxsize=1)
    reach = PRECISION / np.linalg.norm(cell, axis=1).min()
    names, counts = np.unique(kinds, return_counts=True)
    rare = np.flatnonzero(kinds == names[counts.argmin()])
    for rotation in lattice_rotations(cell):
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
                # From the reduced cell to that of the structure
                yield np.rint(np.linalg.solve(change, rotation @ change)), images
                if not np.array_equal(rotation, np.eye(3)):
                    break


def lattice_rotations(cell: np.ndarray) -> np.ndarray:
    """
    Find the operations that leave a lattice as it is.

    :param cell: lattice vectors, ``(3, 3)``, Å; if they are not the shortest ones, some
        operations may be missing
    :return: rotations of rows of fractional coordinates, ``(operations, 3, 3)``
    """
    # New vectors of a reduced cell are sums and differences of the old ones.
    vectors = np.array(list(product((-1, 0, 1), repeat=3)))
    metric = cell @ cell.T
    dots = vectors @ metric @ vectors.T
    allowed = 2 * PRECISION * np.sqrt(metric.diagonal().max())
    alike = (
        np.flatnonzero(np.abs(dots.diagonal() - length) < allowed)
        for length in metric.diagonal()
    )
    first, second, third = np.meshgrid(*alike, indexing="ij")
    fits = np.abs(dots[first, second] - metric[0, 1]) < allowed
    fits &= np.abs(dots[first, third] - metric[0, 2]) < allowed
    fits &= np.abs(dots[second, third] - metric[1, 2]) < allowed
    return vectors[np.stack([first[fits], second[fits], third[fits]], axis=-1)]
