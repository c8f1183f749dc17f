"""Read the netCDF files of ABINIT."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ..calculation import Calculation
from ._common import BOHR, HARTREE, crystal, naming, parsing
from .netcdf import read_netcdf


__all__ = ["read_abinit_gsr"]

VARIABLES = (
    "primitive_vectors",
    "atom_species",
    "atomic_numbers",
    "reduced_atom_positions",
    "eigenvalues",
    "number_of_states",
    "kpoint_weights",
    "kptopt",
    "fermie",
    "nelect",
    "deltae",
)

SPINORS = "number_of_spinor_components"

# Last change of the total energy, hartree; the file says nothing else about whether
# the self-consistent density was found.
LARGEST_CHANGE = 1e-3


def read_abinit_gsr(path: str | Path) -> Calculation:
    """
    Read the ground-state results of ABINIT, ``*_GSR.nc``.

    Needs the Python package netCDF4. Where k-points have different numbers of bands,
    the bands that all of them have are taken.

    :param path: file that ABINIT has written
    :return: the calculation
    :raises ValueError: if the file cannot be read, is not complete, has not converged,
        or has k-points along a path, or netCDF4 is not installed
    """
    path = Path(path)
    if find_spec("netCDF4") is None:
        raise ValueError(
            f"{path}: expected the Python package netCDF4, which reads such files, but "
            "it is not installed; pip install netCDF4"
        )
    with parsing(path, "netCDF output of ABINIT"):
        found = read_netcdf(path, VARIABLES, (SPINORS,))
    with naming(path):
        return _from_gsr(found, int(found[SPINORS]))


def _from_gsr(found: dict[str, np.ndarray], spinors: int) -> Calculation:
    """Take a calculation out of the variables of a file."""
    if found["kptopt"] < 0:
        raise ValueError(
            f"kptopt: expected a k-point grid, got {int(found['kptopt'])}, which is a "
            "path; run ABINIT with kptopt = 1"
        )
    if abs(found["deltae"]) > LARGEST_CHANGE:
        raise ValueError(
            f"deltae: expected a last change of the energy below {LARGEST_CHANGE:g} "
            f"hartree, got {float(found['deltae']):.2g}; run ABINIT until it finds the "
            "self-consistent density"
        )
    eigenvalues = HARTREE * found["eigenvalues"]
    # The rows of k-points with fewer bands are filled up with meaningless numbers.
    bands = int(found["number_of_states"].min())
    weights = found["kpoint_weights"]
    counted = weights > 0
    numbers = found["atomic_numbers"][found["atom_species"] - 1]
    return Calculation(
        atoms=crystal(
            np.rint(numbers).astype(int),
            found["reduced_atom_positions"],
            BOHR * found["primitive_vectors"],
        ),
        eigenvalues=eigenvalues[:, counted, :bands],
        kpoint_weights=weights[counted] * (2 / (len(eigenvalues) * spinors)),
        fermi_level=HARTREE * float(found["fermie"]),
        n_electrons=float(found["nelect"]),
    )
