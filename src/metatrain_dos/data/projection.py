r"""
Divide the states of a calculation among its atoms.

Codes project each state :math:`n` on orbitals or spheres of each atom :math:`i`, which
gives :math:`p_{in}`, summed over orbitals. Spheres leave the space between them out,
orbitals are no complete basis, and both overlap, so that
:math:`P_n = \sum_i p_{in}` is not 1. The shares

.. math::

    w_{in} = \frac{p_{in} + (P_0 - P_n)_+ / N}{\max(P_n, P_0)}

add up to 1. They are proportional to the projections where these hold at least
:math:`P_0 = 0.1` of the state. Where they hold less, as for empty states far up, the
part that is missing is divided evenly among the :math:`N` atoms, so that noise in tiny
projections decides nothing.
"""

from dataclasses import replace

import numpy as np

from .calculation import Calculation, InputError


LEAST = 0.1
"""Part of a state on the atoms, below which it is no guide to its division."""


def shares_of_atoms(projections: np.ndarray) -> np.ndarray:
    """
    Compute the share that each atom has in each state.

    :param projections: part of each state that is on each atom, ``(atoms, ...)``
    :return: shares, the same shape, whose sum over atoms is 1
    """
    total = projections.sum(axis=0)
    missing = np.maximum(LEAST - total, 0.0) / len(projections)
    return (projections + missing) / np.maximum(total, LEAST)


def projected(
    calculation: Calculation, projections: np.ndarray, orbits: np.ndarray
) -> Calculation:
    """
    Add projections to a calculation, as a reader finds them.

    In an irreducible wedge of k-points, equivalent atoms have different projections:
    only the mean over them is the mean over all k-points.

    :param calculation: the calculation
    :param projections: part of each state that is on each atom,
        ``(atoms, spin channels, k-points, bands)``
    :param orbits: a number for each atom, which symmetry-equivalent atoms share if
        symmetry has reduced the k-points, ``(atoms,)``
    :return: the calculation with projections
    :raises InputError: if shapes do not fit, or less than :data:`LEAST` of the occupied
        states is on the atoms
    """
    # Checks the shape, and makes an array of its own.
    made = replace(calculation, projections=np.maximum(projections, 0.0))
    values = made.projections
    assert values is not None
    for orbit in np.unique(orbits):
        values[orbits == orbit] = values[orbits == orbit].mean(axis=0)
    occupied, _ = parts_on_atoms(made)
    if occupied < LEAST:
        raise InputError(
            f"projections: expected at least {LEAST:.0%} of the occupied states on "
            f"atoms, got {occupied:.1%}; check which orbitals or radii they are of"
        )
    return made


def parts_on_atoms(calculation: Calculation) -> tuple[float, float]:
    """
    Compute which part of the states is on the atoms, before it is scaled to all of it.

    :param calculation: a calculation
    :return: mean over occupied states (all, if the electrons are not known), and over
        empty ones below the energy from which on states are missing; NaN if there are
        none, or no projections
    """
    if calculation.projections is None:
        return np.nan, np.nan
    energies, weights = calculation.levels
    order = np.argsort(energies)
    filled = np.cumsum(weights[order])
    electrons = calculation.n_electrons or np.inf
    occupied = np.empty_like(weights)
    occupied[order] = np.clip(electrons - filled + weights[order], 0, weights[order])
    empty = np.where(energies <= calculation.complete, weights - occupied, 0.0)
    part = calculation.projections.sum(axis=0).ravel()
    means = [
        float(part @ each / each.sum()) if each.sum() > 0 else np.nan
        for each in (occupied, empty)
    ]
    return means[0], means[1]
