"""Read the text files of VASP: ``EIGENVAL`` and those beside it."""

import re
from pathlib import Path

import numpy as np

from ...utils.compressed import text_of
from ..calculation import Calculation, InputError
from ._common import make_calculation, maybe, numbers, reads
from ._vasp_text import outcar_beside, structure, text_beside
from .vasp import level_between


@reads("EIGENVAL of VASP beside POSCAR or CONTCAR")
def read_eigenval(path: str | Path) -> Calculation:
    """
    Read ``EIGENVAL`` of VASP, with files beside it that have the same ending.

    The structure is that of ``CONTCAR`` and ``POSCAR``, which have to agree; after a
    relaxation, the last of ``OUTCAR`` is used. The Fermi level comes from ``OUTCAR`` or
    ``DOSCAR``, or else from the occupations.

    :param path: file that VASP has written
    :return: the calculation
    :raises ValueError: if the files cannot be read, are not complete, have not
        converged, or have k-points along a path
    """
    outcar = outcar_beside(path)
    level = _level(path, outcar)
    head, *lines = text_of(path).split("\n", 6)
    channels = int(numbers(head, "first line")[-1])
    electrons, kpoints, bands = (int(n) for n in numbers(lines[4], "sixth line"))
    rows = [line.split() for line in lines[5].splitlines() if line.strip()]
    if len(rows) != kpoints * (bands + 1) or channels not in (1, 2):
        raise InputError(
            f"EIGENVAL: expected {kpoints} k-points with {bands} bands each, got "
            f"{len(rows)} lines; check whether VASP finished"
        )
    blocks = [rows[i : i + bands + 1] for i in range(0, len(rows), bands + 1)]
    points = numbers(" ".join(" ".join(b[0]) for b in blocks), "k-points")
    points = points.reshape(kpoints, 4)
    values = np.array(
        [[numbers(" ".join(row), "eigenvalues")[1:] for row in b[1:]] for b in blocks]
    )
    eigenvalues = np.moveaxis(values[..., :channels], 2, 0)
    weights = points[:, 3] * (2 / channels)
    if values.shape[-1] == 2 * channels:  # since VASP 5.4
        occupations = np.moveaxis(values[..., channels:], 2, 0)
        count = (weights[:, None] * occupations).sum()
        # A band of spinors holds one electron.
        if channels == 1 and abs(count / 2 - electrons) < abs(count - electrons):
            weights = weights / 2
        if level is None:
            level = level_between(eigenvalues, occupations)
    return make_calculation(
        atoms=structure(path, outcar),
        eigenvalues=eigenvalues,
        kpoint_weights=weights,
        kpoints=points[:, :3],
        fermi_level=level,
        n_electrons=float(electrons),
    )


def _level(path: str | Path, outcar: str | None) -> float | None:
    """Find the Fermi level beside the eigenvalues."""
    levels = re.findall(r"E-fermi :\s*(\S+)", outcar or "")
    if levels:
        return maybe(levels[-1])
    lines = (text_beside(path, "DOSCAR") or "").splitlines()[5:6]
    return maybe(lines[0].split()[3]) if lines and len(lines[0].split()) > 3 else None
