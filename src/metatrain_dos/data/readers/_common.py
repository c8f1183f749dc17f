"""What all readers share: units, errors that name the file, and bands from ASE."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ase
import numpy as np

from ...utils.text import shorten
from ..calculation import Calculation


# CODATA 2018, which Quantum ESPRESSO writes with; those in ase.units are older.
BOHR = 0.529177210903
HARTREE = 27.211386245988


@contextmanager
def parsing(path: Path, expected: str) -> Iterator[None]:
    """
    Turn every error of a parser into one that names the file.

    Files that were cut or damaged make parsers, those of ASE above all, stumble in ways
    that cannot be listed.

    :param path: file that is parsed
    :param expected: what the file should be
    :raises ValueError: instead of any other exception
    """
    try:
        yield
    except Exception as error:
        raise ValueError(
            f"{path}: expected {expected}, but it cannot be read "
            f"({type(error).__name__}: {shorten(error)}); check the path and whether "
            "the run finished"
        ) from error


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """
    Put the name of the file in front of what is wrong with its content.

    :param path: file that was parsed
    :raises ValueError: instead of ``TypeError``, ``ValueError``, ``ArithmeticError``
        and ``LookupError``
    """
    try:
        yield
    except (TypeError, ValueError, ArithmeticError, LookupError) as error:
        # Ours say what was expected; those of Python and NumPy do not.
        if "expected" in str(error):
            raise ValueError(f"{path}: {error}") from error
        raise ValueError(
            f"{path}: expected only known names, numbers and complete rows, got "
            f"{type(error).__name__}: {shorten(error)}; check whether the run finished"
        ) from error


def crystal(
    elements: list[str] | np.ndarray, scaled_positions: np.ndarray, cell: np.ndarray
) -> ase.Atoms:
    """
    Make a structure of positions in units of its cell.

    :param elements: symbols or atomic numbers, ``(atoms,)``
    :param scaled_positions: ``(atoms, 3)``
    :param cell: one vector in each row, ``(3, 3)``, Å
    :return: the structure
    :raises ValueError: if the cell has no volume, which would tell nothing of positions
    """
    if np.shape(cell) != (3, 3) or np.linalg.matrix_rank(cell) != 3:
        raise ValueError(
            f"cell: expected three vectors that span a volume, got {np.array(cell)}; "
            "check whether the file is complete"
        )
    return ase.Atoms(elements, cell=cell, scaled_positions=scaled_positions, pbc=True)


def calculation_from_ase(
    atoms: ase.Atoms, n_electrons: float | None = None
) -> Calculation:
    """
    Take a calculation from a structure with an ASE calculator that has results.

    That is one from ``ase.io.read``, where ASE reads eigenvalues and k-point weights,
    or from a calculator that has just run. Non-collinear calculations are not
    recognised: there a band holds one electron, not two.

    :param atoms: structure whose calculator has eigenvalues and k-point weights
    :param n_electrons: number of electrons, where it is known
    :return: the calculation
    :raises ValueError: if the calculator lacks them, or they do not fit
    """
    eigenvalues, weights, fermi_level = bands_from_ase(atoms)
    return Calculation(
        atoms=atoms.copy(),  # without the calculator
        eigenvalues=eigenvalues,
        kpoint_weights=weights * (2 / len(eigenvalues) / weights.sum()),
        fermi_level=fermi_level,
        n_electrons=n_electrons,
    )


def bands_from_ase(
    atoms: ase.Atoms,
) -> tuple[np.ndarray, np.ndarray, float | None]:
    """
    Ask the calculator of a structure for its bands.

    :param atoms: structure with a calculator
    :return: eigenvalues, ``(spin channels, k-points, bands)``, eV; k-point weights as
        they are, ``(k-points,)``; Fermi level, eV, ``None`` unless there is one
    :raises ValueError: if the calculator has no eigenvalues or no weights, or k-points
        have different numbers of bands
    """
    calculator = atoms.calc
    weights = getattr(calculator, "get_k_point_weights", lambda: None)()
    if weights is None:
        raise ValueError(
            "eigenvalues: expected a calculator that has them for every k-point, got "
            f"{type(calculator).__name__} without; see which files of this code hold "
            "eigenvalues"
        )
    channels = range(calculator.get_number_of_spins())
    bands = [
        [calculator.get_eigenvalues(kpt=k, spin=s) for k in range(len(weights))]
        for s in channels
    ]
    sizes = sorted({np.size(energies) for channel in bands for energies in channel})
    if len(sizes) != 1 or any(e is None for channel in bands for e in channel):
        raise ValueError(
            "eigenvalues: expected the same number of bands at every k-point, got "
            f"{sizes}; check whether the output is complete"
        )
    # A calculation with a fixed magnetic moment has one Fermi level for each channel.
    level = calculator.get_fermi_level()
    fermi_level = None if level is None or np.size(level) != 1 else float(level)
    return np.array(bands), np.asarray(weights), fermi_level
