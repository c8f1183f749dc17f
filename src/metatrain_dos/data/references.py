"""Say which states of a calculation hold electrons."""

import numpy as np

from .calculation import Calculation


REFERENCES = {
    "raw": "energies as the code printed them",
    "fermi": "the Fermi level is zero",
    "vbm": "the highest state that is not above the Fermi level is zero",
}
"""What the energies of a data set can be relative to."""

# Printed energies are rounded, and a Fermi level is often a printed eigenvalue.
LEVEL_ROUNDING = 1e-3


def reference_energy(calculation: Calculation, reference: str) -> float:
    """
    Find the energy that becomes zero.

    :param calculation: structure and eigenvalues
    :param reference: one of :data:`REFERENCES`
    :return: energy to subtract from every eigenvalue, eV
    :raises ValueError: if the reference is unknown, or the calculation does not say
        where it is
    """
    if reference not in REFERENCES:
        raise ValueError(
            f"reference: expected {', '.join(REFERENCES)}, got {reference!r}; 'raw' "
            "needs nothing but eigenvalues"
        )
    if reference == "raw":
        return 0.0
    level = calculation.fermi_level
    if reference == "vbm":
        level = highest_occupied(calculation)
    if level is None:
        raise ValueError(
            f"fermi_level: expected one for the reference {reference!r}, got none; "
            "use the reference 'raw'"
        )
    return level


def highest_occupied(calculation: Calculation) -> float | None:
    """
    Find the highest state that is not above the Fermi level.

    :param calculation: structure and eigenvalues
    :return: its energy, eV; ``None`` where no Fermi level is known, or all states are
        above it
    """
    if calculation.fermi_level is None:
        return None
    energies = calculation.eigenvalues
    occupied = energies[energies <= calculation.fermi_level + LEVEL_ROUNDING]
    return float(occupied.max()) if occupied.size else None


def missing_electrons(calculation: Calculation) -> float | None:
    """
    Compare the states up to the Fermi level with the number of electrons.

    States at the Fermi level, within rounding, may be full or empty, so that a Fermi
    level that is the highest occupied state and one anywhere in a gap agree with the
    same number of electrons. States are counted whole: in a metal the result differs
    from zero by what its smeared occupations differ from a step.

    :param calculation: structure and eigenvalues
    :return: electrons less states, zero where they can agree; ``None`` where Fermi
        level or number of electrons are not known
    """
    level, electrons = calculation.fermi_level, calculation.n_electrons
    if level is None or electrons is None:
        return None
    states = calculation.kpoint_weights[:, None]
    energies = calculation.eigenvalues
    fewest = float((states * (energies < level - LEVEL_ROUNDING)).sum())
    most = float((states * (energies <= level + LEVEL_ROUNDING)).sum())
    return electrons - float(np.clip(electrons, fewest, most))
