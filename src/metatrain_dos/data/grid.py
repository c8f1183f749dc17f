"""The energy axis that every density of states of a data set shares."""

from dataclasses import dataclass

import numpy as np

from ..loss.defaults import DEFAULT_SPACING


LARGEST_SIZE = 1_000_000
"""More energies are a mistake, such as an eigenvalue of 1e30 eV."""


@dataclass(frozen=True)
class EnergyGrid:
    """
    Describe equally spaced energies.

    :param origin: first energy, eV
    :param spacing: distance between two energies, eV
    :param size: number of energies
    :raises ValueError: if the spacing or the size is not positive, a value is not
        finite, or the size is above :data:`LARGEST_SIZE`
    """

    origin: float
    spacing: float
    size: int

    def __post_init__(self) -> None:
        if not np.isfinite(self.origin):
            raise ValueError(
                f"origin: expected a finite energy in eV, got {self.origin}; check the "
                "eigenvalues it was taken from"
            )
        if not (np.isfinite(self.spacing) and self.spacing > 0):
            raise ValueError(
                f"spacing: expected an energy > 0 in eV, got {self.spacing}; "
                f"{DEFAULT_SPACING} is a good choice"
            )
        if not 1 <= self.size <= LARGEST_SIZE:
            raise ValueError(
                f"size: expected 1 to {LARGEST_SIZE} energies, got {self.size:.3g} "
                f"from {self.origin:g} eV in steps of {self.spacing:g} eV; check the "
                "eigenvalues and the smearing, or take a larger spacing"
            )

    @classmethod
    def covering(
        cls, lowest: float, highest: float, spacing: float = DEFAULT_SPACING
    ) -> "EnergyGrid":
        """
        Make the smallest grid that covers a range of energies.

        The energies are whole multiples of the spacing, so that the columns of two
        grids of the same spacing can be matched.

        :param lowest: the grid begins here or just below, eV
        :param highest: the grid ends here or just above, eV
        :param spacing: distance between two energies, eV
        :return: the grid
        :raises ValueError: if the range is empty or not finite
        """
        if not (np.isfinite(lowest) and np.isfinite(highest) and lowest <= highest):
            raise ValueError(
                "lowest, highest: expected a finite range in eV with lowest <= "
                f"highest, got {lowest} to {highest}; check the eigenvalues"
            )
        cls(0.0, spacing, 1)  # refuses a bad spacing before it divides
        first = int(np.floor(lowest / spacing))
        last = int(np.ceil(highest / spacing))
        return cls(first * spacing, spacing, last - first + 1)

    @property
    def energies(self) -> np.ndarray:
        """Energy of each point, ``(size,)``, eV."""
        return self.origin + self.spacing * np.arange(self.size)
