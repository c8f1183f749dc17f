"""Read the eigenvalues that CASTEP writes to ``.bands``."""

import re
from collections.abc import Iterator
from pathlib import Path

import ase
import numpy as np

from ...utils.compressed import existing, plain_name, text_of
from ..calculation import Calculation, InputError
from ._common import BOHR, HARTREE, crystal, make_calculation, numbers, reads


NUMBER = r"([-+]?\d*\.\d+)"
VECTOR = rf"\s+{NUMBER}\s+{NUMBER}\s+{NUMBER}"
POINT = re.compile(r"^\s*K-point\s+(\d+)(.*)$", re.MULTILINE)
CHANNEL = re.compile(r"^\s*Spin component\s+\d+\s*$", re.MULTILINE)
TABLE = "Fractional coordinates of atoms"
ATOM = re.compile(rf"^\s*x\s+([A-Z][a-z]?)\S*\s+\d+{VECTOR}", re.MULTILINE)
BLOCK = re.compile(
    r"^\s*%BLOCK\s+POSITIONS_(FRAC|ABS)\s*$(.*?)^\s*%ENDBLOCK",
    re.MULTILINE | re.DOTALL | re.IGNORECASE,
)
SITE = re.compile(rf"^\s*([A-Za-z]+)\S*{VECTOR}", re.MULTILINE)
UNITS = {"": 1.0, "ang": 1.0, "bohr": BOHR, "a0": BOHR, "nm": 10.0}
NOT_CONVERGED = (
    "SCF cycles performed but system has not reached the groundstate",
    "electronic minimisation did not converge",
)


@reads("bands of CASTEP beside the .castep or .cell of the same run")
def read_castep(path: str | Path) -> Calculation:
    """
    Read ``SEED.bands``, with the atoms of a file beside it.

    They are those of ``SEED.castep``, the last ones after a relaxation; or of
    ``SEED-out.cell``; or of ``SEED.cell``, unless there was a relaxation.

    :param path: file that CASTEP has written
    :return: the calculation
    :raises ValueError: if the files cannot be read, are not complete, have not
        converged, or have k-points along a path
    """
    head, *parts = POINT.split(text_of(path))
    # Each process writes its own points, so that only their numbers show a path.
    points = sorted(
        zip(*(parts[i::3] for i in range(3)), strict=True), key=lambda p: int(p[0])
    )
    lines = head.splitlines()
    kpoints, channels = (int(line.split()[-1]) for line in lines[:2])
    electrons, bands, levels = (
        numbers(re.sub(r"^[^\d-]*(\(.*\))?", "", line), "first lines")
        for line in lines[2:5]
    )
    cell = BOHR * numbers(" ".join(lines[6:9]), "cell").reshape(3, 3)
    places = numbers(" ".join(p[1] for p in points), "k-points").reshape(-1, 4)
    values = [
        [numbers(part, "eigenvalues") for part in CHANNEL.split(point[2])[1:]]
        for point in points
    ]
    sizes = {tuple(len(part) for part in each) for each in values}
    if len(values) != kpoints or sizes != {tuple(bands)} or channels not in (1, 2):
        raise InputError(
            f"eigenvalues: expected {kpoints} k-points with {channels} spin channels "
            f"of {' and '.join(f'{n:g}' for n in bands)} bands each, got "
            f"{len(values)} points with other numbers; check whether CASTEP finished"
        )
    most = int(bands.min())
    eigenvalues = HARTREE * np.moveaxis(
        np.array([[part[:most] for part in each] for each in values]), 1, 0
    )
    weights = places[:, 3] * (2 / channels / places[:, 3].sum())
    level = HARTREE * levels[0] if len(set(levels)) == 1 else None
    if channels == 1 and level is not None:
        # A band of spinors holds one electron.
        count = (weights * (eigenvalues[0] < level).sum(-1)).sum()
        if abs(count / 2 - electrons.sum()) < abs(count - electrons.sum()):
            weights = weights / 2
    return make_calculation(
        atoms=_atoms_beside(Path(path), cell),
        eigenvalues=eigenvalues,
        kpoint_weights=weights,
        kpoints=places[:, :3],
        fermi_level=level,
        n_electrons=float(electrons.sum()),
    )


def files_beside(path: Path) -> Iterator[tuple[str, Path]]:
    """Find the files of the same run that tell its atoms, each after its plain name."""
    seed = plain_name(path)[: -len(".bands")]
    for end in (".castep", "-out.cell", ".geom", ".md", ".cell"):
        if file := existing(path.with_name(seed + end)):
            yield seed + end, file


def _atoms_beside(path: Path, cell: np.ndarray) -> ase.Atoms:
    """Find the atoms that the bands belong to."""
    seed = plain_name(path)[: -len(".bands")]
    files = dict(files_beside(path))
    if castep := files.get(f"{seed}.castep"):
        output = text_of(castep)
        if any(mark in output for mark in NOT_CONVERGED):
            raise InputError(
                "the SCF cycle: expected one that converged, got none in "
                f"{seed}.castep; run CASTEP until it finds the ground state"
            )
        sites = ATOM.findall(output.rpartition(TABLE)[2].partition("xxx")[0])
        return _place(sites, f"{seed}.castep", cell, np.eye(3))
    for name, file in files.items():
        if not name.endswith(".cell"):  # and there is no final structure
            raise InputError(
                f"structure: expected {seed}.castep, because {name} says that the "
                f"atoms have moved, got at most {seed}.cell; put it beside the bands"
            )
        block = BLOCK.search(re.sub(r"[#!].*", "", text_of(file)))
        kind, lines = block.groups() if block else ("FRAC", "")
        unit = re.match(r"\s*([a-z0]+)\s*\n", lines, re.IGNORECASE)
        scale = UNITS[unit[1].lower() if unit else ""]
        in_cell = scale * np.linalg.inv(cell) if kind.upper() == "ABS" else np.eye(3)
        return _place(SITE.findall(lines), name, cell, in_cell)
    raise InputError(
        f"structure: expected {seed}.castep or {seed}.cell beside the bands, got "
        "neither; copy it there"
    )


def _place(
    sites: list[tuple[str, ...]], name: str, cell: np.ndarray, in_cell: np.ndarray
) -> ase.Atoms:
    """Make a structure from symbols and coordinates, fractional after ``in_cell``."""
    if not sites:
        raise InputError(
            f"positions: expected the atoms in {name}, got none; check whether the "
            "file is complete"
        )
    places = np.array([xyz for _, *xyz in sites], dtype=np.float64) @ in_cell
    return crystal([symbol.capitalize() for symbol, *_ in sites], places, cell)
