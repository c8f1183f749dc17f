"""Numbers that a density of states on a grid lacks, or that can be found in it."""

import math

import numpy as np

from ..calculation import InputError


GAUSSIAN = 1 / math.sqrt(2)
"""Standard deviation of ``exp(-(E / width)^2)``, as codes define a width, in widths."""

FERMI = math.pi / math.sqrt(3)
"""Standard deviation of the derivative of the Fermi function, in temperatures."""

# Electrons by which the integral of a DOS may miss a whole number.
ROUNDING = 0.02


def smearing_or(known: float | None, given: float | None) -> float:
    """
    Choose the smearing that the files of a run say, or else the one that is given.

    :raises InputError: if both are ``None``
    """
    for value in (known, given):
        if value is not None:
            return value
    raise InputError(
        "smearing: expected the width of the Gaussians of which this DOS is made, got "
        "none beside it; give their standard deviation with --dos-smearing, 0 for "
        "tetrahedra"
    )


def electrons_below(
    edges: np.ndarray, states: np.ndarray, level: float | None
) -> float | None:
    """
    Count the electrons up to the Fermi level.

    :param edges: energies that separate the bins, ``(bins + 1,)``, eV
    :param states: states in each bin, ``(spin channels, bins)``
    :param level: Fermi level, eV
    :return: the whole number that the integral of the DOS agrees with, within the
        states in one bin; ``None`` if there is none
    """
    if level is None:
        return None
    total = states.sum(axis=0)
    count = np.interp(level, edges, np.concatenate([[0.0], np.cumsum(total)]))
    here = total[np.clip(np.searchsorted(edges, level) - 1, 0, len(total) - 1)]
    whole = float(np.rint(count))
    return whole if whole > 0 and abs(count - whole) < ROUNDING + here else None
