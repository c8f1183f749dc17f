"""Levels and band energy of predicted and computed DOS."""

from typing import NamedTuple

import numpy as np
from scipy.integrate import trapezoid

from . import levels
from .defaults import DEFAULT_THRESHOLD, DEFAULT_TOLERANCE
from .integrated_dos import integrate
from .noise import count_states


class Levels(NamedTuple):
    """
    Levels of one DOS, eV, its value at the Fermi level, states/eV, and its band energy,
    eV.

    Those of a metal are the Fermi level; ``lowest_unoccupied`` is NaN if the DOS ends
    before it. The band energy is the integral of energy times DOS up to the Fermi
    level.
    """

    fermi_level: float
    highest_occupied: float
    lowest_unoccupied: float
    dos_at_fermi_level: float
    band_energy: float

    @property
    def gap(self) -> float:
        """Gap at the Fermi level, eV."""
        return self.lowest_unoccupied - self.highest_occupied


class LevelPair(NamedTuple):
    """Levels of a prediction and of its target, on the energy axis of the target."""

    predicted: Levels
    computed: Levels


def level_pair(
    predicted: np.ndarray,
    computed: np.ndarray,
    mask: np.ndarray,
    energies: np.ndarray,
    electrons: float | None,
    smearing: float | None,
) -> LevelPair | None:
    """
    Find the levels of an aligned prediction and of its target.

    Those of the prediction are found with the settings of ``mtt-dos predict``, which
    allow for noise, and those of the target with settings for computed DOS, all below
    the first energy that is not trusted.

    :param predicted: aligned prediction, ``(points,)``, states/eV
    :param computed: target, ``(points,)``, states/eV
    :param mask: true where the target is trusted, ``(points,)``
    :param energies: energy of each point, ``(points,)``, eV
    :param electrons: number of electrons, if known
    :param smearing: standard deviation of the Gaussians in the target, eV
    :return: levels; ``None`` if they are unknown, or the electrons do not fit into both
    """
    end = len(mask) if mask.all() else int(np.argmin(mask))
    if electrons is None or end < 2:
        return None
    try:
        return LevelPair(
            _levels(
                *(predicted[:end], energies[:end], electrons, smearing),
                tolerance=DEFAULT_TOLERANCE * electrons,
                threshold=DEFAULT_THRESHOLD,
            ),
            _levels(computed[:end], energies[:end], electrons, smearing),
        )
    except ValueError:  # too few states, or a prediction that is not finite
        return None


def _levels(
    dos: np.ndarray,
    energies: np.ndarray,
    electrons: float,
    smearing: float | None,
    **options: float,
) -> Levels:
    threshold = options.get("threshold", levels.DEFAULT_THRESHOLD)
    edges = levels.band_edges(dos, energies, electrons, smearing=smearing, **options)
    level = float(edges.fermi_level)
    ((curve,),) = integrate(dos, energies)
    curve, _ = count_states(curve, threshold * electrons, smearing)
    occupied = np.append(energies[energies < level], level)
    # By parts, so that a shift of all energies changes both by the same amount.
    states = curve.states_below(occupied)
    return Levels(
        level,
        float(edges.highest_occupied),
        float(edges.lowest_unoccupied),
        float(np.interp(level, energies, curve.dos)),
        float(electrons * level - trapezoid(states, occupied)),
    )
