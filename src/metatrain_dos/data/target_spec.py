"""The settings that turn eigenvalues into columns of numbers."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..loss.defaults import DEFAULT_EXTRA_TARGETS, DEFAULT_SPACING
from ..utils.files import read_text
from .calculation import Calculation
from .defaults import REFERENCES
from .dos import (
    DEFAULT_SMEARING,
    DEFAULT_TRUST_MARGIN,
    density_of_states,
    sum_of_gaussians,
)
from .grid import LARGEST_SIZE, EnergyGrid
from .gridded_dos import AnyCalculation, GriddedDOS
from .projection import shares_of_atoms
from .references import reference_energy


TARGET = "mtt::dos"
"""Name of the target in the options file."""

# The grid begins so many standard deviations below the lowest eigenvalue. The DOS is
# 4e-6 of a single level's peak there: zero, as the loss takes it to be.
EMPTY_MARGIN = 5.0


@dataclass(frozen=True)
class TargetSpec:
    """
    The settings that turn eigenvalues into columns of numbers.

    :param grid: energies of the columns of a target, without padding
    :param extra_targets: columns of padding in front of them
    :param smearing: standard deviation of the Gaussian for each eigenvalue, eV
    :param trust_margin: how far below the end of the bands the DOS is trusted, eV
    :param reference: the zero of the energies, one of
        :data:`~metatrain_dos.data.defaults.REFERENCES`
    :param spin_resolved: whether the two spin channels stand side by side in the
        columns, first up, each with its own padding
    :param projected: whether a target has a row for each atom, which add up to the DOS
    :param source: origin of these choices, for messages; not written
    :param valences: electrons of each element in the calculations, if they are known
    :raises ValueError: if the reference is unknown, or a number cannot be meant
    """

    grid: EnergyGrid
    extra_targets: int = DEFAULT_EXTRA_TARGETS
    smearing: float = DEFAULT_SMEARING
    trust_margin: float = DEFAULT_TRUST_MARGIN
    reference: str = "raw"
    spin_resolved: bool = False
    projected: bool = False
    source: str = field(default="the arguments", compare=False)
    valences: dict[str, float] | None = None

    def __post_init__(self) -> None:
        if self.reference not in REFERENCES:
            raise ValueError(
                f"reference: expected {', '.join(REFERENCES)}, got "
                f"{self.reference!r}; 'raw' needs nothing but eigenvalues"
            )
        if not 0 <= self.extra_targets <= LARGEST_SIZE:
            raise ValueError(
                f"extra_targets: expected a number from 0 to {LARGEST_SIZE}, got "
                f"{self.extra_targets}; {DEFAULT_EXTRA_TARGETS} is a good choice"
            )
        if not 0 <= self.trust_margin < np.inf:
            raise ValueError(
                "trust_margin: expected an energy >= 0 in eV, got "
                f"{self.trust_margin}; three times the smearing is a good choice"
            )
        if self.smearing > LARGEST_SIZE * self.grid.spacing:
            raise ValueError(
                f"smearing: expected at most {LARGEST_SIZE} times the spacing of "
                f"{self.grid.spacing:g} eV, got {self.smearing:g} eV; take a larger "
                "spacing, or a smaller smearing"
            )

    @classmethod
    def covering(
        cls,
        calculations: Iterable[AnyCalculation],
        *,
        spacing: float = DEFAULT_SPACING,
        **choices: Any,
    ) -> "TargetSpec":
        """
        Choose the smallest grid that covers the trusted range of all calculations.

        :param calculations: the calculations that the grid is for, at least one
        :param spacing: distance between two energies, eV
        :param choices: further fields
        :return: the choices
        :raises ValueError: if there is no calculation
        """
        any_grid = cls(EnergyGrid(0.0, spacing, 1), **choices)
        lowest, highest = np.inf, -np.inf
        for calculation in calculations:
            zero = any_grid.zero(calculation)
            lowest = min(lowest, calculation.lowest - zero)
            highest = max(highest, calculation.complete - zero - any_grid.trust_margin)
        if lowest == np.inf:
            raise ValueError(
                "calculations: expected at least one, got none; check the files they "
                "are read from"
            )
        return any_grid.spanning(lowest, highest)

    def spanning(self, lowest: float, highest: float) -> "TargetSpec":
        """
        Exchange the grid for one that covers a range of energies.

        It begins below the lowest eigenvalue, where the DOS is still zero, and ends at
        the highest trusted energy.

        :param lowest: lowest eigenvalue, eV
        :param highest: highest trusted energy, eV
        :return: the choices with this grid, of the same spacing
        :raises ValueError: if the range is empty or not finite
        """
        first = lowest - EMPTY_MARGIN * self.smearing
        grid = EnergyGrid.covering(first, highest, self.spacing)
        return replace(self, grid=grid)

    @classmethod
    def read(cls, path: str | Path) -> "TargetSpec":
        """
        Read the choices that :meth:`write` has written.

        :param path: ``grid.json`` of a data set
        :return: the choices
        :raises ValueError: if the file does not hold them
        """
        try:
            content = json.loads(read_text(path))
            grid = EnergyGrid(**content.pop("grid"))
            return cls(grid=grid, **content, source=str(path))
        except (
            *(TypeError, KeyError, AttributeError, ValueError),
            RecursionError,  # lists in thousands of lists
        ) as error:
            raise ValueError(
                f"{path}: expected the choices of a data set as JSON, got {error}; "
                "write the data set again"
            ) from error

    def write(self, path: str | Path) -> None:
        """
        Write the choices, so that others can be matched with them later.

        :param path: ``grid.json`` of a data set
        """
        content = asdict(self)
        del content["source"]
        Path(path).write_text(json.dumps(content, indent=2) + "\n", "utf-8")

    @property
    def spacing(self) -> float:
        """Distance between two columns, eV."""
        return self.grid.spacing

    @property
    def columns(self) -> int:
        """Number of columns of a padded target, and of the prediction."""
        return self.spin_channels * (self.grid.size + self.extra_targets)

    @property
    def energies(self) -> np.ndarray:
        """Energy of each column of a padded channel, eV."""
        padding = self.grid.spacing * np.arange(-self.extra_targets, 0)
        return np.concatenate([self.grid.origin + padding, self.grid.energies])

    @property
    def spin_channels(self) -> int:
        """Number of channels in the columns of a target."""
        return 2 if self.spin_resolved else 1

    def dos_and_mask(
        self, calculation: AnyCalculation
    ) -> tuple[np.ndarray, np.ndarray]:
        """
        Compute the target of one calculation, summed over spin channels.

        :param calculation: structure and its states
        :return: DOS ``(grid.size,)``, states/eV, and mask ``(grid.size,)``, bool
        """
        dos, mask = self._channels(calculation)
        return dos.sum(axis=0), mask

    def row(self, calculation: AnyCalculation) -> tuple[np.ndarray, np.ndarray]:
        """
        Compute the target of one calculation as it stands in its columns.

        Both spin channels are trusted as far as the one that ends first. A calculation
        without spin has half of its states in each.

        :param calculation: structure and its states
        :return: DOS, states/eV, and mask, bool; both ``(columns,)``, with padding, or
            with projections, ``(atoms, columns)``
        :raises ValueError: if channels are wanted of a calculation with spinors, which
            has none
        """
        dos, mask = (self._of_atoms if self.projected else self._channels)(calculation)
        if self.spin_resolved and calculation.channels == 0:
            raise ValueError(
                "eigenvalues: expected spin channels, got a calculation with "
                "spinors, which has none; leave it out, or sum over spin"
            )
        if self.spin_resolved and len(dos) == 1:
            dos = np.repeat(dos / 2, 2, axis=0)
        elif not self.spin_resolved and not self.projected:
            dos = dos.sum(axis=0, keepdims=True)
        front = ((0, 0), (self.extra_targets, 0))
        rows = np.pad(dos, front)
        masks = np.pad(np.broadcast_to(mask, dos.shape), front)
        return (rows, masks) if self.projected else (rows.ravel(), masks.ravel())

    def zero(self, calculation: AnyCalculation) -> float:
        """
        Find the energy that becomes zero.

        :param calculation: structure and its states
        :return: energy to subtract from every eigenvalue, eV
        :raises ValueError: if the calculation does not have the reference
        """
        return reference_energy(calculation, self.reference, self.smearing)

    def _of_atoms(self, calculation: AnyCalculation) -> tuple[np.ndarray, np.ndarray]:
        """Compute the DOS of each atom, summed over spin, and the mask of all."""
        if not isinstance(calculation, Calculation) or calculation.projections is None:
            raise ValueError(
                "projections: expected some, got a calculation without; read it with "
                "projected=True"
            )
        zero = self.zero(calculation)
        energies = (calculation.eigenvalues - zero).ravel()
        shares = shares_of_atoms(calculation.projections)
        dos = [
            sum_of_gaussians(energies, weights.ravel(), self.grid, self.smearing)
            for weights in shares * calculation.kpoint_weights[:, None]
        ]
        return np.array(dos), self._mask(calculation, zero)

    def _mask(self, calculation: AnyCalculation, zero: float) -> np.ndarray:
        """Mark the energies at which no state is missing, ``(grid.size,)``."""
        return self.grid.energies <= calculation.complete - zero - self.trust_margin

    def _channels(self, calculation: AnyCalculation) -> tuple[np.ndarray, np.ndarray]:
        """Compute the DOS of each channel, ``(channels, grid.size)``, and the mask."""
        zero = self.zero(calculation)
        mask = self._mask(calculation, zero)
        if isinstance(calculation, GriddedDOS):
            return calculation.on_grid(self.grid, zero, self.smearing), mask
        energies, weights = calculation.eigenvalues - zero, calculation.kpoint_weights
        return density_of_states(energies, weights, self.grid, self.smearing), mask
