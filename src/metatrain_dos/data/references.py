"""Zeros of the energy, and the states that hold electrons."""

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr

from .calculation import Calculation
from .defaults import DEFAULT_SMEARING
from .gridded_dos import AnyCalculation


# Printed energies are rounded, and a Fermi level is often a printed eigenvalue.
LEVEL_ROUNDING = 1e-3

# Share of the electrons that may be missing or in excess at the neutral level: it is in
# the middle of the energies where fewer are.
NEUTRAL_TOLERANCE = 1e-6


def reference_energy(
    calculation: AnyCalculation, reference: str, smearing: float = DEFAULT_SMEARING
) -> float:
    """
    Find the energy that becomes zero.

    :param calculation: structure and its states
    :param reference: one of :data:`~metatrain_dos.data.defaults.REFERENCES`
    :param smearing: width of the Gaussians for the neutral level, eV
    :return: energy to subtract from every eigenvalue, eV
    :raises ValueError: if the calculation has none
    """
    if reference == "raw":
        return 0.0
    level = calculation.fermi_level
    if reference == "vbm":
        level = highest_occupied(calculation)
    elif reference == "neutral":
        neutral = neutral_level(calculation, smearing)
        # The neutral level has substitutes.
        level = next(each for each in (neutral, level, 0.0) if each is not None)
    if level is None:
        raise ValueError(
            f"fermi_level: expected one for the reference {reference!r}, got none; "
            "use the reference 'raw'"
        )
    return level


def neutral_level(calculation: AnyCalculation, smearing: float) -> float | None:
    """
    Find the level up to which the smeared states hold the electrons.

    Unlike the Fermi level that a code prints, which is arbitrary in a gap, it is in the
    middle of a gap that is much wider than the smearing.

    :param calculation: structure and its states
    :param smearing: width of the Gaussians, eV
    :return: level, eV; ``None`` if the number of electrons is not known
    """
    electrons = calculation.n_electrons
    if electrons is None or not smearing > 0:
        return None
    energies, weights = calculation.levels
    # The states of a DOS on a grid are smeared already.
    smearing = max(smearing**2 - calculation.smearing**2, 1e-12) ** 0.5
    low = float(energies.min()) - 10 * smearing
    high = float(energies.max()) + 10 * smearing

    def excess(level: float, wanted: float) -> float:
        return float((weights * ndtr((level - energies) / smearing)).sum()) - wanted

    levels = []
    for wanted in (1 - NEUTRAL_TOLERANCE, 1 + NEUTRAL_TOLERANCE):
        inside = excess(high, wanted * electrons) > 0
        if inside:
            found = brentq(
                excess, low, high, args=(wanted * electrons,), xtol=1e-6, maxiter=999
            )
            levels.append(float(found))
    # Where all states are full there is no upper edge.
    return sum(levels) / len(levels) if levels else float(energies.max())


def highest_occupied(calculation: AnyCalculation) -> float | None:
    """
    Find the highest state that is not above the Fermi level.

    :param calculation: structure and its states
    :return: its energy, eV; ``None`` if no Fermi level is known, all states are above
        it, or it is a DOS on a grid, which has no edge
    """
    if calculation.fermi_level is None or not isinstance(calculation, Calculation):
        return None
    energies = calculation.eigenvalues
    occupied = energies[energies <= calculation.fermi_level + LEVEL_ROUNDING]
    return float(occupied.max()) if occupied.size else None


def missing_electrons(calculation: AnyCalculation) -> float | None:
    """
    Compare the states up to the Fermi level with the number of electrons.

    States at the Fermi level, within rounding, may be full or empty, so that a Fermi
    level that is the highest occupied state and one anywhere in a gap agree with the
    same number of electrons. States are counted whole: in a metal the result differs
    from zero by the difference of its smeared occupations from a step.

    :param calculation: structure and its states
    :return: electrons less states, zero where they can agree; ``None`` if the
        Fermi level or the number of electrons is not known
    """
    level, electrons = calculation.fermi_level, calculation.n_electrons
    if level is None or electrons is None:
        return None
    energies, states = calculation.levels
    margin = LEVEL_ROUNDING + calculation.blur
    fewest = float(states[energies < level - margin].sum())
    most = float(states[energies <= level + margin].sum())
    return electrons - float(np.clip(electrons, fewest, most))
