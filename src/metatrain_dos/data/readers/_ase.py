"""Take eigenvalues from calculators of ASE."""

import ase
import numpy as np

from ..calculation import Calculation, InputError
from ._common import rectangular


def calculation_from_ase(
    atoms: ase.Atoms, n_electrons: float | None = None
) -> Calculation:
    """
    Take a calculation from a structure with an ASE calculator that has results.

    The structure comes from ``ase.io.read``, where ASE reads eigenvalues and k-point
    weights, or its calculator has just run. Non-collinear calculations, in which a band
    holds one electron, are not recognised.

    :param atoms: structure whose calculator has eigenvalues and k-point weights
    :param n_electrons: number of electrons, where it is known
    :return: the calculation
    :raises ValueError: if the calculator lacks them, or they do not fit
    """
    eigenvalues, weights, fermi_level = bands_from_ase(atoms)
    return Calculation(
        atoms=atoms.copy(),  # without the calculator
        eigenvalues=eigenvalues,
        kpoint_weights=weights * (2 / len(eigenvalues) / np.sum(weights)),
        fermi_level=fermi_level,
        n_electrons=n_electrons,
    )


def bands_from_ase(atoms: ase.Atoms) -> tuple[np.ndarray, np.ndarray, float | None]:
    """
    Get the bands from the calculator of a structure.

    :param atoms: structure with a calculator
    :return: eigenvalues, ``(spin channels, k-points, bands)``, eV; k-point weights as
        they are, ``(k-points,)``; Fermi level, eV, ``None`` unless there is one
    :raises InputError: if the calculator has no eigenvalues or no weights, or k-points
        have different numbers of bands
    """
    calculator = atoms.calc
    weights = getattr(calculator, "get_k_point_weights", lambda: None)()
    if weights is None:
        raise InputError(
            "eigenvalues: expected a calculator that has them for every k-point, got "
            f"{type(calculator).__name__} without; find out which files of this code "
            "contain eigenvalues"
        )
    eigenvalues = rectangular(
        [
            [calculator.get_eigenvalues(kpt=k, spin=s) for k in range(len(weights))]
            for s in range(calculator.get_number_of_spins())
        ]
    )
    # A calculation with a fixed magnetic moment has one Fermi level for each channel.
    level = calculator.get_fermi_level()
    return (
        eigenvalues,
        np.asarray(weights),
        None if level is None or np.size(level) != 1 else float(level),
    )
