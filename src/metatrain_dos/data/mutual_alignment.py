"""Zeros of the energy at which the DOS of structures of one composition agree."""

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.signal import correlate

from .calculation import Calculation
from .dos import sum_of_gaussians
from .grid import EnergyGrid
from .gridded_dos import AnyCalculation


# Steps of the search in units of the smearing; a parabola finds the rest.
STEP = 1 / 3

# A DOS is compared from so many smearings below its lowest state, and up to so many
# below the end of its states.
MARGIN = 3.0

# Structures of one composition may have several phases, each with a DOS of its own. One
# that is like none of those that are kept is kept, too, up to this number.
MOST_KEPT = 8
ALIKE = 0.95


class _Curve(NamedTuple):
    """A DOS per atom from a first energy on, eV, and sums of its squares."""

    first: float
    dos: np.ndarray
    squares: np.ndarray


def mutual_zeros(
    calculations: Iterable[AnyCalculation], zeros: Iterable[float], smearing: float
) -> list[float]:
    """
    Find zeros of the energy at which the DOS of similar structures agree.

    For a DOS :math:`D` whose zero is not known and each DOS :math:`A` that has one, the
    similarity at a shift is

    .. math::

        \\frac{2 \\int D A}{\\int D^2 + \\int A^2}

    per atom, up to the energy at which the first of the two ends. Its maximum over all
    shifts and all :math:`A` gives the zero. The first structure stays where it is if
    none has a zero.

    :param calculations: structures of one composition and their states, those whose
        zero is known first
    :param zeros: energy that becomes zero, eV; NaN if not known
    :param smearing: standard deviation of the Gaussians, eV
    :return: energy that becomes zero, eV, for each structure
    """
    step = STEP * smearing
    kept: list[_Curve] = []
    found = []
    for calculation, zero in zip(calculations, zeros, strict=True):
        curve = _curve(calculation, smearing, step)
        matches = [_match(curve, other, step) for other in kept]
        similarity, place = max(matches, default=(0.0, curve.first))
        if np.isnan(zero):
            zero = curve.first - place
        if similarity < ALIKE and len(kept) < MOST_KEPT:
            kept.append(curve._replace(first=curve.first - zero))
        found.append(float(zero))
    return found


def counted_from(calculation: AnyCalculation, zero: float) -> AnyCalculation:
    """
    Count the energies of a calculation from another zero.

    :param calculation: structure and its states
    :param zero: energy that becomes zero, eV
    :return: the same states
    """
    if zero == 0:
        return calculation

    def moved(energy: float | None) -> float | None:
        return None if energy is None else energy - zero

    fermi_level = moved(calculation.fermi_level)
    if isinstance(calculation, Calculation):
        energies = calculation.eigenvalues - zero
        return replace(calculation, eigenvalues=energies, fermi_level=fermi_level)
    edges, end = calculation.edges - zero, moved(calculation.end)
    return replace(calculation, edges=edges, end=end, fermi_level=fermi_level)


def _curve(calculation: AnyCalculation, smearing: float, step: float) -> _Curve:
    """Smear the states of a calculation where they are compared."""
    energies, states = calculation.levels
    first = float(energies.min()) - MARGIN * smearing
    last = max(calculation.complete - MARGIN * smearing, first + 2 * step)
    grid = EnergyGrid(0.0, step, int((last - first) / step) + 1)
    # The states of a DOS on a grid are smeared already.
    width = max(smearing**2 - calculation.smearing**2, step**2) ** 0.5
    states = states / len(calculation.atoms)
    dos = sum_of_gaussians(energies - first, states, grid, width)
    return _Curve(first, dos, np.cumsum(np.append(0.0, dos**2)))


def _match(curve: _Curve, other: _Curve, step: float) -> tuple[float, float]:
    """Find the largest similarity, and the energy of the first point there, eV."""
    size, length = len(curve.dos), len(other.dos)
    lags = np.arange(1 - size, length)
    products = correlate(other.dos, curve.dos, method="fft")
    squares = curve.squares[np.clip(length - lags, 0, size)]
    squares = squares + other.squares[np.clip(size + lags, 0, length)]
    similarity = 2 * products / squares
    best = int(similarity.argmax())
    lag = float(lags[best])
    if 0 < best < len(lags) - 1:
        before, here, after = similarity[best - 1 : best + 2]
        lag += 0.5 * (before - after) / (before - 2 * here + after)
    return float(similarity[best]), other.first + lag * step
