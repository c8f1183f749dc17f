"""A density of states that a code has put on a grid of its own, without eigenvalues."""

import math
from dataclasses import dataclass
from typing import Any

import ase
import numpy as np

from .calculation import (
    Calculation,
    InputError,
    check_structure,
    finite_array,
    finite_number,
)
from .dos import REACH, sum_of_gaussians
from .grid import EnergyGrid


# States per eV at the first energy, as a share of the largest, that are none: tails.
EMPTY = 1e-3

# States below an energy that are none: tails, and rounding of printed integrals.
NONE = 1e-3

# A DOS does not tell at which energy its highest band begins. Of 62 calculations with
# eigenvalues, this many bands held all states above that energy, but for 0.02 eV.
LAST_BANDS = 4


@dataclass(frozen=True, eq=False)
class GriddedDOS:
    """
    A structure and its density of states as states between energies.

    :param atoms: structure
    :param edges: energies that separate the bins, ``(bins + 1,)``, eV, increasing
    :param states: states in each bin, ``(spin channels, bins)``; a channel of two holds
        one electron in each state, a single one counts both spins
    :param smearing: standard deviation of the Gaussian that each state already is, eV;
        0 for tetrahedra, and for broadenings without a second moment, such as
        Methfessel-Paxton's
    :param fermi_level: Fermi level, eV; ``None`` if it is not known
    :param n_electrons: number of electrons; ``None`` if it is not known
    :param end: energy up to which no state is missing, eV; ``None`` if it is not known
    :raises InputError: if a value is not of its kind, shapes do not fit, energies do
        not increase, there are no states, or states below the first energy are missing
    """

    atoms: ase.Atoms
    edges: np.ndarray
    states: np.ndarray
    smearing: float
    fermi_level: float | None = None
    n_electrons: float | None = None
    end: float | None = None

    # That of a relaxation or trajectory is not told apart by steps.
    step = steps = 1

    def __post_init__(self) -> None:
        check_structure(self.atoms)
        edges = finite_array("energies", self.edges, ("energies",))
        states = finite_array("dos", self.states, ("spin channels", "energies"))
        if len(states) not in (1, 2) or edges.shape != (states.shape[1] + 1,):
            raise InputError(
                f"dos: expected 1 or 2 spin channels on {len(edges) - 1} energies, got "
                f"shape {states.shape}; order the axes as (spin channels, energies)"
            )
        if not (np.diff(edges) > 0).all():
            raise InputError(
                "energies: expected increasing numbers, got others; sort the DOS by "
                "energy"
            )
        if states.sum(axis=1).min() <= 0:
            raise InputError(
                "dos: expected states in every spin channel, got none; give the DOS of "
                "both channels as positive numbers"
            )
        density = states.sum(axis=0) / np.diff(edges)
        if abs(density[0]) > EMPTY * density.max():
            raise InputError(
                f"dos: expected no states at its first energy, {edges[0]:g} eV, got "
                f"{density[0]:.3g} states/eV, so that others are missing below; let "
                "its grid begin below the lowest state"
            )
        smearing = finite_number("smearing", self.smearing)
        if smearing is None or smearing < 0:
            raise InputError(
                "smearing: expected the standard deviation of the Gaussians of which "
                f"the DOS is made, got {smearing}; give it with --dos-smearing"
            )
        for name in ("fermi_level", "n_electrons", "end"):
            value = finite_number(name, getattr(self, name))
            object.__setattr__(self, name, value)
        # A frozen dataclass can only be normalised this way.
        object.__setattr__(self, "edges", edges)
        object.__setattr__(self, "states", states)
        object.__setattr__(self, "smearing", smearing)

    @classmethod
    def from_samples(
        cls, atoms: ase.Atoms, energies: np.ndarray, dos: np.ndarray, **more: Any
    ) -> "GriddedDOS":
        """
        Take a DOS from its values at energies.

        :param atoms: structure
        :param energies: energies, ``(energies,)``, eV
        :param dos: density of states, ``(energies,)`` or ``(spin channels, energies)``,
            states/eV
        :param more: further fields
        :return: the DOS
        :raises InputError: as the class
        """
        energies = finite_array("energies", energies, ("energies",))
        dos = np.atleast_2d(np.asarray(dos))
        if len(energies) < 2 or dos.shape[1:] != energies.shape:
            raise InputError(
                f"dos: expected a value at each of {len(energies)} energies, at least "
                f"two, got shape {dos.shape}; order the axes as (spin channels, "
                "energies)"
            )
        middle = (energies[1:] + energies[:-1]) / 2
        edges = np.concatenate(
            [[2 * energies[0] - middle[0]], middle, [2 * energies[-1] - middle[-1]]]
        )
        return cls(atoms, edges, dos * np.diff(edges), **more)

    @property
    def channels(self) -> int:
        """Number of spin channels."""
        return len(self.states)

    @property
    def levels(self) -> tuple[np.ndarray, np.ndarray]:
        """Middle of each bin, eV, and states in it, ``(bins,)``."""
        return (self.edges[1:] + self.edges[:-1]) / 2, self.states.sum(axis=0)

    @property
    def resolution(self) -> float:
        """Smallest smearing of a DOS that can be made of the states, eV."""
        return max(self.smearing, math.sqrt(self._variance_of_bins))

    @property
    def blur(self) -> float:
        """Energy by which states may be elsewhere because they are smeared, eV."""
        return 3 * self.smearing + float(np.diff(self.edges).max())

    @property
    def lowest(self) -> float:
        """Energy below which there are no states, eV."""
        total = np.cumsum(self.states.sum(axis=0))
        return float(self.edges[np.argmax(total > NONE)])

    @property
    def complete(self) -> float:
        """
        Energy up to which no state is missing, eV.

        Where states end before the grid does, bands end there. Their last states are
        not taken for complete, because higher bands that were not computed may begin
        among them.
        """
        last = float(self.edges[-1])
        if self.end is not None:
            return min(self.end, last)
        density = self.states.sum(axis=0) / np.diff(self.edges)
        if abs(density[-1]) > EMPTY * density.max():
            return last
        held = LAST_BANDS * 2 / len(self.states)
        above = self.states[:, ::-1].cumsum(axis=1)[:, ::-1]  # above the lower edges
        ends = [self.edges[np.argmax(each < held)] for each in above]
        return float(min(ends))

    def on_grid(self, grid: EnergyGrid, zero: float, smearing: float) -> np.ndarray:
        """
        Put the states on another grid, and smear them up to a width.

        Each state becomes a Gaussian of the width that is missing, as the variances of
        successive smearings add. Where little is missing, the mean over each step of
        the grid is taken first, so that no state is lost or counted twice.

        :param grid: energies
        :param zero: energy that becomes zero, eV
        :param smearing: standard deviation that the states shall have, eV
        :return: density of states, ``(spin channels, grid.size)``, states/eV
        :raises ValueError: if they are wider already
        """
        if self.resolution > smearing:
            raise ValueError(
                f"smearing: expected at least the {self.resolution:.3g} eV of the DOS "
                f"itself, got {smearing:g} eV; choose a larger --smearing"
            )
        variance = smearing**2 - self.smearing**2 - self._variance_of_bins
        width = math.sqrt(max(0.0, variance))
        # Narrower Gaussians would show the steps of one grid or the other.
        if width >= max(grid.spacing, np.diff(self.edges).max()):
            middle = self.levels[0] - zero
            rows = [sum_of_gaussians(middle, each, grid, width) for each in self.states]
            return np.array(rows)
        width = math.sqrt(max(0.0, variance - grid.spacing**2 / 12))
        reach = math.ceil(REACH * width / grid.spacing)
        steps = np.arange(-reach, grid.size + reach + 1) - 0.5
        points = zero + grid.origin + grid.spacing * steps
        offsets = grid.spacing * np.arange(-reach, reach + 1)
        kernel = np.exp(-0.5 * (offsets / max(width, 1e-9)) ** 2)
        kernel /= kernel.sum()
        rows = []
        for states in self.states:
            below = np.concatenate([[0.0], np.cumsum(states)])
            mean = np.diff(np.interp(points, self.edges, below)) / grid.spacing
            rows.append(np.convolve(mean, kernel, mode="valid"))
        return np.array(rows)

    @property
    def _variance_of_bins(self) -> float:
        """Variance of the place of a state in its bin, eV²."""
        return float(np.mean(np.diff(self.edges) ** 2) / 12)


AnyCalculation = Calculation | GriddedDOS
"""The result of a calculation, as readers return it."""
