"""The predicted DOS of a structure, with its levels."""

import re
from dataclasses import dataclass, field

import numpy as np


LEVELS = (
    "electrons",
    "fermi_level",
    "highest_occupied",
    "lowest_unoccupied",
    "gap",
    "dos_at_fermi_level",
    "axis_zero",
)
"""Numbers of every structure, next to its DOS."""

# Names that begin with this are in units other than eV.
UNITS = {
    "electrons|frames": "",
    "dos_at_fermi_level": "states/eV",
    "sommerfeld_coefficient": "eV/K²",
    "entropy|heat_capacity": "eV/K",
}


@dataclass(frozen=True)
class PredictedDOS:
    """
    The predicted DOS of one structure, or a mean over several, and its levels.

    Energies are relative to the chosen zero. Without a number of electrons, there are
    no levels, and the zero is that of the training data.

    The numbers are also attributes: ``electrons``, ``fermi_level``,
    ``highest_occupied`` (valence band maximum, or HOMO), ``lowest_unoccupied``
    (conduction band minimum, or LUMO; NaN if the axis ends before it), ``gap`` and
    ``axis_zero`` (the energy on the axis of the training data that is zero here), eV;
    ``dos_at_fermi_level``, states/eV. With temperatures, there are
    ``sommerfeld_coefficient``, eV/K², and, with an ending such as ``_300K``,
    ``chemical_potential``, ``band_energy``, ``free_energy``, eV, ``entropy`` and
    ``heat_capacity``, eV/K. The name of a number with the ending ``_std`` is its
    standard deviation over a committee, with ``_error`` the standard error of its mean
    over frames.

    :param dos_energies: energy of each point, ``(points,)``, eV
    :param dos: density of states, ``(points,)``, states/eV
    :param states: number of states below each point, ``(points,)``
    :param numbers: name -> number, NaN if it cannot be found
    :param curves: ``dos_std`` of a committee, ``dos_error`` of a mean over frames,
        ``(points,)``, states/eV
    :param parts: index of an atom or symbol of an element -> its DOS, ``(points,)``,
        states/eV
    :param problem: reason for missing levels although the number of electrons is known
    """

    dos_energies: np.ndarray
    dos: np.ndarray
    states: np.ndarray
    numbers: dict[str, float]
    curves: dict[str, np.ndarray] = field(default_factory=dict)
    parts: dict[str, np.ndarray] = field(default_factory=dict)
    problem: str | None = None

    def __getattr__(self, name: str) -> float:
        # Not for names that Python looks up before there are any numbers.
        if not name.startswith("_") and name in self.__dict__.get("numbers", {}):
            return self.numbers[name]
        raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")


def unit_of(name: str) -> str:
    """
    Find the unit of a number of a prediction.

    :param name: its name, with any of the endings of :class:`PredictedDOS`
    :return: its unit, empty for a count
    """
    for pattern, unit in UNITS.items():
        if re.match(pattern, name):
            return unit
    return "eV"
