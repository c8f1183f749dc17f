"""Read the netCDF files of ABINIT."""

from pathlib import Path

import numpy as np

from ..calculation import Calculation, InputError
from ._common import (
    ATOMIC_UNITS,
    BOHR,
    HARTREE,
    crystal,
    label,
    make_calculation,
    reads,
    shown,
)
from ._grids import is_path
from ._hdf5 import read_hdf5


# Dimensions are variables to HDF5, on which netCDF is built.
VARIABLES = (
    "primitive_vectors",
    "atom_species",
    "atomic_numbers",
    "reduced_atom_positions",
    "eigenvalues",
    "number_of_states",
    "kpoint_weights",
    "reduced_coordinates_of_kpoints",
    "kptopt",
    "fermie",
    "nelect",
    "deltae",
    "etotal",
    "number_of_spinor_components",
)

LABELS = ("cartesian_forces", "cartesian_stress_tensor")

# Last change of the total energy, hartree; nothing else in the file tells whether the
# self-consistent density was found.
LARGEST_CHANGE = 1e-3


@reads("a GSR.nc file of ABINIT")
def read_abinit_gsr(path: str | Path) -> Calculation:
    """
    Read the ground-state results of ABINIT, ``*_GSR.nc``.

    Where k-points have different numbers of bands, only the bands that all of them
    have are used.

    :param path: file that ABINIT has written
    :return: the calculation
    :raises ValueError: if the file cannot be read, is not complete, has not converged,
        or has k-points along a path
    """
    found = read_hdf5(path, VARIABLES, LABELS)
    if found["kptopt"] < 0:
        raise InputError(
            f"kptopt: expected a k-point grid, got {int(found['kptopt'])}, which is a "
            "path; run ABINIT with kptopt = 1"
        )
    weights = found["kpoint_weights"]
    kpoints = found["reduced_coordinates_of_kpoints"]
    # The weights of a list (kptopt = 0) may all be zero, or not add up.
    listed = weights > 0 if weights.any() else weights == 0
    if is_path(kpoints[listed], weights[listed] + 1e-12):
        raise InputError(
            f"kpt: expected a k-point grid, got a list of {len(kpoints)} points along "
            "a path; run ABINIT with kptopt = 1"
        )
    if not abs(found["deltae"]) <= LARGEST_CHANGE:  # true also where it is no number
        raise InputError(
            f"deltae: expected a last change of the energy below {LARGEST_CHANGE:g} "
            f"hartree, got {shown(float(found['deltae']))}; run ABINIT until it finds "
            "the self-consistent density"
        )
    eigenvalues = HARTREE * found["eigenvalues"]
    spinors = found["number_of_spinor_components"].size
    # The rows of k-points with fewer bands are filled up with meaningless numbers.
    bands = int(found["number_of_states"].min())
    numbers = found["atomic_numbers"][found["atom_species"] - 1]
    atoms = crystal(
        np.rint(numbers).astype(int),
        found["reduced_atom_positions"],
        BOHR * found["primitive_vectors"],
    )
    forces, stress = (found.get(name) for name in LABELS)
    label(atoms, found["etotal"], forces, stress, units=ATOMIC_UNITS)
    return make_calculation(
        atoms=atoms,
        eigenvalues=eigenvalues[..., :bands],
        kpoint_weights=weights * (2 / (len(eigenvalues) * spinors)),
        kpoints=kpoints,
        fermi_level=HARTREE * float(found["fermie"]),
        n_electrons=float(found["nelect"]),
    )
