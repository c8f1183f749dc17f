"""The predicted DOS of a structure, with its levels."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape

import numpy as np

from .notebook import draw_dos, html_table


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

# Of the DOS, as a fraction of its maximum, where a figure begins, and by how much more.
FIRST_STATES = 0.01
MARGIN = 1.5

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

    @property
    def first_energy(self) -> float:
        """Energy shortly below the first states, where a figure begins, eV."""
        first = np.argmax(self.dos > FIRST_STATES * self.dos.max())
        return float(max(self.dos_energies[first] - MARGIN, self.dos_energies[0]))

    def _repr_html_(self) -> str:
        """Show the DOS and its numbers in a notebook."""
        rows = []
        for name, value in self.numbers.items():
            text = f"{value:.5g}"
            for ending, kind in (("error", ""), ("std", " over the committee")):
                other = self.numbers.get(f"{name}_{ending}")
                text += "" if other is None else f" ± {other:.2g}{kind}"
            if not name.endswith(("_std", "_error")):
                rows.append((name, text, unit_of(name)))
        edges = ("highest_occupied", "lowest_unoccupied")
        lower, upper = (self.numbers.get(name, np.nan) for name in edges)
        drawing = draw_dos(
            self.dos_energies,
            self.dos,
            start=self.first_energy,
            spread=next(iter(self.curves.values()), None),
            levels=(lower, upper) if upper >= lower else None,
        )
        problem = f"<p>{escape(self.problem)}</p>" if self.problem else ""
        return drawing + problem + html_table(rows)


def unit_of(name: str) -> str:
    """Find the unit of a number of :class:`PredictedDOS`; empty for a count."""
    for pattern, unit in UNITS.items():
        if re.match(pattern, name):
            return unit
    return "eV"


def shifted(numbers: Mapping[str, float], shift: float) -> dict[str, float]:
    """
    Count energies from another zero.

    :param numbers: numbers of a prediction
    :param shift: how far the new zero is below the old one, eV
    :return: the same, with other energies
    """
    found = dict(numbers)
    for name in numbers:
        if name.startswith(
            ("fermi_level", "highest_occ", "lowest_unocc", "chemical_potential")
        ):
            found[name] += shift
        elif name.startswith(("band_energy", "free_energy")):
            found[name] += shift * numbers["electrons"]
    found["axis_zero"] -= shift
    return found
