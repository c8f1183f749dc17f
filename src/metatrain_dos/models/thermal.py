r"""
Electronic thermodynamics of a density of states at fixed volume.

States are occupied with the Fermi function :math:`f(E) = 1 / (e^{(E - \mu) / kT} + 1)`,
where the chemical potential :math:`\mu` holds the electrons,
:math:`N = \int D f \, \mathrm{d}E`. With this,

- band energy :math:`U = \int E D f \, \mathrm{d}E`,
- entropy :math:`S = -k \int D (f \ln f + (1 - f) \ln (1 - f)) \, \mathrm{d}E`,
- free energy :math:`F = U - T S`,
- heat capacity :math:`C = (\mathrm{d}U / \mathrm{d}T)_{N,V}`, with :math:`N` fixed,
- Sommerfeld coefficient :math:`\gamma = \pi^2 k^2 D(E_F) / 3`, the limit of
  :math:`C / T` at low temperature.

The DOS is that of all spins, in states/eV, and does not change with temperature; it may
be an array, a tensor, or a TensorMap of one block. All numbers are for the structure of
the DOS: for the cell, not per atom. Energies are in eV and relative to the zero of the
given axis; :math:`S` and :math:`C` are in eV/K: 1 eV/K is 96485.3 J/(mol K) and 11604.5
Boltzmann constants.

A smeared DOS is good for temperatures of its smearing and above. At lower ones, it is
the DOS at the Fermi level that is smeared, and states of both sides of a gap reach
into it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.units import kB
from scipy.special import entr, expit

from .integrated_dos import REACH, IntegratedDOS, as_array, integrate
from .levels import DEFAULT_THRESHOLD, DEFAULT_TOLERANCE, fermi_level
from .noise import count_states
from .notebook import html_table
from .prediction import unit_of


__all__ = [
    "ThermalProperties",
    "dos_at_fermi_level",
    "sommerfeld_coefficient",
    "thermal_properties",
]

# Occupation at the end of the axis above which states beyond it are missing.
LARGEST_OCCUPATION = 1e-4


@dataclass(frozen=True)
class ThermalProperties:
    """
    Electronic properties at one temperature, with shape ``(...)`` of the batch of DOS.

    :param chemical_potential: level with an occupation of one half, eV
    :param band_energy: sum of the energies of occupied states, eV
    :param entropy: electronic entropy, eV/K
    :param free_energy: band energy less temperature times entropy, eV
    :param heat_capacity: electronic heat capacity at fixed volume, eV/K
    """

    chemical_potential: np.ndarray
    band_energy: np.ndarray
    entropy: np.ndarray
    free_energy: np.ndarray
    heat_capacity: np.ndarray

    def _repr_html_(self) -> str:
        """Show the properties in a notebook."""
        return html_table(
            (name, value, unit_of(name)) for name, value in vars(self).items()
        )


def thermal_properties(
    dos: Any,
    energies: Any,
    electrons: Any,
    temperature: float,
    *,
    smearing: float | None = None,
    tolerance: Any = DEFAULT_TOLERANCE,
    threshold: float = DEFAULT_THRESHOLD,
) -> ThermalProperties:
    """
    Compute the electronic thermodynamics of a DOS.

    :param dos: density of states, ``(..., points)``, states/eV
    :param energies: energy of each point, ``(points,)``, eV
    :param electrons: number of electrons, one for all or ``(...)``
    :param temperature: temperature of the electrons, K
    :param smearing: standard deviation of the Gaussians in the DOS, eV, to tell empty
        columns from states
    :param tolerance: number of electrons for which there may be no states, one for all
        or ``(...)``
    :param threshold: DOS for each electron that counts as none, 1/eV
    :return: properties at this temperature
    :raises ValueError: as :func:`~metatrain_dos.models.levels.band_edges`, or if the
        temperature is not positive or so high that the axis ends below occupied states
    """
    if not (np.isfinite(temperature) and temperature > 0):
        raise ValueError(
            f"temperature: expected a number > 0 in K, got {temperature}; room "
            "temperature is about 300"
        )
    # Refuses wrong numbers of electrons.
    batch = fermi_level(
        dos,
        energies,
        electrons,
        smearing=smearing,
        tolerance=tolerance,
        threshold=threshold,
    ).shape
    found = []
    for raw, count in integrate(dos, energies, electrons=electrons):
        each, _ = count_states(raw, threshold * count, smearing)
        found.append(_properties(each, count, temperature))
    return ThermalProperties(*np.moveaxis(np.reshape(found, (*batch, 5)), -1, 0))


def dos_at_fermi_level(
    dos: Any, energies: Any, electrons: Any, **options: Any
) -> np.ndarray:
    """
    Interpolate a DOS at its Fermi level, without the noise between its states.

    :param dos: density of states, ``(..., points)``, states/eV
    :param energies: energy of each point, ``(points,)``, eV
    :param electrons: number of electrons, one for all or ``(...)``
    :param options: those of :func:`~metatrain_dos.models.levels.band_edges`
    :return: DOS at the Fermi level, ``(...)``, states/eV
    :raises ValueError: as :func:`~metatrain_dos.models.levels.band_edges`
    """
    levels = fermi_level(dos, energies, electrons, **options)
    none = options.get("threshold", DEFAULT_THRESHOLD)
    values = []
    for raw, level, count in integrate(
        dos, energies, level=levels, electrons=electrons
    ):
        each, _ = count_states(raw, none * count, options.get("smearing"))
        values.append(np.interp(level, each.energies, each.dos))
    return np.reshape(values, as_array(dos).shape[:-1])


def sommerfeld_coefficient(dos_at_fermi_level: Any) -> Any:
    """
    Compute the slope of the electronic heat capacity at low temperature.

    :param dos_at_fermi_level: DOS at the Fermi level, of all spins, states/eV
    :return: Sommerfeld coefficient, eV/K²; times 9.64853e7, mJ/(mol K²)
    """
    return np.pi**2 / 3 * kB**2 * dos_at_fermi_level


def _properties(
    curve: IntegratedDOS, electrons: float, temperature: float
) -> tuple[float, ...]:
    """Compute the fields of :class:`ThermalProperties`, for one DOS."""
    width = kB * temperature
    level = curve.chemical_potential(electrons, width)
    distance = (curve.energies[-1] - level) / width
    if curve.dos[-1] > 0 and distance < -np.log(LARGEST_OCCUPATION):
        raise ValueError(
            f"temperature: expected an axis that ends far above the chemical potential "
            f"for {temperature:g} K, got {distance * width:.2f} eV; choose a lower "
            "temperature, or continue the axis to higher energies"
        )
    x, weights = curve.thermal_nodes(level, width)
    y = (x - level) / width
    f = expit(-y)
    energy = curve.energy_below(level - REACH * width) + float(weights @ (x * f))
    entropy = kB * float(weights @ (entr(f) + entr(1 - f)))
    # The level moves with temperature, so that the number of electrons does not.
    zeroth, first, second = (float(weights @ (f * (1 - f) * y**i)) for i in range(3))
    moved = first**2 / zeroth if zeroth > 0 else 0.0
    return (
        level,
        energy,
        entropy,
        energy - temperature * entropy,
        kB * (second - moved),
    )
