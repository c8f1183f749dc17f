"""Make ``vaspout.h5.gz``, in the layout of VASP 6.5, of numbers that tests can expect.

VASP cannot be run here. Needs h5py::

    python make_vaspout.py
"""

import gzip
import io
from pathlib import Path

import h5py
import numpy as np


CELL = np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
BANDS = np.array([[[-5.0, 1.0], [-4.0, 2.0]]])
DENSE = np.array([[[-5.0, 1.0], [-4.5, 1.5], [-4.0, 2.0]]])
DATA = {
    "input/incar/ENCUT": 300.0,
    "results/positions/ion_types": np.array([b"Si", b"r "]),
    "results/positions/number_ion_types": np.array([1, 1]),
    "results/positions/scale": 5.4,
    "intermediate/ion_dynamics/lattice_vectors": np.array([CELL, 1.01 * CELL]),
    "intermediate/ion_dynamics/position_ions": np.array(
        [[[0, 0, 0], [0.25, 0.25, 0.25]], [[0, 0, 0], [0.25, 0.26, 0.25]]]
    ),
    "intermediate/ion_dynamics/forces": np.array(
        [np.zeros((2, 3)), [[0, 0, 1], [0, 0, -1]]]
    ),
    "intermediate/ion_dynamics/stress": np.array([np.eye(3), 10 * np.eye(3)]),
    "intermediate/ion_dynamics/energies": np.array([[-9.0, -8.0], [-10.0, -9.0]]),
    "intermediate/ion_dynamics/electronic_step_converged": np.array([[1.0], [0.0]]),
    "results/electron_dos/efermi": -1.5,
    "results/electron_dos/ncdij": 1,
    "results/electron_dos_kpoints_opt/efermi": -1.4,
    "results/electron_eigenvalues/nelectrons": 2.0,
    "results/electron_eigenvalues/eigenvalues": BANDS,
    "results/electron_eigenvalues/fermiweights": (BANDS < 0).astype(float),
    "results/electron_eigenvalues/kpoint_coords": np.array([[0, 0, 0], [0.5, 0, 0]]),
    "results/electron_eigenvalues/kpoints_symmetry_weight": np.array([0.25, 0.75]),
    "results/electron_eigenvalues_kpoints_opt/eigenvalues": DENSE,
    "results/electron_eigenvalues_kpoints_opt/fermiweights": (DENSE < 0).astype(float),
    "results/electron_eigenvalues_kpoints_opt/kpoint_coords": np.array(
        [[0, 0, 0], [0.25, 0, 0], [0.5, 0, 0]]
    ),
    "results/electron_eigenvalues_kpoints_opt/kpoints_symmetry_weight": np.array(
        [0.25, 0.5, 0.25]
    ),
}


def main() -> None:
    """Write two files, with and without a denser grid."""
    for name, dense in (("vaspout", False), ("vaspout-opt", True)):
        content = io.BytesIO()
        with h5py.File(content, "w") as file:
            for key, value in DATA.items():
                if dense or "kpoints_opt" not in key:
                    file[key] = value
        path = Path(__file__).with_name(f"{name}.h5.gz")
        path.write_bytes(gzip.compress(content.getvalue(), mtime=0))


if __name__ == "__main__":
    main()
