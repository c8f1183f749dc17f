"""Tell grids of k-points from paths, and possible structures from impossible ones."""

from itertools import product

import ase
import numpy as np
from ase.data import covalent_radii
from scipy.spatial import cKDTree

from ..calculation import InputError


# Printed coordinates have seven or more digits.
ROUNDING = 1e-4
# More points than this along an axis are no grid that anybody computes.
LARGEST_MESH = 128
# Operations of the largest point group, time reversal included.
LARGEST_ORBIT = 48
# Share of the points at which a path goes straight on.
STRAIGHT = 0.5

# Atoms are not closer than this share of the sum of their covalent radii, not even
# under the pressures of a planet: hydrogen 0.31 Å, carbon 0.76 Å.
CLOSEST = 0.5


def is_path(kpoints: np.ndarray, weights: np.ndarray) -> bool:
    """
    Tell a path through the Brillouin zone from points that sample all of it.

    Most points of a path continue in the direction of those before, at the same
    distance. So do those of a regular mesh, which are multiples of a fraction along
    each axis, with weights that count symmetric points. Random points do neither.

    :param kpoints: fractional coordinates in the order of the file, ``(k-points, 3)``
    :param weights: their weights, ``(k-points,)``
    :return: whether the points are a path
    """
    steps = np.diff(kpoints, axis=0)
    if len(steps) < 2:
        return False
    straight = np.abs(np.diff(steps, axis=0)).max(axis=1) < ROUNDING
    return bool(straight.mean() >= STRAIGHT) and not _is_mesh(kpoints, weights)


def _is_mesh(kpoints: np.ndarray, weights: np.ndarray) -> bool:
    """Tell whether points are those of a mesh, or those that symmetry leaves of it."""
    from_first = kpoints - kpoints[0]
    sizes = [mesh_size(axis) for axis in from_first.T]
    if max(sizes) == 0 or 0 in sizes:
        return False
    at_gamma = np.abs(kpoints - np.rint(kpoints)).max(axis=1) < ROUNDING
    # Symmetry may leave one point of an axis that is equal to another one.
    possible = [[each for each in sizes if each % own == 0] for own in sizes]
    for size in {np.prod(three) for three in product(*possible)}:
        counts = weights * (size / weights.sum())
        whole = np.abs(counts - np.rint(counts)).max() < 0.01 * max(1, counts.max())
        # No operation moves Gamma, so that it stands for itself alone.
        alone = at_gamma.sum() <= 1 and (np.rint(counts[at_gamma]) == 1).all()
        if whole and alone and counts.min() > 0.5 and counts.max() <= LARGEST_ORBIT:
            return True
    return False


def mesh_size(coordinates: np.ndarray) -> int:
    """Find the fraction that all coordinates are multiples of; 0 if there is none."""
    sizes = np.arange(1, LARGEST_MESH + 1)
    multiples = coordinates[:, None] * sizes
    fits = np.abs(multiples - np.rint(multiples)) < ROUNDING * sizes
    possible = sizes[fits.all(axis=0)]
    return int(possible[0]) if possible.size else 0


def check_distances(atoms: ase.Atoms) -> ase.Atoms:
    """Return a structure, unless two atoms are closer than any bond is long."""
    radii = CLOSEST * covalent_radii[atoms.numbers]
    reach = 2 * radii.max()
    positions, owners = atoms.positions, np.arange(len(atoms))
    periodic = atoms.pbc & (np.abs(atoms.cell.array).max(axis=1) > 0)
    if periodic.any():
        cell = atoms.cell.complete().array
        inverse = np.linalg.inv(cell)
        # in units of the distance between planes of the cell
        margin = reach * np.linalg.norm(inverse, axis=0)
        scaled = positions @ inverse
        scaled[:, periodic] %= 1.0
        counts = np.where(periodic, np.ceil(margin), 0).astype(int)
        images = np.array(list(product(*(range(-n, n + 1) for n in counts))))
        all_scaled = (scaled + images[:, None]).reshape(-1, 3)
        near = ((all_scaled > -margin) & (all_scaled < 1 + margin) | ~periodic).all(1)
        positions = all_scaled[near] @ cell
        owners = np.tile(owners, len(images))[near]
    pairs = cKDTree(positions).query_pairs(reach, output_type="ndarray")
    distances = np.linalg.norm(positions[pairs[:, 0]] - positions[pairs[:, 1]], axis=1)
    shares = distances / radii[owners[pairs]].sum(axis=1)
    if shares.min(initial=1) < 1:
        worst = shares.argmin()
        one, other = owners[pairs[worst]]
        raise InputError(
            "positions: expected atoms at least as far apart as in a bond, got "
            f"{distances[worst]:.3g} Angstrom between atoms {one} "
            f"({atoms.symbols[one]}) and {other} ({atoms.symbols[other]}); leave out "
            "virtual crystals and overlapping structures"
        )
    return atoms
