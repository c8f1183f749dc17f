"""Estimate how far the energy references of structures are apart."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np


# Numbers of states per atom at which two structures are compared. The lowest ones are
# semicore states, the highest ones lie in the empty bands of most materials.
LEVELS = np.arange(0.25, 12.01, 0.25)

STRAIN = 1.0
"""How far strain and disorder alone move levels (eV). In the example data, distances
that are found by levels and by alignment differ by up to 0.7 eV."""

SAME_DENSITY = 1.5
"""Largest ratio of densities of structures that are compared. Strain changes them less,
another phase or vacuum often more."""

# Groups that are kept, so that memory is bounded. Enough to tell.
LARGEST_NUMBER_OF_GROUPS = 10_000


@dataclass
class Group:
    """
    Hold the structures of one composition and density.

    :param density: atoms per volume of the first structure, 0 without a cell
    :param energies: energy at each of :data:`LEVELS` in the first structure, eV
    :param lowest: how far the lowest structure is from the first, eV
    :param highest: how far the highest structure is from the first, eV
    :param lowest_name: which structure that is
    :param highest_name: which structure that is
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


@dataclass
class ReferenceSpread:
    """
    Estimate how far the energy references of structures of the same kind are apart.

    The energies below which 0.25, 0.5, 0.75... states per atom lie are read off each
    DOS. Two structures are as far apart as the median of the differences of these
    energies. A shift of the reference moves all of them alike, while strain, disorder
    and gaps move some more than others, and a median does not mind. An alignment by
    squared error, in contrast, is thrown by one sharp peak of a molecule.
    """

    groups: dict[Any, list[Group]] = field(default_factory=dict)
    count: int = 0

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
        Compare one more structure with those before.

        :param name: name of the structure
        :param composition: structures of the same one are compared
        :param density: atoms per volume; structures of about the same one are compared
        :param dos: density of states, ``(points,)``, states/eV/atom
        :param trusted: where it can be trusted, ``(points,)``, bool
        :param grid_spacing: distance between two points, eV
        """
        energies = level_energies(dos, trusted, grid_spacing)
        if np.isnan(energies).all():
            return
        group = self._find(composition, density)
        if group is None:
            if self.count < LARGEST_NUMBER_OF_GROUPS:
                group = Group(density, energies, 0.0, 0.0, name, name)
                self.groups.setdefault(composition, []).append(group)
                self.count += 1
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
        """Find the structures with the largest spread, if there are any."""
        groups = (group for alike in self.groups.values() for group in alike)
        return max(groups, key=lambda group: group.spread, default=None)

    def _find(self, composition: Any, density: float) -> Group | None:
        """Find the structures that one more is to be compared with."""
        for group in self.groups.get(composition, []):
            low, high = sorted((group.density, density))
            if high <= SAME_DENSITY * low or high == 0:
                return group
        return None


def level_energies(
    dos: np.ndarray, trusted: np.ndarray, grid_spacing: float
) -> np.ndarray:
    """
    Find the energies below which given numbers of states lie.

    :param dos: density of states, ``(points,)``, states/eV/atom
    :param trusted: where it can be trusted, ``(points,)``, bool
    :param grid_spacing: distance between two points, eV
    :return: energy of each of :data:`LEVELS` above the first point, eV; NaN where the
        DOS is not trusted that far up
    """
    end = len(dos) if trusted.all() else int(trusted.argmin())
    if end == 0:
        return np.full(len(LEVELS), np.nan)
    # Some smearings make a DOS slightly negative, but states do not vanish again.
    states = np.maximum.accumulate(np.cumsum(dos[:end]) * grid_spacing)
    energies = np.interp(LEVELS, states, grid_spacing * np.arange(end))
    return np.where(states[-1] > LEVELS, energies, np.nan)
