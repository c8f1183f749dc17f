"""Read the density of states of ``dos.x`` (Quantum ESPRESSO)."""

import re
from collections.abc import Iterator
from pathlib import Path

import ase
import numpy as np

from ...utils.compressed import plain_name, text_of
from ..calculation import InputError
from ..gridded_dos import GriddedDOS
from ..identity import fingerprint, same_structures
from . import espresso, espresso_text
from ._common import HARTREE, head, maybe, numbers, reads
from ._dos import FERMI, GAUSSIAN, smearing_or
from ._grids import check_distances


OUTPUTS = ("*.save", "*.xml*", "*.out*", "*.pwo*", "*.log*")
BROADENING = re.compile(r"ngauss,\s*degauss=\s*(-?\d+)\s+(\S+)")


@reads("output of dos.x beside that of pw.x")
def read_espresso_dos(path: str | Path, smearing: float | None = None) -> GriddedDOS:
    """
    Read the density of states of ``dos.x``, with outputs of the same run beside it.

    The structure and the number of electrons come from an output of ``pw.x``, XML or
    text, and the smearing from that of ``dos.x``. Names that begin like the file are
    preferred.

    :param path: ``prefix.dos``
    :param smearing: standard deviation of its own Gaussians, eV, where no output of
        ``dos.x`` says it
    :return: the density of states
    :raises ValueError: if the files cannot be read, are not complete, have different
        structures, or do not say the smearing
    """
    path = Path(path)
    header, *lines = text_of(path).splitlines()
    rows = [numbers(line, "dos") for line in lines if line.strip()]
    channels = 2 if "dosup" in header else 1
    values = np.array(rows).T
    if len(values) != 2 + channels:
        raise InputError(
            f"dos: expected {2 + channels} columns, got {len(values)}; check "
            "whether dos.x finished"
        )
    atoms, electrons = _structure(path)
    level = re.search(r"EFermi =\s*(\S+)", header)
    # The printed energies are rounded to three decimals.
    energies = np.linspace(values[0, 0], values[0, -1], values.shape[1])
    return GriddedDOS.from_samples(
        check_distances(atoms),
        energies,
        values[1:-1],
        smearing=smearing_or(_smearing(path), smearing),
        fermi_level=maybe(level[1]) if level else None,
        n_electrons=electrons,
    )


def files_beside(path: Path, start: str = "") -> set[Path]:
    """Find files, and folders, that may be outputs of the same run."""
    return {file for each in OUTPUTS for file in path.parent.glob(start + each)}


def _beside(path: Path, mark: bytes) -> Iterator[list[Path]]:
    """Find outputs with a mark: those that are named like the file, then all."""
    prefix = plain_name(path).split(".")[0]
    for start in (prefix, ""):
        yield [
            file
            for file in sorted(files_beside(path, start))
            if (mark == espresso.MARK if file.is_dir() else mark in head(file))
        ]


def _structure(path: Path) -> tuple[ase.Atoms, float]:
    """Read the structure in the outputs of ``pw.x``, which have to agree."""
    problem: ValueError | None = None
    for mark, read in (
        (espresso.MARK, espresso.structure_in_xml),
        (espresso_text.MARK, espresso_text.structure_in_text),
    ):
        for files in _beside(path, mark):
            structures = []
            for file in files:
                try:
                    structures.append(read(file))
                except ValueError as error:
                    problem = error
            if not structures:
                continue
            prints = np.array([fingerprint(atoms) for atoms, _ in structures])
            if len(set(same_structures(prints))) > 1:
                raise InputError(
                    "structure: expected the same one in all outputs of pw.x beside "
                    f"it, got several in {', '.join(file.name for file in files)}; "
                    f"name those of this run {plain_name(path).split('.')[0]}*"
                )
            return structures[0]
    raise InputError(
        "structure: expected an output of pw.x beside it, XML or text, got none "
        f"that can be used ({problem or 'there is none'}); put it there"
    )


def _smearing(path: Path) -> float | None:
    """Find the standard deviation of the Gaussians, eV, in the output of ``dos.x``."""
    for files in _beside(path, b"Program DOS"):
        widths = set()
        for file in files:
            text = text_of(file)
            found = BROADENING.findall(text)
            if found:
                kind, degauss = found[-1]
                # Methfessel-Paxton and cold smearing have no second moment.
                deviation = {0: GAUSSIAN, -99: FERMI}.get(int(kind), 0.0)
                widths.add(deviation * float(degauss) * HARTREE / 2)
            elif "etrahedra used" in text:
                widths.add(0.0)
        if len(widths) == 1:
            return widths.pop()
    return None
