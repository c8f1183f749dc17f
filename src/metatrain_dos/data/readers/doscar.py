"""Read ``DOSCAR`` of VASP, where nothing has the eigenvalues."""

import re
from pathlib import Path

import numpy as np

from ...utils.compressed import text_of
from ..calculation import InputError
from ..gridded_dos import GriddedDOS
from ._common import maybe, numbers, reads
from ._dos import FERMI, GAUSSIAN, electrons_below, smearing_or
from ._grids import check_distances, is_path
from ._vasp_text import outcar_beside, structure, text_beside


# Four digits are printed.
ROUNDING = 1e-3

NUMBER = r"\s+(-?\d+\.\d+)"

PATH = "kpoints: expected a grid, got a path; run VASP with a k-point grid"


@reads("DOSCAR of VASP beside POSCAR or CONTCAR")
def read_doscar(path: str | Path, smearing: float | None = None) -> GriddedDOS:
    """
    Read the total density of states in ``DOSCAR``, with files beside it.

    The structure is that of ``CONTCAR`` and ``POSCAR``, as for ``EIGENVAL``. The
    smearing, the number of electrons and the end of the bands come from ``OUTCAR``, or
    else the smearing from ``INCAR`` and the electrons from the integrated DOS.

    :param path: file that VASP has written
    :param smearing: standard deviation of its own Gaussians, eV, where no file says it
    :return: the density of states
    :raises ValueError: if the files cannot be read, are not complete, have not
        converged, have k-points along a path, or do not say the smearing
    """
    outcar = outcar_beside(path)
    _check_kpoints(outcar or "")
    kpoints = (text_beside(path, "KPOINTS") or "").splitlines()
    if len(kpoints) > 2 and kpoints[2].strip()[:1] in ("l", "L"):
        raise InputError(PATH)
    lines = text_of(path).splitlines()
    last, first, size, level = numbers(lines[5], "sixth line")[:4]
    rows = [numbers(line, "dos") for line in lines[6 : 6 + int(size)]]
    if len(rows) < size or len(rows[0]) not in (3, 5):
        raise InputError(
            f"dos: expected {size:g} lines of 3 or 5 numbers, got {len(rows)}; "
            "check whether VASP finished"
        )
    values = np.array(rows).T
    step = (last - first) / (size - 1)  # with more digits than the column
    edges = first + step * np.arange(-1, size)
    channels = len(values) // 2
    width = _smearing(outcar, text_beside(path, "INCAR"))
    width = smearing_or(width, smearing)
    states = _states(values[1 : 1 + channels] * step, values[1 + channels :], width > 0)
    found = re.findall(r"NELECT =\s*(\S+)", outcar or "")
    return GriddedDOS(
        atoms=check_distances(structure(path, outcar)),
        edges=edges,
        states=states,
        smearing=width,
        fermi_level=level,
        n_electrons=maybe(found[0]) if found else electrons_below(edges, states, level),
        end=_end_of_bands(outcar),
    )


def _states(from_dos: np.ndarray, below: np.ndarray, is_mean: bool) -> np.ndarray:
    """
    Find the states between energies, ``(spin channels, energies)``.

    A row has the states up to its energy, exactly. Its density is the mean since the
    row before it with Gaussians, apart from those that are narrower than a step, and
    that at its energy with tetrahedra.
    """
    total = below[:, -1:]
    if not from_dos[:, -1].any() and np.abs(total - np.rint(total)).max() > (
        ROUNDING * total.max()
    ):
        raise InputError(
            "dos: expected a whole number of states in each spin channel, as many as "
            f"bands, got {total.ravel()}; run VASP again, with another version"
        )
    off = np.abs(np.cumsum(from_dos, axis=1) - below).max()
    if is_mean and off < ROUNDING * total.max():
        return from_dos  # with more digits
    return np.diff(below, axis=1, prepend=0.0)


def _smearing(outcar: str | None, incar: str | None) -> float | None:
    """Find the standard deviation of the Gaussians, eV; ``None`` if it is not known."""
    if outcar is not None:
        found = re.findall(r"ISMEAR =\s*(-?\d+);\s*SIGMA\s*=\s*(\S+)", outcar)
        kind, width = found[-1] if found else (None, None)
    elif incar is not None:
        settings = dict(re.findall(r"(?m)^\s*(ISMEAR|SIGMA)\s*=\s*([-+.\dEe]+)", incar))
        kind, width = settings.get("ISMEAR", "1"), settings.get("SIGMA", "0.2")
    else:
        kind, width = None, None
    sigma = maybe(width)
    if kind is None or sigma is None:
        return None
    if kind == "0":
        return GAUSSIAN * sigma
    if kind in ("-1", "-14", "-15"):
        return FERMI * sigma
    # Tetrahedra; and Methfessel-Paxton's broadening has no second moment.
    return 0.0 if kind in ("-4", "-5") or int(kind) > 0 else None


def _check_kpoints(outcar: str) -> None:
    """Refuse k-points along a path, whose weights are all the same."""
    table = outcar.partition("k-points in reciprocal lattice and weights")[2]
    rows = re.findall(rf"(?m)^{NUMBER * 4}\s*$", table.partition("\n\n")[0])
    points = np.array(rows, dtype=np.float64).reshape(-1, 4)
    kept = points[:, 3] > 0
    points, weights = points[kept, :3], points[kept, 3]
    if len(points) and np.ptp(weights) == 0 and is_path(points, weights):
        raise InputError(PATH)


def _end_of_bands(outcar: str | None) -> float | None:
    """Find the lowest energy of the highest band, eV."""
    bands = (outcar or "").rpartition("E-fermi")[2]
    last = re.findall(rf"(?m)^\s+\d+{NUMBER}{NUMBER}\s*\n\s*\n", bands + "\n\n")
    return min(float(energy) for energy, _ in last) if last else None
