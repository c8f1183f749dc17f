"""Find the electrons of each element from those of structures."""

from collections.abc import Sequence

import numpy as np
from ase.formula import Formula


# Fits of structures whose absolute deviations are minimised, one after another.
ITERATIONS = 30

# Largest deviation of a number of electrons from a whole one.
ROUNDING = 1e-2


def find_valences(
    compositions: Sequence[str], electrons: np.ndarray
) -> dict[str, float]:
    """
    Find the electrons of each element from those of structures.

    The sum of absolute deviations is minimised (by reweighted least squares), which a
    minority of charged structures, or of other pseudopotentials, does not change.

    :param compositions: chemical formula of each structure, or of each kind of them
    :param electrons: number of electrons, ``(compositions,)``; NaN if not known
    :return: element -> number of electrons; without those that do not follow from the
        structures, such as Na and Cl from NaCl alone, or are not whole
    """
    known = np.flatnonzero(~np.isnan(electrons)).tolist()
    counts = [Formula(compositions[i]).count() for i in known]
    elements = sorted(set().union(*counts))
    if not elements:
        return {}
    matrix = np.array([[count.get(e, 0) for e in elements] for count in counts], float)
    wanted = electrons[known]
    weights = np.ones(len(known))
    for _ in range(ITERATIONS):
        scaled = matrix * weights[:, None]
        found = np.linalg.lstsq(scaled, wanted * weights, rcond=None)[0]
        weights = 1 / np.sqrt(np.maximum(np.abs(matrix @ found - wanted), 1e-6))
    # An element is determined if it has no part in the null space.
    sizes, axes = np.linalg.eigh(matrix.T @ matrix)
    null = axes[:, sizes < 1e-9 * sizes[-1]]
    return {
        element: round(float(value))
        for element, value, vector in zip(elements, found, null, strict=True)
        if np.abs(vector).max(initial=0.0) < 1e-6
        and abs(value - round(value)) < ROUNDING
        and round(value) > 0
    }


def count_electrons(composition: str, valences: dict[str, float]) -> float:
    """
    Add the electrons of the atoms of a structure.

    :param composition: chemical formula
    :param valences: element -> number of electrons
    :return: number of electrons; NaN if an element is not known
    """
    return sum(
        number * valences.get(element, np.nan)
        for element, number in Formula(composition).count().items()
    )
