r"""
Read electron count, Fermi level and gap off a density of states.

Below, :math:`N(E)` is the number of states below an energy, as
:func:`states_below` counts them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.units import kB

from .integrated_dos import Curve, as_array, cumulative_dos, curves, states_below


__all__ = ["BandEdges", "band_edges", "cumulative_dos", "fermi_level", "states_below"]

DEFAULT_TOLERANCE = 0.01
"""Number of states that counts as none, when a gap is looked for."""

DEFAULT_THRESHOLD = 0.001
"""DOS for each electron that counts as none, 1/eV."""

# The slope of a tail is that from the threshold to so many times the threshold.
STEP = 2.0

# Fraction of a height below which what is in front of it might as well be zero.
FLOOR = 1e-3

# Gauss-Legendre points for thermal averages, and how many kT they reach to either side:
# occupations there differ from 0 and 1 by 1e-15.
QUADRATURE = 200
REACH = 35.0
# Their error, as a fraction of the electrons, with cells as wide as kT.
QUADRATURE_ERROR = 1e-5


@dataclass(frozen=True)
class BandEdges:
    """
    Hold the levels between occupied and empty states.

    In a metal, all are the Fermi level, and the gap is zero.

    :param fermi_level: level up to which states are occupied, ``(...)``, eV
    :param highest_occupied: valence band maximum, or HOMO, ``(...)``, eV
    :param lowest_unoccupied: conduction band minimum, or LUMO, ``(...)``, eV; NaN where
        the axis ends before it
    """

    fermi_level: np.ndarray
    highest_occupied: np.ndarray
    lowest_unoccupied: np.ndarray

    @property
    def gap(self) -> np.ndarray:
        """Distance between the edges, ``(...)``, eV."""
        return self.lowest_unoccupied - self.highest_occupied


def fermi_level(
    dos: Any, energies: Any, electrons: Any, *, temperature: float = 0.0, **options: Any
) -> np.ndarray:
    r"""
    Find the energy below which the states hold a number of electrons.

    In a metal, this is where :math:`N` is that number; in a gap, of which all energies
    are as good, its middle. Above zero temperature it is the level at which states
    that are occupied with the Fermi function hold the electrons, in a gap or not.

    :param dos: density of states, ``(..., points)``, states/eV; an array, a tensor, or
        a TensorMap of one block
    :param energies: energy of each point, ``(points,)``, eV
    :param electrons: number of electrons, one for all or ``(...)``
    :param temperature: of the electrons, K
    :param options: those of :func:`band_edges`, by which a gap is found
    :return: Fermi level, ``(...)``, eV
    :raises ValueError: as :func:`band_edges`
    """
    if not (np.isfinite(temperature) and temperature >= 0):
        raise ValueError(
            f"temperature: expected a number >= 0 in K, got {temperature}; room "
            "temperature is about 300"
        )
    level = band_edges(dos, energies, electrons, **options).fermi_level
    if temperature == 0:
        return level
    levels = [
        _thermal_level(curve, count, kB * temperature)
        for curve, count in curves(dos, energies, electrons=electrons)
    ]
    return np.reshape(levels, level.shape)


def band_edges(
    dos: Any,
    energies: Any,
    electrons: Any,
    *,
    smearing: float | None = None,
    tolerance: Any = DEFAULT_TOLERANCE,
    threshold: float = DEFAULT_THRESHOLD,
) -> BandEdges:
    r"""
    Find the gap at the Fermi level.

    There is a gap if the DOS falls below ``threshold`` times the number of electrons at
    an energy where :math:`N` differs from that number by no more than ``tolerance``.
    From there, the edges are the nearest energies at which it is as large again.

    Smearing moves these into the gap. The tail of a Gaussian at :math:`\epsilon` has
    the slope :math:`\mathrm{d} \ln D / \mathrm{d} E = (\epsilon - E) / \sigma^2`
    whatever its height, so that one point of it tells :math:`\epsilon`. Knowing the
    smearing, the edges are moved by this much. It is exact for a single level; of
    several, it finds a mean in which the outermost weigh most. A gap in which the tails
    of both sides overlap above the threshold is not seen, which are those of up to
    about :math:`4 \sigma` in solids.

    :param dos: density of states, ``(..., points)``, states/eV; an array, a tensor, or
        a TensorMap of one block
    :param energies: energy of each point, ``(points,)``, eV
    :param electrons: number of electrons, one for all or ``(...)``
    :param smearing: standard deviation of the Gaussians in the DOS, eV; edges are not
        moved without
    :param tolerance: number of states that may be missing or too many in a gap, one for
        all or ``(...)``; never more than half of the electrons
    :param threshold: DOS for each electron that counts as none, 1/eV: above the noise
        of a model, and otherwise as low as possible
    :return: edges and Fermi level
    :raises ValueError: as :func:`cumulative_dos`, if an option is out of its range, or
        the DOS has too few states to hold the electrons
    """
    if not (np.isfinite(threshold) and threshold > 0):
        raise ValueError(
            f"threshold: expected a number > 0 in 1/eV, got {threshold}; "
            f"{DEFAULT_THRESHOLD} suits a computed DOS"
        )
    if smearing is not None and not (np.isfinite(smearing) and smearing >= 0):
        raise ValueError(
            f"smearing: expected a width >= 0 in eV or None, got {smearing}; it is the "
            "one that the DOS was computed with"
        )
    found = []
    for curve, count, states in curves(
        dos, energies, electrons=electrons, tolerance=tolerance
    ):
        gap = _gap(curve, _plateau(curve, count, states), threshold * count, smearing)
        if gap is None:
            found.append([curve.energy_of(count)] * 3)
        else:
            lower, upper = gap
            end = curve.energies[-1] if np.isnan(upper) else upper
            found.append([0.5 * (lower + end), lower, upper])
    levels = np.reshape(found, (*as_array(dos).shape[:-1], 3))
    return BandEdges(*np.moveaxis(levels, -1, 0))


def _plateau(curve: Curve, electrons: float, tolerance: float) -> np.ndarray:
    """Find the points at which the number of states is about that of the electrons."""
    if not (np.isfinite(electrons) and electrons > 0):
        raise ValueError(
            f"electrons: expected a number > 0, got {electrons}; it is that of the "
            "valence electrons, those that the computed DOS has"
        )
    if not (np.isfinite(tolerance) and tolerance > 0):
        raise ValueError(
            f"tolerance: expected a number of states > 0, got {tolerance}; "
            f"{DEFAULT_TOLERANCE} suits a computed DOS"
        )
    tolerance = min(tolerance, 0.5 * electrons)
    x, reached = curve.energies, curve.reached
    if reached[-1] < electrons - tolerance:
        raise ValueError(
            f"electrons: expected at most the {reached[-1]:.2f} that the states from "
            f"{x[0]:.2f} to {x[-1]:.2f} eV hold, got {electrons:g}; count valence "
            "electrons only, or continue the axis to higher energies"
        )
    return np.flatnonzero(np.abs(reached - electrons) <= tolerance)


def _gap(
    curve: Curve, plateau: np.ndarray, none: float, smearing: float | None
) -> tuple[float, float] | None:
    """Find the edges of the gap that some of these points are in, if there is one."""
    if len(plateau) == 0:
        return None
    centre = plateau[np.argmin(curve.dos[plateau])]
    if curve.dos[centre] >= none:
        return None
    return (
        _edge(curve, centre, -1, none, smearing),
        _edge(curve, centre, +1, none, smearing),
    )


def _edge(
    curve: Curve, centre: int, step: int, none: float, smearing: float | None
) -> float:
    """Find the edge of the states on one side of a gap; NaN if there are none."""
    dos, energies = curve.dos[centre::step], curve.energies[centre::step]

    def crossing(height: float, i: int) -> float:
        """Interpolate in the cell that ends in a point."""
        # A tail is closer to an exponential than to a line, if it is not negative.
        inner = max(dos[i - 1], FLOOR * height)
        part = np.log(height / inner) / np.log(dos[i] / inner)
        return energies[i - 1] + part * (energies[i] - energies[i - 1])

    i = int(np.argmax(dos >= none))
    if i == 0:  # nowhere, as the centre is below it
        return np.nan
    near = crossing(none, i)
    if not smearing:
        return near
    # The slope of the tail, up to a few times the threshold, or to where it ends.
    while i + 1 < len(dos) and dos[i] < min(STEP * none, dos[i + 1]):
        i += 1
    height = min(dos[i], STEP * none)
    far = crossing(height, i)
    if far == near:
        return near
    # A slope between two points is that of a Gaussian halfway between them. No tail of
    # a peak that is in the DOS is steeper than the second move says.
    move = smearing**2 * np.log(height / none) / abs(far - near)
    move = min(move, smearing * np.sqrt(2 * np.log(dos.max() / none)))
    return 0.5 * (near + far) + step * move


def _thermal_level(curve: Curve, electrons: float, width: float) -> float:
    """Find the level at which thermally occupied states hold the electrons."""
    # Integrated by parts: the mean of N over energies that are distributed as -df/dE.
    nodes, weights = np.polynomial.legendre.leggauss(QUADRATURE)
    nodes = REACH * nodes
    weights = weights / np.cosh(0.5 * nodes) ** 2
    weights /= weights.sum()
    x = curve.energies

    def reaches(states: float) -> float:
        low, high = x[0] - REACH * width, x[-1] + REACH * width
        while high - low > 1e-10 * (x[-1] - x[0]):
            middle = 0.5 * (low + high)
            if weights @ curve.states_below(middle + width * nodes) < states:
                low = middle
            else:
                high = middle
        return float(0.5 * (low + high))

    # In a gap that is wide for the temperature, all levels are as good.
    ends = electrons * (1 - QUADRATURE_ERROR), electrons * (1 + QUADRATURE_ERROR)
    return 0.5 * (reaches(ends[0]) + reaches(ends[1]))
