r"""
Read electron count, Fermi level and gap off a density of states.

Below, :math:`N(E)` is the number of states below an energy, as
:func:`states_below` counts them. A DOS may be an array, a tensor, or a TensorMap of one
block.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.units import kB

from .integrated_dos import (
    IntegratedDOS,
    as_array,
    cumulative_dos,
    integrate,
    states_below,
)
from .noise import CONFIDENCE, count_states, is_even, sharpened, smoothed, white_noise
from .notebook import html_table


__all__ = ["BandEdges", "band_edges", "cumulative_dos", "fermi_level", "states_below"]

DEFAULT_TOLERANCE = 0.01
"""Number of states that counts as none in the search for a gap."""

DEFAULT_THRESHOLD = 0.001
"""DOS for each electron that counts as none, 1/eV."""

# The slope of a tail is that up to so many times the threshold.
STEP = 2.0

# Fraction of the threshold that the point in front of it has at least.
FLOOR = 1e-3


@dataclass(frozen=True)
class BandEdges:
    """
    Levels between occupied and empty states.

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

    def _repr_html_(self) -> str:
        """Show the levels in a notebook."""
        return html_table(
            (name, value, "eV")
            for name, value in {**vars(self), "gap": self.gap}.items()
        )


def fermi_level(
    dos: Any, energies: Any, electrons: Any, *, temperature: float = 0.0, **options: Any
) -> np.ndarray:
    r"""
    Find the energy below which the states hold a number of electrons.

    In a metal, this is where :math:`N` is that number; in a gap, where any energy would
    do, its middle. Above zero temperature it is the chemical potential: the level at
    which states that are occupied with the Fermi function hold the electrons.

    :param dos: density of states, ``(..., points)``, states/eV
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
    none = options.get("threshold", DEFAULT_THRESHOLD)
    levels = []
    for raw, count in integrate(dos, energies, electrons=electrons):
        each, _ = count_states(raw, none * count, options.get("smearing"))
        levels.append(each.chemical_potential(count, kB * temperature))
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
    From there, the edges are the nearest energies at which it rises above that value.
    States are counted from the first ones. Before the search, noise above the threshold
    is filtered; of a DOS without such noise, half of the smearing is undone. Where no
    state below stands out of the noise, no gap is told.

    Smearing moves the edges into the gap. The tail of a Gaussian at :math:`\epsilon`
    has the slope :math:`\mathrm{d} \ln D / \mathrm{d} E = (\epsilon - E) / \sigma^2`
    whatever its height, so that one point of it gives :math:`\epsilon`, to which the
    edge is moved if the smearing is known. This is exact for a single level; of
    several, it gives a mean in which the outermost weigh most. A gap is not found where
    the tails of both sides overlap above the threshold, in solids up to about twice the
    smearing, with noise four times.

    :param dos: density of states, ``(..., points)``, states/eV
    :param energies: energy of each point, ``(points,)``, eV
    :param electrons: number of electrons, one for all or ``(...)``
    :param smearing: standard deviation of the Gaussians in the DOS, eV; edges are not
        moved unless it is given
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
            f"smearing: expected a width >= 0 in eV or None, got {smearing}; give the "
            "one that the DOS was computed with"
        )
    found = []
    for raw, count, states in integrate(
        dos, energies, electrons=electrons, tolerance=tolerance
    ):
        none, width = threshold * count, smearing
        each, floor = count_states(raw, none, smearing)
        points = _plateau(each, count, states)
        level = each.energy_at(count)
        none = max(none, 1.5 * floor)
        noise = white_noise(raw.dos) if is_even(raw.energies) else 0.0
        if CONFIDENCE * noise > none:
            each, left, width = smoothed(each, noise, smearing)
            none = max(none, 1.5 * floor + left)
        elif smearing and is_even(raw.energies):
            each, width = sharpened(each, smearing)
        centre = points[np.argmin(each.dos[points])] if len(points) else None
        if centre is None or each.dos[centre] >= none:
            found.append([level] * 3)
            continue
        lower, upper = (_edge(each, centre, step, none, width) for step in (-1, 1))
        if np.isnan(lower):  # all states below are lost in the noise
            found.append([level] * 3)
            continue
        end = each.energies[-1] if np.isnan(upper) else upper
        found.append([0.5 * (lower + end), lower, upper])
    levels = np.reshape(found, (*as_array(dos).shape[:-1], 3))
    return BandEdges(*np.moveaxis(levels, -1, 0))


def _plateau(curve: IntegratedDOS, electrons: float, tolerance: float) -> np.ndarray:
    """Find the points at which the number of states is about that of the electrons."""
    if not (np.isfinite(electrons) and electrons > 0):
        raise ValueError(
            f"electrons: expected a number > 0, got {electrons}; give the number of "
            "valence electrons in the calculation"
        )
    if not (np.isfinite(tolerance) and tolerance > 0):
        raise ValueError(
            f"tolerance: expected a number of states > 0, got {tolerance}; "
            f"{DEFAULT_TOLERANCE} suits a computed DOS"
        )
    tolerance = min(tolerance, 0.5 * electrons)
    x, most = curve.energies, curve.running_maximum
    if most[-1] < electrons - tolerance:
        raise ValueError(
            f"electrons: expected at most the {most[-1]:.2f} that the states from "
            f"{x[0]:.2f} to {x[-1]:.2f} eV hold, got {electrons:g}; count valence "
            "electrons only, or continue the axis to higher energies"
        )
    return np.flatnonzero(np.abs(most - electrons) <= tolerance)


def _edge(
    curve: IntegratedDOS, centre: int, step: int, none: float, smearing: float | None
) -> float:
    """Find the edge of the states on one side of a gap; NaN if there are none."""
    dos, energies = curve.dos[centre::step], curve.energies[centre::step]
    i = int(np.argmax(dos >= none))
    if i == 0:  # nowhere, as the centre is below it
        return np.nan
    low = max(dos[i - 1], FLOOR * none)
    if not smearing:
        # A tail is closer to an exponential than to a line.
        part = np.log(none / low) / np.log(dos[i] / low)
        return energies[i - 1] + part * (energies[i] - energies[i - 1])
    # The slope of the tail, up to a few times the threshold, or to where it ends.
    j = i
    while j + 1 < len(dos) and dos[j] < min(STEP * none, dos[j + 1]):
        j += 1
    # A slope between two points is that of a Gaussian halfway between them. No tail of
    # a peak that is in the DOS is steeper than the second move says.
    move = smearing**2 * np.log(dos[j] / low) / abs(energies[j] - energies[i - 1])
    move = min(move, smearing * np.sqrt(2 * np.log(dos.max() / none)))
    return 0.5 * (energies[i - 1] + energies[j]) + step * move
