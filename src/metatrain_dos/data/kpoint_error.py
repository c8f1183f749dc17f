"""
Estimate how far a density of states is from that of a finer k-point grid.

The bands of a regular grid are interpolated by periodic cubic splines to one that is
twice as fine along each axis. The density of states changes by about as much as it
would with the computed bands of a far finer grid.
"""

import math
from functools import cache
from itertools import product

import numpy as np
from scipy.interpolate import CubicSpline

from .calculation import Calculation
from .defaults import TRUST_MARGIN
from .dos import sum_of_gaussians
from .grid import EnergyGrid
from .readers._grids import ROUNDING, mesh_size
from .symmetry import lattice_rotations, operations


# Of the distance of two energies to the smearing: fine enough for an RMS.
SPACING = 1 / 3
# Of the sum of Gaussians.
PRECISION = 1e-2
# Gaussians have fallen to 1e-5 of their height there, in units of the smearing.
MARGIN = 5.0
# Range that is compared, in units of the smearing: deeper states have no dispersion.
WIDEST = 3000.0
# Interpolated states at a time.
MOST_STATES = 1_000_000


def kpoint_error(calculation: Calculation, smearing: float) -> float | None:
    """
    Estimate the error of a density of states that its k-points leave.

    :param calculation: calculation, whose k-points are known
    :param smearing: standard deviation of the Gaussians, eV
    :return: RMS error from the lowest state to three smearings below the end of the
        bands, as a fraction of the RMS size of the density of states; ``None`` if it
        cannot be estimated, because the k-points are not known, are one alone, or are
        no regular grid
    """
    bands = full_grid(calculation)
    if bands is None or bands[0, ..., 0].size == 1:
        return None
    last = calculation.complete - TRUST_MARGIN * smearing
    if last <= calculation.lowest:
        return None
    first = max(calculation.lowest - MARGIN * smearing, last - WIDEST * smearing)
    # Bands that begin beyond the last energy do not count.
    reach = last + MARGIN * smearing
    used = int(np.searchsorted(bands.min(axis=(0, 1, 2, 3)), reach))
    grid = EnergyGrid.covering(first, last, SPACING * smearing)
    total = np.zeros(grid.size)
    change = np.zeros(grid.size)
    # Each point of the finer grid counts, less the points of the grid itself.
    steps = [1 if size == 1 else 2 for size in bands.shape[1:4]]
    weights = np.ones(np.multiply(bands.shape[1:4], steps))
    weights[tuple(slice(None, None, step) for step in steps)] -= math.prod(steps)
    at_a_time = max(1, MOST_STATES // weights.size)
    for start in range(0, used, at_a_time):
        own = bands[..., start : min(used, start + at_a_time)]
        for energies, each, result in (
            (own, np.ones(own.shape[1:4]), total),
            (refine(own), weights / math.prod(steps), change),
        ):
            result += sum_of_gaussians(
                energies.ravel(),
                np.broadcast_to(each[..., None], energies.shape).ravel(),
                grid,
                smearing,
                precision=PRECISION,
            )
    return float(np.linalg.norm(change) / np.linalg.norm(total))


def full_grid(calculation: Calculation) -> np.ndarray | None:
    """
    Arrange bands on the regular grid that symmetry has reduced.

    Points that are not in the calculation have the bands of those that time reversal or
    a rotation of the structure maps them to.

    :param calculation: calculation
    :return: bands, ``(spin channels, points along each of three axes, bands)``, eV;
        ``None`` if its k-points are not known or are no regular grid
    """
    if calculation.kpoints is None:
        return None
    points = calculation.kpoints
    own = [mesh_size(axis) for axis in (points - points[0]).T]
    if 0 in own:
        return None
    # Symmetry may leave one point of an axis that is equal to another one, or of k, -k.
    others = {
        mesh_size(axis) for axis in (np.concatenate([points, -points]) - points[0]).T
    }
    possible = sorted(
        product(*([n for n in {*own, *others} if n and n % size == 0] for size in own)),
        key=math.prod,
        reverse=True,
    )
    atoms = calculation.atoms
    for find, is_sure in (
        (lambda: np.eye(3)[None], True),
        # Most often right, and soon found
        (lambda: lattice_rotations(atoms.cell.array), False),
        (
            lambda: np.array([each for each, _ in operations(atoms, atoms.numbers)]),
            True,
        ),
    ):
        # The inverse of each is among them, and its transpose is what rotates k.
        rotations = np.swapaxes(find(), 1, 2)
        images = points @ np.concatenate([rotations, -rotations])
        for sizes in possible:
            bands = _filled(calculation, images, sizes, is_sure)
            if bands is not None:
                return bands
    return None


def _filled(
    calculation: Calculation,
    images: np.ndarray,
    sizes: tuple[int, ...],
    is_sure: bool,
) -> np.ndarray | None:
    """
    Arrange bands on a grid, if there is a k-point for each of its points.

    :param images: k-points after each operation, ``(operations, k-points, 3)``
    :param sizes: points of the grid along each axis
    :param is_sure: whether all operations are symmetries of the structure; if not, they
        must not lead from one k-point to another, and weights must count the images
    :return: as :func:`full_grid`
    """
    places = (images - images[0, 0]) * sizes
    # Some operations lead from a shifted grid to points off it.
    on_grid = np.abs(places - np.rint(places)).max(axis=-1) < ROUNDING * max(sizes)
    places = np.rint(places[on_grid]).astype(int) % sizes
    numbers = np.ravel_multi_index(tuple(places.T), sizes)
    owners = np.nonzero(on_grid)[1]
    found, first = np.unique(numbers, return_index=True)
    total = math.prod(sizes)
    if len(found) < total:
        return None
    owner = owners[first]
    if not is_sure:
        weights = calculation.kpoint_weights
        counts = np.bincount(owner, minlength=len(weights))
        is_same = owner[np.searchsorted(found, numbers)] == owners
        right = np.abs(counts - weights * (total / weights.sum())) < 0.01 * counts
        if not (is_same.all() and right.all()):
            return None
    bands = calculation.eigenvalues[:, owner]
    return bands.reshape(len(bands), *sizes, -1)


def refine(bands: np.ndarray) -> np.ndarray:
    """
    Interpolate bands to a grid that is twice as fine along each axis.

    :param bands: bands on a grid, ``(spin channels, points along three axes, bands)``
    :return: the same with twice as many points along each axis that has several
    """
    for axis in (1, 2, 3):
        factor = _spline(bands.shape[axis])
        bands = np.moveaxis(np.tensordot(factor, bands, (1, axis)), 0, axis)
    return bands


@cache
def _spline(size: int) -> np.ndarray:
    """
    Interpolate a periodic function at its points and in the middle between them.

    :param size: number of points in a period
    :return: values at the points -> values of the spline, ``(2 * size, size)``; of one
        point ``(1, 1)``, because nothing is known between it and its image
    """
    if size == 1:
        return np.ones((1, 1))
    values = np.eye(size)[np.arange(size + 1) % size]
    function = CubicSpline(np.arange(size + 1), values, bc_type="periodic")
    return np.asarray(function(np.arange(2 * size) / 2))
