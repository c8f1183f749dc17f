"""Estimate how far apart the energy zeros of similar structures are."""

from dataclasses import dataclass
from typing import Any

import numpy as np


# Numbers of states per atom at which two structures are compared. The lowest are
# semicore states, the highest are in the empty bands of most materials.
LEVELS = np.arange(0.25, 12.01, 0.25)

STRAIN = 1.0
"""How far strain and disorder alone move levels (eV). In the example data, distances
from levels and from alignment differ by up to 0.7 eV."""

SAME_DENSITY = 1.5
"""Largest ratio of densities of structures that are compared. Strain changes the
density less, another phase or vacuum often more."""


@dataclass
class Group:
    """
    Structures of one composition and density.

    :param density: atoms per volume of the first structure, 0 without a cell
    :param energies: energy at each of :data:`LEVELS` in the first structure, eV
    :param lowest: distance of the lowest structure from the first, eV
    :param highest: distance of the highest structure from the first, eV
    """

    density: float
    energies: np.ndarray
    lowest: float
    highest: float
    lowest_name: str
    highest_name: str

    @property
    def spread(self) -> float:
        """Distance of the lowest and the highest structure, eV."""
        return self.highest - self.lowest


class EnergyZeros:
    """
    Estimate how far apart the energy zeros of structures of the same kind are.

    The energies below which 0.25, 0.5, 0.75... states per atom lie are read off each
    DOS. The distance of two structures is the median of the differences of these
    energies. A shift of the zero moves all of them alike, whereas strain, disorder and
    gaps move some more than others, which hardly changes a median. A least-squares
    alignment, in contrast, may follow one sharp peak of a molecule.
    """

    def __init__(self) -> None:
        self.groups: dict[Any, list[Group]] = {}

    def add(
        self,
        name: str,
        composition: Any,
        density: float,
        dos: np.ndarray,
        trusted: np.ndarray,
        grid_spacing: float,
    ) -> None:
        """
        Compare one more structure with those before, of its composition and density.

        :param density: atoms per volume
        :param dos: density of states, ``(points,)``, states/eV/atom
        :param trusted: where it can be trusted, ``(points,)``, bool
        :param grid_spacing: distance between two points, eV
        """
        energies = level_energies(dos, trusted, grid_spacing)
        if np.isnan(energies).all():
            return
        groups = self.groups.setdefault(composition, [])
        for group in groups:
            low, high = sorted((group.density, density))
            if high <= SAME_DENSITY * low or high == 0:
                break
        else:
            groups.append(Group(density, energies, 0.0, 0.0, name, name))
            return
        differences = energies - group.energies
        if np.isnan(differences).all():
            return
        distance = float(np.nanmedian(differences))
        if distance < group.lowest:
            group.lowest, group.lowest_name = distance, name
        elif distance > group.highest:
            group.highest, group.highest_name = distance, name

    def widest(self) -> Group | None:
        """Find the group with the largest spread; ``None`` if there is none."""
        groups = (group for alike in self.groups.values() for group in alike)
        return max(groups, key=lambda group: group.spread, default=None)


def level_energies(
    dos: np.ndarray, trusted: np.ndarray, grid_spacing: float
) -> np.ndarray:
    """
    Find the energies below which given numbers of states lie.

    :param dos: density of states, ``(points,)``, states/eV/atom
    :param trusted: where it can be trusted, ``(points,)``, bool
    :param grid_spacing: distance between two points, eV
    :return: energy of each of :data:`LEVELS` above the first point, eV; NaN where the
        trusted range has fewer states
    """
    end = len(dos) if trusted.all() else int(trusted.argmin())
    if end == 0:
        return np.full(len(LEVELS), np.nan)
    # Some smearings make a DOS slightly negative, but the number of states never falls.
    states = np.maximum.accumulate(np.cumsum(dos[:end]) * grid_spacing)
    energies = np.interp(LEVELS, states, grid_spacing * np.arange(end))
    return np.where(states[-1] > LEVELS, energies, np.nan)
