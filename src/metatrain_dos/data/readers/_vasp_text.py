"""Read the structure, and signs of convergence, from the text files of VASP."""

import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import ase
import ase.io
import numpy as np

from ...utils.compressed import existing, plain_name, text_of
from ..calculation import InputError
from ._common import numbers


# Fractional coordinates of POSCAR and CONTCAR of one structure, Å
SAME = 1e-4

# Files that a run of VASP is read from besides its eigenvalues or DOS.
BESIDE = ("POSCAR", "CONTCAR", "OUTCAR", "DOSCAR", "INCAR", "KPOINTS")

VECTOR = r"\s+".join([r"(-?\d+\.\d+)"] * 3)


def file_beside(path: str | Path, name: str) -> Path | None:
    """Find another file of the same run: OUTCAR.relax2.gz beside EIGENVAL.relax2."""
    names = r"(?i)eigenval|doscar|vasprun\.xml"
    found, count = re.subn(names, name, plain_name(path))
    return existing(Path(path).with_name(found if count else name))


def files_beside(path: str | Path, names: Iterable[str] = BESIDE) -> Iterator[Path]:
    """Find other files of the same run that exist."""
    found = (file_beside(path, name) for name in names)
    return (file for file in found if file is not None)


def text_beside(path: str | Path, name: str) -> str | None:
    """Read another file of the same run; ``None`` if there is none."""
    file = file_beside(path, name)
    return None if file is None else text_of(file)


def structure(path: str | Path, outcar: str | None) -> ase.Atoms:
    """
    Find the structure that the states belong to.

    :param path: file of the run
    :param outcar: text of its ``OUTCAR``; ``None`` if there is none
    :return: the structure
    :raises InputError: if there is none, or ``CONTCAR`` and ``POSCAR`` differ and there
        is no ``OUTCAR``
    """
    found = [
        poscar(text)
        for name in ("CONTCAR", "POSCAR")
        if (text := text_beside(path, name))
    ]
    if not found:
        raise InputError(
            "POSCAR: expected it or CONTCAR beside this file, got neither; give the "
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


def poscar(text: str) -> ase.Atoms:
    """Read a structure that names its elements, without constraints and velocities."""
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


def outcar_beside(path: str | Path) -> str | None:
    """Read ``OUTCAR`` if there is one, and refuse a density that is not converged."""
    text = text_beside(path, "OUTCAR")
    if "EDIFF was not reached" in (text or "").rpartition("aborting loop")[2][:200]:
        raise InputError(
            "OUTCAR: expected the last step to reach EDIFF, but it did not; run VASP "
            "until it finds the self-consistent density"
        )
    return text
