"""Read the text files of VASP: ``EIGENVAL`` and those beside it."""

import io
import re
from pathlib import Path
from typing import Any

import ase
import ase.io
import numpy as np

from ...utils.compressed import OPENERS, open_text
from ..calculation import Calculation, InputError
from ._common import checked, maybe, numbers, reading
from .vasp import level_between


__all__ = ["read_eigenval"]

# Fractional coordinates of POSCAR and CONTCAR of one structure, Å
SAME = 1e-4

VECTOR = r"\s+".join([r"(-?\d+\.\d+)"] * 3)


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
    path = Path(path)
    kind = "EIGENVAL of VASP beside POSCAR or CONTCAR"
    with reading(path, kind), open_text(path) as stream:
        outcar = _text_beside(path, "OUTCAR")
        if outcar is not None:
            _check_outcar(outcar)
        atoms = _structure(path, outcar)
        return _from_eigenval(stream.read(), atoms, _level(path, outcar))


def _from_eigenval(text: str, atoms: ase.Atoms, level: float | None) -> Calculation:
    """Make a calculation from the text of the file."""
    head, *lines = text.split("\n", 6)
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
    counted = weights > 0
    return checked(
        Calculation(
            atoms=atoms,
            eigenvalues=eigenvalues[:, counted],
            kpoint_weights=weights[counted],
            kpoints=points[counted, :3],
            fermi_level=level,
            n_electrons=float(electrons),
        )
    )


def _text_beside(path: Path, name: str) -> str | None:
    """Read another file of the same run: OUTCAR.relax2.gz beside EIGENVAL.relax2."""
    plain = path.with_suffix("") if path.suffix.lower() in OPENERS else path
    other = plain.with_name(re.sub("eigenval", name, plain.name, flags=re.IGNORECASE))
    for ending in ("", *OPENERS):
        file = other.with_name(other.name + ending)
        if file.exists():
            with open_text(file, errors="replace") as stream:
                return stream.read()
    return None


def _structure(path: Path, outcar: str | None) -> ase.Atoms:
    """Find the structure that the eigenvalues belong to."""
    found = [
        _poscar(text)
        for name in ("CONTCAR", "POSCAR")
        if (text := _text_beside(path, name))
    ]
    if not found:
        raise InputError(
            "POSCAR: expected it or CONTCAR beside EIGENVAL, got neither; give the "
            "vasprun.xml of this run"
        )
    steps = [] if outcar is None else outcar.split("TOTAL-FORCE (eV/Angst)")[1:]
    if steps and outcar is not None:
        cells = outcar.split("direct lattice vectors")[1:]
        rows = steps[-1].strip().splitlines()[1 : len(found[0]) + 1]
        positions = numbers(" ".join(" ".join(r.split()[:3]) for r in rows), "POSITION")
        cell = re.findall(rf"^\s+{VECTOR}", cells[-1], re.MULTILINE)[:3]
        return ase.Atoms(
            found[0].numbers,
            positions=positions.reshape(-1, 3),
            cell=np.array(cell, dtype=np.float64),
            pbc=True,
        )
    moved = np.abs(found[0].get_scaled_positions() - found[-1].get_scaled_positions())
    moved = np.abs(moved - np.rint(moved)).max()
    if moved > SAME or np.abs(found[0].cell - found[-1].cell).max() > SAME:
        raise InputError(
            "CONTCAR: expected the structure of POSCAR, got another one, as after a "
            "relaxation; give the vasprun.xml of this run, or leave its OUTCAR there"
        )
    return found[0]


def _poscar(text: str) -> ase.Atoms:
    """Read a structure, without constraints and velocities."""
    lines = text.splitlines()
    if len(lines) < 7 or not re.fullmatch(r"\s*[A-Z].*", lines[5]):
        raise InputError(
            "POSCAR: expected the names of the elements in its sixth line, got none; "
            "add them, or give the vasprun.xml of this run"
        )
    atoms: Any = ase.io.read(io.StringIO(text), format="vasp")
    return ase.Atoms(
        atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True
    )


def _check_outcar(text: str) -> None:
    """Refuse a density that is not self-consistent."""
    if "EDIFF was not reached" in text.rpartition("aborting loop")[2][:200]:
        raise InputError(
            "OUTCAR: expected the last step to reach EDIFF, but it did not; run VASP "
            "until it finds the self-consistent density"
        )


def _level(path: Path, outcar: str | None) -> float | None:
    """Find the Fermi level beside the eigenvalues."""
    levels = re.findall(r"E-fermi :\s*(\S+)", outcar or "")
    if levels:
        return maybe(levels[-1])
    lines = (_text_beside(path, "DOSCAR") or "").splitlines()[5:6]
    return maybe(lines[0].split()[3]) if lines and len(lines[0].split()) > 3 else None
