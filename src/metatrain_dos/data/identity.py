r"""
Recognise equal structures and near relatives, in a time linear in their number.

A structure becomes a short vector, its *fingerprint*: sums over its atoms of smooth
periodic functions of their fractional coordinates, combined with fixed random weights,
and a combination of the lengths and angles of its cell. The order of atoms, lattice
translations and rotations of the whole change nothing. A displacement of one atom by
1 Å changes each number by about 1 Å. Fingerprints are compared by rounding them in
several grids that are shifted by half a cell, so that no pair is separated by the edge
of a cell in all of them.
"""

import hashlib
from itertools import product

import ase
import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components


PROJECTIONS = 8
SIZE = 2 + PROJECTIONS
"""Numbers of a fingerprint: hash of the composition, number of atoms, projections."""

SAME = 2e-3
"""
Largest difference of a number in the fingerprints of equal structures, Å.

Printed positions and cells differ by some 1e-6 Å per atom, while the displacement of
one atom in a calculation of phonons is 0.01 Å or more.
"""

SIMILAR = 0.5
"""
Root mean square difference of the fingerprints of relatives, per root of the atoms, Å.

Random displacements contribute their standard deviation (0.1 to 0.3 Å in thermal
motion), unrelated structures of one composition about 1 Å.
"""

# Edge of the box for axes that are not periodic, Å.
BOX = 20.0

# Cells change by less than positions for the same change of the bands.
CELL_WEIGHT = 3.0

# Dimensions in which fingerprints are rounded; the others only have to agree.
HASHED = 3

# Structures in one cell of the rounding grid that others are compared with.
MOST_LEADERS = 64

_rng = np.random.default_rng(20251125)
_waves = np.array([g for g in product(range(-2, 3), repeat=3) if g > (0, 0, 0)])
_wave_weights = _rng.normal(size=(2 * len(_waves), PROJECTIONS)) / np.sqrt(len(_waves))
_cell_weights = _rng.normal(size=(6, PROJECTIONS)) / np.sqrt(6)
_element_weights = 0.75 + 0.5 * _rng.random(120)


def fingerprint(atoms: ase.Atoms) -> np.ndarray:
    """
    Compute the fingerprint of a structure.

    :param atoms: structure; cell vectors of axes that are not periodic do not count
    :return: fingerprint, ``(SIZE,)``
    """
    numbers, counts = np.unique(atoms.numbers, return_counts=True)
    content = f"{atoms.pbc.tolist()} {numbers.tolist()} {counts.tolist()}"
    digest = hashlib.sha256(content.encode()).digest()
    composition = int.from_bytes(digest[:6], "little")  # exact in double precision

    cell = atoms.cell.copy()
    cell[~(atoms.pbc & cell.any(axis=1))] = 0.0
    metric = cell.array @ cell.array.T
    lengths = np.sqrt(np.diag(metric))
    box = cell.complete()
    box[lengths == 0] *= BOX
    # Of each pair of axes: a . b / sqrt(|a| |b|), a length that is 0 at 90 degrees.
    i, j = [0, 0, 1], [1, 2, 2]
    scale = np.sqrt(np.maximum(lengths[i] * lengths[j], 1e-12))
    shape = np.concatenate([lengths, metric[i, j] / scale])

    fractional = np.linalg.solve(box.array.T, atoms.positions.T).T
    phases = 2 * np.pi * fractional @ _waves.T
    # Divided by its wave number, each wave changes by 1 Å where an atom moves 1 Å.
    wave_numbers = np.linalg.norm(_waves @ np.linalg.inv(box.array).T, axis=1)
    amplitudes = np.concatenate([np.cos(phases), np.sin(phases)], axis=1) / np.tile(
        2 * np.pi * wave_numbers, 2
    )
    summed = _element_weights[atoms.numbers] @ amplitudes
    projections = summed @ _wave_weights
    projections += CELL_WEIGHT * np.sqrt(len(atoms)) * shape @ _cell_weights
    return np.concatenate([[composition, len(atoms)], projections])


def same_structures(fingerprints: np.ndarray) -> np.ndarray:
    """
    Number structures so that equal ones have the same number.

    :param fingerprints: fingerprints, ``(structures, SIZE)``
    :return: number of each structure, ``(structures,)``
    """
    return _cluster(fingerprints[:, 0], fingerprints[:, 2:], SAME, np.inf)


def families(fingerprints: np.ndarray, sources: np.ndarray | None = None) -> np.ndarray:
    """
    Number structures so that near relatives have the same number.

    Relatives are similar to each other, or come from one source, as the steps of a
    trajectory do.

    :param fingerprints: fingerprints, ``(structures, SIZE)``
    :param sources: number of the run of each structure, ``(structures,)``
    :return: number of each structure's family, ``(structures,)``
    """
    points = fingerprints[:, 2:] / np.sqrt(fingerprints[:, 1:2])
    radius = SIMILAR * np.sqrt(PROJECTIONS)
    found = _cluster(fingerprints[:, 0], points, radius, 2)
    if len(found) == 0:
        return found
    # Neighbours in a file are linked one by one: trajectories drift.
    near = np.linalg.norm(np.diff(points, axis=0), axis=1) < radius
    near &= np.diff(fingerprints[:, 0]) == 0
    chains = np.concatenate([[0], np.cumsum(~near)])
    found = join_groups(found, chains)
    return found if sources is None else join_groups(found, sources)


def _cluster(
    keys: np.ndarray, points: np.ndarray, radius: float, norm: float
) -> np.ndarray:
    """Number points so that those with equal keys, and within a radius, are linked."""
    links = []
    _, key = np.unique(keys, return_inverse=True)
    for shift in product((0.0, 0.5), repeat=HASHED):
        cells = np.floor(points[:, :HASHED] / (2 * radius) + shift).astype(np.int64)
        columns = (*cells.T, key)
        order = np.lexsort(columns)
        changes = np.any([np.diff(each[order]) != 0 for each in columns], axis=0)
        cell = np.concatenate([[0], np.cumsum(changes)])[: len(order)]
        members = order
        for _ in range(MOST_LEADERS):
            starts = np.flatnonzero(np.diff(cell, prepend=-1))
            sizes = np.diff(starts, append=len(cell))
            leaders = np.repeat(members[starts], sizes)
            several = np.repeat(sizes > 1, sizes)
            if not several.any():
                break
            members, cell, leaders = members[several], cell[several], leaders[several]
            differences = points[members] - points[leaders]
            near = np.linalg.norm(differences, norm, axis=1) <= radius
            links.append((leaders[near], members[near]))
            members, cell = members[~near], cell[~near]
    return _components(len(points), links)


def _components(number: int, links: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Number nodes so that linked ones have the same number."""
    ends = np.concatenate([np.empty((2, 0), np.int64), *map(np.stack, links)], axis=1)
    graph = coo_matrix((np.ones(ends.shape[1], bool), ends), (number, number))
    return np.asarray(connected_components(graph, directed=False)[1])


def stable_keys(fingerprints: np.ndarray, *, alike: bool) -> np.ndarray:
    """
    Hash structures so that equal ones have the same hash.

    :param fingerprints: fingerprints, ``(structures, SIZE)``
    :param alike: whether most near relatives have the same hash, too
    :return: hashes, ``(structures,)``, uint64
    """
    points, width = fingerprints[:, 2:], 20 * SAME
    if alike:
        points, width = points / np.sqrt(fingerprints[:, 1:2]), 2 * SIMILAR
    rounded = np.round(points[:, :HASHED] / width).astype(np.int64)
    keys = fingerprints[:, 0].astype(np.uint64)
    for column in rounded.T.astype(np.uint64):
        keys = (keys ^ column) * np.uint64(0x100000001B3)  # as FNV-1a does
    return keys


def join_groups(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Join the groups of two numberings that share a structure; number the results."""
    links = []
    for groups in (one, other):
        _, first, group = np.unique(groups, return_index=True, return_inverse=True)
        links.append((np.arange(len(one)), first[group]))
    return _components(len(one), links)
