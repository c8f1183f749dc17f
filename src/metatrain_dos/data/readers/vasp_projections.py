"""Read the projections of VASP, in ``vasprun.xml`` or ``PROCAR``."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import ase
import numpy as np

from ...utils.compressed import open_text
from ..calculation import Calculation, InputError
from ..projection import projected
from ..symmetry import equivalent_atoms
from ._common import check_same_run, numbers
from ._vasp_text import file_beside, files_beside
from ._vasprun import PROJECTED, Section, read_kpoints


def projections_beside(path: Path) -> Iterator[Path]:
    """Find the files of projections beside ``vasprun.xml``."""
    return files_beside(path, ("PROCAR", "PROCAR_OPT"))


def add_projections(
    calculation: Calculation,
    sections: dict[str, Section],
    points: Section,
    parts: dict[str, list[np.ndarray]],
    path: Path,
) -> Calculation:
    """
    Add projections to a calculation of VASP.

    :param sections: sections of ``vasprun.xml``
    :param points: section of the k-points of the calculation
    :param parts: projections in that file, as it has them
    :param path: that file, beside which there may be a ``PROCAR``
    :raises InputError: if there are none, or they are of another run
    """
    is_opt = points is not sections["kpoints"]
    _, weights = read_kpoints(points)
    counted = weights > 0
    channels, _, bands = calculation.eigenvalues.shape
    shape = (channels, len(counted), bands)
    rows = parts.get(PROJECTED[is_opt])
    file = file_beside(path, "PROCAR_OPT" if is_opt else "PROCAR")
    if not rows and file is not None:
        rows, energies = _read_procar(file)
        if energies.size == np.prod(shape):
            energies = energies.reshape(shape)[:, counted]
        fix = "leave the files of one run in one folder"
        names = path.name, file.name
        check_same_run(calculation.eigenvalues, energies, names, fix)
    if not rows:
        raise InputError(
            f"projections: expected <projected> in {path.name}, or PROCAR beside it, "
            "got neither; run VASP with LORBIT = 11"
        )
    # Spinors have three components of the magnetisation besides.
    size = int(np.prod(shape))
    values = np.array(rows[:size]).reshape(*shape, -1)[:, counted]
    orbits = _orbits(calculation.atoms, sections["parameters"])
    return projected(calculation, np.moveaxis(values, -1, 0), orbits)


def _read_procar(file: Path) -> tuple[list[np.ndarray], np.ndarray]:
    """Read the part of each state on each atom, in one row each, and energies, eV."""
    rows: list[np.ndarray] = []
    energies: list[str] = []
    ions = 0
    with open_text(file, errors="replace") as stream:
        for line in stream:
            words = line.split()
            if words[:2] == ["#", "of"]:
                ions = int(words[-1])
            elif words[:1] == ["band"]:
                energies.append(words[4])
            # Phases follow under another such line.
            elif words[:1] == ["ion"] and len(rows) < len(energies):
                last = [each.split()[-1] for each in islice(stream, ions)]
                rows.append(numbers(" ".join(last), "PROCAR"))
    return rows, numbers(" ".join(energies), "PROCAR")


def _orbits(atoms: ase.Atoms, parameters: Section) -> np.ndarray:
    """Find the atoms that symmetry exchanges: each gets the lowest of their numbers."""
    symmetry = parameters.findtext(".//i[@name='ISYM']")
    if symmetry is not None and int(symmetry) <= 0:
        return np.arange(len(atoms))
    kinds = atoms.numbers[:, None]
    moments = numbers(parameters.findtext(".//v[@name='MAGMOM']") or "0", "MAGMOM")
    if len(moments) % len(atoms) == 0:  # one for each atom, or three with spinors
        kinds = np.hstack([kinds, moments.reshape(len(atoms), -1)])
    return equivalent_atoms(atoms, np.unique(kinds, axis=0, return_inverse=True)[1])
