r"""
Integrate a density of states.

A DOS :math:`D`, in an array, a tensor, or a TensorMap of one block, is linear between
its points and zero in front of the first one. Its integral :math:`N(E)`, the number of
states below an energy, is then the trapezoidal sum at the points and a parabola in
between.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.integrate import cumulative_trapezoid
from scipy.optimize import brentq
from scipy.special import expit


# Distance from the chemical potential, in units of kT, at which occupations differ from
# 0 and 1 by 1e-17.
REACH = 40.0

# Error of the integral of a smeared DOS on a grid, as a fraction of the electrons: the
# chemical potential in a gap is in the middle of the levels that agree within it.
ROUNDING = 1e-5


@dataclass(frozen=True, eq=False)
class IntegratedDOS:
    """
    One DOS and its integral.

    :param energies: energy of each point, ``(points,)``, eV
    :param dos: density of states, ``(points,)``, states/eV
    :param states: number of states below each point, ``(points,)``
    """

    energies: np.ndarray
    dos: np.ndarray
    states: np.ndarray

    @property
    def running_maximum(self) -> np.ndarray:
        """
        Highest number of states up to each point, ``(points,)``.

        A predicted DOS may be negative. A number of states then belongs to the energy
        at which it is reached first.
        """
        return np.maximum.accumulate(self.states)

    def states_below(self, energy: Any) -> Any:
        """Count the states below energies of any shape; none are beyond the axis."""
        x, d = self.energies, self.dos
        energy = np.clip(energy, x[0], x[-1])
        i = np.clip(np.searchsorted(x, energy, side="right") - 1, 0, len(x) - 2)
        part = (energy - x[i]) / (x[i + 1] - x[i])
        mean = d[i] + 0.5 * part * (d[i + 1] - d[i])
        return self.states[i] + (energy - x[i]) * mean

    def energy_below(self, energy: float) -> float:
        """Sum the energies of the states below an energy, eV."""
        # By parts. The number of states is a parabola in each cell: Simpson is exact.
        ends = np.append(self.energies[self.energies < energy], energy)
        states, middle = map(self.states_below, (ends, 0.5 * (ends[1:] + ends[:-1])))
        integral = np.diff(ends) @ (states[1:] + 4 * middle + states[:-1]) / 6
        return float(energy * states[-1] - integral)

    def energy_at(self, states: float) -> float:
        """Find the lowest energy with so many states below it, or else the end."""
        x, d = self.energies, self.dos
        i = int(np.searchsorted(self.running_maximum, states))
        if i == 0 or i == len(x):
            return float(x[0] if i == 0 else x[-1])
        rest, width = states - self.states[i - 1], x[i] - x[i - 1]
        slope = (d[i] - d[i - 1]) / width
        # The first root of the parabola, in the form that holds for a line, too. Where
        # the DOS ends at zero, rounding can make the square negative.
        root = np.sqrt(max(d[i - 1] ** 2 + 2 * slope * rest, 0.0))
        return float(x[i - 1] + min(2 * rest / (d[i - 1] + root), width))

    def chemical_potential(self, electrons: float, width: float) -> float:
        """
        Find the level at which thermally occupied states hold the electrons.

        :param electrons: number of electrons; at most all states are filled
        :param width: temperature times Boltzmann's constant, eV
        :return: chemical potential, eV; the middle of the range that rounding leaves in
            a gap that is wide for the temperature
        """
        ends = self.energies[[0, -1]] + np.array([-REACH, REACH]) * width

        def excess(level: float, wanted: float) -> float:
            x, weights = self.thermal_nodes(level, width)
            full = self.states_below(level - REACH * width)
            return float(full + weights @ expit((level - x) / width) - wanted)

        most = (1 - ROUNDING) * self.states[-1]
        levels = [
            brentq(excess, *ends, args=min(electrons * part, most))
            for part in (1 - ROUNDING, 1 + ROUNDING)
        ]
        return float(np.mean(levels))

    def thermal_nodes(
        self, level: float, width: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """
        Give nodes for integrals of the DOS times a function of (energy - level) / kT.

        :param level: chemical potential, eV
        :param width: temperature times Boltzmann's constant, eV
        :return: energies up to :data:`REACH` times kT from the level, eV, and weights
            times DOS, states, ``(nodes,)`` each
        """
        # Gauss-Legendre in pieces that no grid point divides, none longer than kT.
        ends = np.clip(
            level + width * np.arange(-REACH, REACH + 1), *self.energies[[0, -1]]
        )
        inside = (self.energies > ends[0]) & (self.energies < ends[-1])
        ends = np.sort(np.concatenate([ends, self.energies[inside]]))
        nodes, weights = np.polynomial.legendre.leggauss(5)
        half = 0.5 * np.diff(ends)[:, None]
        x = (0.5 * (ends[1:] + ends[:-1])[:, None] + half * nodes).ravel()
        return x, (half * weights).ravel() * np.interp(x, self.energies, self.dos)


def cumulative_dos(dos: Any, energies: Any) -> np.ndarray:
    """
    Integrate a DOS up to each of its points, with the trapezoidal rule.

    :param dos: density of states, ``(..., points)``, states/eV
    :param energies: energy of each point, ``(points,)``, eV
    :return: number of states below each point, ``(..., points)``
    :raises ValueError: if shapes do not fit, energies do not increase, or a number is
        not finite
    """
    dos, energies = as_array(dos), as_array(energies)
    if energies.ndim != 1 or len(energies) < 2 or not (np.diff(energies) > 0).all():
        raise ValueError(
            "energies: expected at least two that increase, (points,), got shape "
            f"{energies.shape}; EnergyGrid.energies makes them"
        )
    if dos.shape[-1:] != energies.shape:
        raise ValueError(
            f"dos: expected {len(energies)} points along its last axis, as many as "
            f"energies, got shape {dos.shape}; a prediction has extra_targets columns "
            "in front of the grid (TargetSpec.energies)"
        )
    if not np.isfinite(dos).all():
        raise ValueError(
            f"dos: expected finite numbers, got {np.count_nonzero(~np.isfinite(dos))} "
            "that are not; leave out masked columns"
        )
    return np.asarray(cumulative_trapezoid(dos, energies, initial=0))


def states_below(dos: Any, energies: Any, energy: Any) -> np.ndarray:
    """
    Count the states below an energy.

    :param dos: density of states, ``(..., points)``, states/eV
    :param energies: energy of each point, ``(points,)``, eV
    :param energy: upper end of the integral, one for all or ``(...)``, eV
    :return: number of states, ``(...)``
    :raises ValueError: as :func:`cumulative_dos`
    """
    counts = [
        each.states_below(at) for each, at in integrate(dos, energies, energy=energy)
    ]
    return np.reshape(counts, as_array(dos).shape[:-1])


def integrate(dos: Any, energies: Any, **numbers: Any) -> Iterator[tuple[Any, ...]]:
    """
    Integrate each DOS of a batch.

    :param dos: density of states, ``(..., points)``, states/eV
    :param energies: energy of each point, ``(points,)``, eV
    :param numbers: further numbers, each one for all or ``(...)``
    :return: :class:`IntegratedDOS` and numbers of each sample
    :raises ValueError: as :func:`cumulative_dos`, or if numbers do not fit the batch
    """
    states = cumulative_dos(dos, energies)
    dos, energies = as_array(dos), as_array(energies)
    batch, points = dos.shape[:-1], dos.shape[-1]
    columns = []
    for name, number in numbers.items():
        number = as_array(number)
        try:
            columns.append(np.broadcast_to(number, batch).ravel())
        except ValueError:
            raise ValueError(
                f"{name}: expected one number, or one for each DOS in the shape "
                f"{batch}, got shape {number.shape}; check the leading axes of dos"
            ) from None
    rows = zip(
        dos.reshape(-1, points), states.reshape(-1, points), *columns, strict=True
    )
    for density, integral, *values in rows:
        yield IntegratedDOS(energies, density, integral), *map(float, values)


def as_array(values: Any) -> np.ndarray:
    """
    Convert to float64.

    :param values: an array, a list, a tensor on any device, or a TensorMap of one block
    :return: array of the same shape, without gradient
    :raises ValueError: if there are several blocks
    """
    if hasattr(values, "block"):
        if len(values) != 1:
            raise ValueError(
                f"TensorMap: expected one block, got {len(values)}; pass the blocks "
                "one by one"
            )
        values = values.block().values
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    return np.asarray(values, dtype=np.float64)
