"""Find the levels of a predicted DOS."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ..data.target_spec import TargetSpec
from .integrated_dos import integrate
from .levels import band_edges
from .noise import count_states
from .prediction import LEVELS, PredictedDOS
from .thermal import ThermalProperties, sommerfeld_coefficient, thermal_properties


@dataclass(frozen=True)
class LevelFinder:
    """
    Find levels and thermal properties, with settings for the errors of a model.

    :param smearing: standard deviation of the Gaussians in the targets, eV
    :param tolerance: error of the integral of a prediction in a gap, as a fraction of
        the electrons
    :param threshold: predicted DOS for each electron that counts as none, 1/eV
    :param temperatures: temperatures of thermal properties, K
    :raises ValueError: if a setting is out of range
    """

    smearing: float | None
    tolerance: float
    threshold: float
    temperatures: Sequence[float] = ()

    def __post_init__(self) -> None:
        # Refuses settings before anything is predicted.
        band_edges(np.ones(3), np.arange(3.0), 1.0, **self._options(1.0))
        for temperature in self.temperatures:
            thermal_properties(np.ones(9), np.arange(9.0) * 1e9, 1e9, temperature)

    @property
    def names(self) -> list[str]:
        """Names of the numbers that are found."""
        names = list(LEVELS)
        if self.temperatures:
            names.append("sommerfeld_coefficient")
        for temperature in self.temperatures:
            names += [
                f"{each.name}_{temperature:g}K" for each in fields(ThermalProperties)
            ]
        return names

    def find(
        self,
        rows: np.ndarray,
        axis: TargetSpec,
        electrons: float,
        parts: Sequence[str] = (),
    ) -> PredictedDOS:
        """
        Find the levels of one prediction, relative to its Fermi level.

        :param rows: predicted DOS of a structure, and of its parts,
            ``(1 + parts, columns)``, states/eV
        :param axis: energies of the columns
        :param electrons: number of electrons
        :param parts: names of the parts
        :return: DOS and levels
        :raises ValueError: as :func:`~metatrain_dos.models.levels.band_edges`
        """
        energies, dos = axis.energies, rows[0]
        edges = band_edges(dos, energies, electrons, **self._options(electrons))
        ((raw,),) = integrate(dos, energies)
        curve, _ = count_states(raw, self.threshold * electrons, self.smearing)
        fermi_level = float(edges.fermi_level)
        numbers = {
            "electrons": electrons,
            "fermi_level": 0.0,
            "highest_occupied": float(edges.highest_occupied) - fermi_level,
            "lowest_unoccupied": float(edges.lowest_unoccupied) - fermi_level,
            "gap": float(edges.gap),
            "dos_at_fermi_level": float(np.interp(fermi_level, energies, curve.dos)),
            "axis_zero": fermi_level,
        }
        if self.temperatures:
            numbers["sommerfeld_coefficient"] = float(
                sommerfeld_coefficient(numbers["dos_at_fermi_level"])
            )
        for temperature in self.temperatures:
            found = thermal_properties(
                dos,
                energies - fermi_level,
                electrons,
                temperature,
                **self._options(electrons),
            )
            for name, value in vars(found).items():
                numbers[f"{name}_{temperature:g}K"] = float(value)
        return PredictedDOS(
            energies - fermi_level,
            dos,
            curve.states,
            numbers,
            parts=dict(zip(parts, rows[1:], strict=True)),
        )

    def _options(self, electrons: float) -> dict[str, Any]:
        """Collect options; the tolerance grows with the structure as errors do."""
        return {
            "smearing": self.smearing,
            "tolerance": self.tolerance * electrons,
            "threshold": self.threshold,
        }
