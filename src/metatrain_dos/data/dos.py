"""Turn eigenvalues into the density of states and the mask a model is trained on."""

import math

import numpy as np

from .calculation import check_finite
from .defaults import DEFAULT_SMEARING as DEFAULT_SMEARING
from .defaults import DEFAULT_TRUST_MARGIN as DEFAULT_TRUST_MARGIN
from .grid import EnergyGrid


# Gaussians are cut where they have fallen to exp(-32), about 1e-14 of their height.
REACH = 8.0
# Largest term of the series that is left out, as a fraction of the height.
SERIES_PRECISION = 1e-13
# Eigenvalues that are added at a time: few enough for the cache of a processor.
PIECE = 8192


def density_of_states(
    eigenvalues: np.ndarray,
    kpoint_weights: np.ndarray,
    grid: EnergyGrid,
    smearing: float = DEFAULT_SMEARING,
) -> np.ndarray:
    r"""
    Compute the density of states of one structure on an energy grid.

    .. math::

        D(E) = \sum_{k,b} w_k \frac{1}{\sigma \sqrt{2 \pi}}
               \exp\left(-\frac{(E - \epsilon_{kb})^2}{2 \sigma^2}\right)

    The sum is not evaluated Gaussian by Gaussian. Every eigenvalue is moved to its
    nearest grid point, and a Taylor series in the distance it was moved by, whose terms
    are Hermite functions, makes up for it to 12 digits. This takes a few passes over
    the eigenvalues whatever the size of the grid.

    :param eigenvalues: energies of the states, ``(..., k-points, bands)``, eV; leading
        axes (spin channels) are kept
    :param kpoint_weights: number of electrons that a band holds at each k-point,
        ``(k-points,)``; the sum is 2 without spin, and 1 for each of two spin channels
    :param grid: energies to evaluate at
    :param smearing: standard deviation :math:`\sigma`, eV
    :return: density of states, ``(..., grid.size)``, states/eV
    :raises ValueError: if shapes do not fit, a number is not finite, or the smearing is
        finer than the grid
    """
    eigenvalues = np.asarray(eigenvalues, dtype=np.float64)
    kpoint_weights = np.atleast_1d(np.asarray(kpoint_weights, dtype=np.float64))
    if eigenvalues.ndim < 2:
        raise ValueError(
            "eigenvalues: expected shape (..., k-points, bands), got "
            f"{eigenvalues.shape}; one k-point needs an axis of length 1"
        )
    if kpoint_weights.shape != eigenvalues.shape[-2:-1]:
        raise ValueError(
            f"kpoint_weights: expected one for each of the {eigenvalues.shape[-2]} "
            f"k-points of the eigenvalues, got shape {kpoint_weights.shape}; check "
            "which axis holds the k-points"
        )
    check_finite("eigenvalues", eigenvalues)
    check_finite("kpoint_weights", kpoint_weights)
    if not (np.isfinite(smearing) and smearing >= grid.spacing):
        raise ValueError(
            "smearing: expected a width in eV that is at least the grid spacing "
            f"({grid.spacing} eV), got {smearing}; narrower peaks would fall between "
            "the points of the grid, so widen the smearing or refine the grid"
        )

    channels = eigenvalues.shape[:-2]
    weights = np.broadcast_to(kpoint_weights[:, None], eigenvalues.shape[-2:]).ravel()
    dos = [
        sum_of_gaussians(energies.ravel(), weights, grid, smearing)
        for energies in eigenvalues.reshape(-1, *eigenvalues.shape[-2:])
    ]
    return np.reshape(dos, (*channels, grid.size))


def trusted_limit(
    eigenvalues: np.ndarray, margin: float = DEFAULT_TRUST_MARGIN
) -> float:
    """
    Find the energy above which states are missing because they were not computed.

    This is the lowest energy that the highest band reaches, in any channel and at any
    k-point, less a margin for the smearing.

    :param eigenvalues: energies of the states, ``(..., k-points, bands)``, eV
    :param margin: distance to keep from the end of the computed bands, eV
    :return: highest trusted energy, eV
    :raises ValueError: if the margin is negative or not finite
    """
    if not (np.isfinite(margin) and margin >= 0):
        raise ValueError(
            f"margin: expected an energy >= 0 in eV, got {margin}; three times the "
            "smearing is a good choice"
        )
    highest_band = np.max(eigenvalues, axis=-1)
    return float(np.min(highest_band) - margin)


def trust_mask(
    eigenvalues: np.ndarray, grid: EnergyGrid, margin: float = DEFAULT_TRUST_MARGIN
) -> np.ndarray:
    """
    Mark the energies where the computed density of states is complete.

    :param eigenvalues: energies of the states, ``(..., k-points, bands)``, eV
    :param grid: energies to mark
    :param margin: distance to keep from the end of the computed bands, eV
    :return: true up to :func:`trusted_limit`, ``(grid.size,)``, bool
    """
    return grid.energies <= trusted_limit(eigenvalues, margin)


def sum_of_gaussians(
    energies: np.ndarray,
    weights: np.ndarray,
    grid: EnergyGrid,
    smearing: float,
    *,
    precision: float = SERIES_PRECISION,
) -> np.ndarray:
    """
    Add up normalised Gaussians on a grid.

    :param energies: their centres, ``(Gaussians,)``, eV
    :param weights: their integrals, ``(Gaussians,)``
    :param grid: energies to evaluate at
    :param smearing: their standard deviation, at least the spacing of the grid, eV
    :param precision: largest error, as a fraction of the height of a Gaussian
    :return: the sum, ``(grid.size,)``, 1/eV
    """
    # Bins lie on the grid and beyond its ends, as far as a Gaussian reaches.
    reach = math.ceil(REACH * smearing / grid.spacing)
    terms = _series_length(0.5 * grid.spacing / smearing, precision)
    binned = np.zeros((terms, grid.size + 2 * reach))
    for start in range(0, len(energies), PIECE):
        position = (energies[start : start + PIECE] - grid.origin) / grid.spacing
        near = (position > -reach - 0.5) & (position < grid.size - 0.5 + reach)
        position, moments = position[near], weights[start : start + PIECE][near]
        nearest = np.rint(position)
        bins = nearest.astype(np.int64) + reach
        moved = (position - nearest) * (grid.spacing / smearing)
        for row in binned:
            row += np.bincount(bins, weights=moments, minlength=len(row))
            moments *= moved

    x = np.arange(-reach, reach + 1) * (grid.spacing / smearing)
    kernel = np.exp(-0.5 * x**2) / (smearing * math.sqrt(2 * math.pi))
    dos = np.zeros(grid.size)
    # exp(-(x - d)^2 / 2) = exp(-x^2 / 2) sum_n He_n(x) d^n / n!
    hermite, previous = np.ones_like(x), np.zeros_like(x)
    for order, row in enumerate(binned):
        dos += np.convolve(row, kernel * hermite, mode="valid")
        kernel /= order + 1
        hermite, previous = x * hermite - order * previous, hermite
    return dos


def _series_length(largest_move: float, precision: float) -> int:
    """
    Count the terms of the series that matter.

    Cramér's inequality bounds term n by ``1.1 * largest_move**n / sqrt(n!)``.
    """
    order, bound = 0, 1.1
    while bound > precision:
        order += 1
        bound *= largest_move / math.sqrt(order)
    return order
