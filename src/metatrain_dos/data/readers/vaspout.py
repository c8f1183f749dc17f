"""Read ``vaspout.h5`` of VASP."""

from pathlib import Path

import numpy as np

from ..calculation import Calculation, InputError
from ._common import crystal, label, make_calculation, reads
from ._grids import is_path
from ._hdf5 import read_hdf5
from .vasp import ELEMENTS, UNITS, level_between


BANDS = ("eigenvalues", "fermiweights", "kpoint_coords", "kpoints_symmetry_weight")
GRIDS = ("", "_kpoints_opt")
POSITIONS = ("ion_types", "number_ion_types", "scale")
STEPS = ("lattice_vectors", "position_ions")
NEEDED = (
    *(f"results/electron_eigenvalues/{name}" for name in BANDS),
    *(f"results/positions/{name}" for name in POSITIONS),
    *(f"intermediate/ion_dynamics/{name}" for name in STEPS),
)
# Not in the files of all versions and kinds of runs
OPTIONAL = (
    *(f"intermediate/ion_dynamics/{name}" for name in ("energies", "forces", "stress")),
    "intermediate/ion_dynamics/electronic_step_converged",
    *(f"results/electron_dos{grid}/efermi" for grid in GRIDS),
    *(f"results/electron_eigenvalues_kpoints_opt/{name}" for name in BANDS),
    "results/electron_eigenvalues/nelectrons",
    "results/electron_dos/ncdij",
    *(f"input/incar/{name}" for name in ("LNONCOLLINEAR", "LSORBIT", "ICHARG")),
)


@reads("vaspout.h5 of VASP")
def read_vaspout(path: str | Path) -> Calculation:
    """
    Read ``vaspout.h5``, the HDF5 output of VASP 6.

    Uses the last step, and the k-points of ``KPOINTS_OPT`` where they are a denser
    grid. K-points without weight are left out.

    :param path: file that VASP has written
    :return: the calculation
    :raises ValueError: if the file cannot be read, is not complete, has not converged,
        or has k-points along a path
    """
    return _from_vaspout(read_hdf5(path, NEEDED, OPTIONAL))


def _from_vaspout(found: dict[str, np.ndarray]) -> Calculation:
    """Make a calculation from the arrays of a file."""
    steps = "intermediate/ion_dynamics"
    is_scf = found.get("input/incar/ICHARG", 0) < 10
    # 0 where it has converged
    failed = found.get(f"{steps}/electronic_step_converged", np.zeros(1)).ravel()[-1]
    if is_scf and failed:
        raise InputError(
            "electronic_step_converged: expected the last step to have converged, got "
            f"{failed:g}; run VASP until it finds the self-consistent density"
        )
    grid = _grid(found)
    eigenvalues, occupations, kpoints, weights = (
        found[f"results/electron_eigenvalues{grid}/{name}"] for name in BANDS
    )
    noncollinear = found.get("results/electron_dos/ncdij", 1) == 4 or any(
        found.get(f"input/incar/{name}", 0) for name in ("LNONCOLLINEAR", "LSORBIT")
    )
    weights = weights * (1 if noncollinear else 2 / len(eigenvalues)) / weights.sum()
    names = [
        np.char.decode(name).item().strip()
        for name in found["results/positions/ion_types"].astype("S")
    ]
    symbols = [ELEMENTS.get(name, name) for name in names]
    atoms = crystal(
        np.repeat(symbols, found["results/positions/number_ion_types"]).tolist(),
        found[f"{steps}/position_ions"][-1],
        found[f"{steps}/lattice_vectors"][-1] * found["results/positions/scale"],
    )
    if is_scf:
        energies, forces, stress = (
            found[f"{steps}/{name}"][-1] if f"{steps}/{name}" in found else None
            for name in ("energies", "forces", "stress")
        )
        energy = None if energies is None else energies[0]  # the free energy
        label(atoms, energy, forces, stress, units=UNITS)
    level = found.get(f"results/electron_dos{grid}/efermi")
    electrons = found.get(
        "results/electron_eigenvalues/nelectrons",
        (weights[:, None] * occupations).sum(),
    )
    return make_calculation(
        atoms=atoms,
        eigenvalues=eigenvalues,
        kpoint_weights=weights,
        kpoints=kpoints,
        fermi_level=level_between(eigenvalues, occupations)
        if level is None
        else float(level),
        n_electrons=float(electrons),
    )


def _grid(found: dict[str, np.ndarray]) -> str:
    """Choose the denser of two grids, and never a path."""
    weights, others = (
        found.get(f"results/electron_eigenvalues{grid}/kpoints_symmetry_weight")
        for grid in GRIDS
    )
    kpoints = found.get("results/electron_eigenvalues_kpoints_opt/kpoint_coords")
    if others is None or kpoints is None or is_path(kpoints, others):
        return GRIDS[0]
    return GRIDS[int((others > 0).sum() > (np.asarray(weights) > 0).sum())]
