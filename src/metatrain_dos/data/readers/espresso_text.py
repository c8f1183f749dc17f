"""Read the text output of ``pw.x`` (Quantum ESPRESSO)."""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ase
import ase.io
import numpy as np

from ...utils.compressed import text_of
from ..calculation import Calculation, InputError
from ._ase import bands_from_ase
from ._common import each_step, label, make_calculation, numbers, reading, reads


KIND = "text output of pw.x"
MARK = b"Program PWSCF"
"""Text near the beginning of every such file."""
SCF = "Self-consistent Calculation"


@reads(KIND)
def read_espresso_text(path: str | Path) -> Calculation:
    """
    Read the text that ``pw.x`` (Quantum ESPRESSO) prints, with the help of ASE.

    Energies have four decimals. The XML file has all digits, and contains the bands
    even where those of many k-points are not printed.

    :param path: output of ``pw.x``; of several steps the last is used
    :return: the calculation
    :raises ValueError: if the file cannot be read, is not complete, has not converged,
        lacks the eigenvalues, or has k-points along a path
    """
    [atoms], text, electrons = _read_steps(path, -1)
    steps = text.count(SCF)
    return _from_step(atoms, text, electrons, steps, steps)


def read_espresso_text_steps(path: str | Path) -> Iterator[Calculation]:
    """
    Read every step that ``pw.x`` prints with its eigenvalues.

    :param path: output of ``pw.x``
    :return: calculations in the order of the steps
    :raises ValueError: as :func:`read_espresso_text`; after the others if a step lacks
        eigenvalues or has not converged
    """
    with reading(path, KIND):
        atoms, text, electrons = _read_steps(Path(path), slice(None))
        cycles = text.split(SCF)[1:]
        if len(cycles) != len(atoms):
            raise InputError(
                f"steps: expected as many structures as the {len(cycles)} SCF cycles, "
                f"got {len(atoms)}; leave --steps out for this file"
            )

        def make(number: int) -> Calculation:
            _check_scf(cycles[number - 1])
            step = atoms[number - 1]
            return _from_step(step, text, electrons, number, len(atoms))

        yield from each_step(make, range(1, len(atoms) + 1))


@reads(KIND)
def structure_in_text(path: Path) -> tuple[ase.Atoms, float]:
    """Read the last structure, and the number of electrons, without bands."""
    [atoms], _, electrons = _read_steps(path, -1)
    return atoms.copy(), electrons  # without the calculator


def _read_steps(path: str | Path, index: Any) -> tuple[list[ase.Atoms], str, float]:
    """Read steps; return them, the text of the last run, and the electrons."""
    text = text_of(path)
    last = text[max(text.rfind(MARK.decode()), 0) :]
    _check_text(last)
    # A level that did not fit its columns is not needed; ASE would stumble over it.
    last = re.sub(r".*(Fermi energ|highest occupied).*\*\*.*\n", "", last)
    atoms = list(ase.io.iread(io.StringIO(last), index=index, format="espresso-out"))
    electrons = re.findall(r"number of electrons\s*=\s*([\d.]+)", last)
    return atoms, last, float(electrons[-1])


def _from_step(
    atoms: ase.Atoms, last: str, electrons: float, step: int, steps: int
) -> Calculation:
    """Make a calculation from a step in the text that ``pw.x`` prints."""
    left_out = "set verbosity='high' to print the bands" in last
    if left_out or "bands (ev)" not in last or atoms.calc.kpts is None:
        raise InputError(
            "eigenvalues: expected in the output, got none; give the prefix.xml of "
            "this run, or run pw.x with verbosity = 'high'"
        )
    states = re.findall(r"number of Kohn-Sham states\s*=\s*(\d+)", last)
    eigenvalues, weights, fermi_level = bands_from_ase(atoms)
    if eigenvalues.shape[-1] != int(states[-1]):
        raise InputError(
            f"eigenvalues: expected {states[-1]} at every k-point, got "
            f"{eigenvalues.shape[-1]}; check whether the output is complete"
        )
    results = atoms.calc.results
    structure = atoms.copy()  # without the calculator
    label(structure, *map(results.get, ("free_energy", "forces", "stress")))
    return make_calculation(
        atoms=structure,
        eigenvalues=eigenvalues,
        kpoint_weights=weights,
        kpoints=_printed_kpoints(last)[: len(weights)],
        fermi_level=fermi_level,
        n_electrons=electrons,
        step=max(step, 1),
        steps=max(steps, 1),
    )


def _check_text(text: str) -> None:
    """Refuse files that ASE would read although they hold no result."""
    if "JOB DONE." not in text[-10_000:]:
        raise InputError(
            "JOB DONE: expected at the end of the output, got nothing; check whether "
            "pw.x finished"
        )
    _check_scf(text.rpartition(SCF)[2])
    if not re.search("Fermi energ|highest occupied", text):
        raise InputError(
            "Fermi energy: expected in the output, got nothing, as in runs along a "
            "path; run pw.x with calculation = 'nscf' and a grid"
        )


def _check_scf(text: str) -> None:
    """Refuse a density that is not self-consistent."""
    if "convergence NOT achieved" in text:
        raise InputError(
            "the SCF cycle: expected to converge, but it did not; run pw.x until it "
            "finds the self-consistent density"
        )


def _printed_kpoints(text: str) -> np.ndarray:
    """Read fractional coordinates of the k-points, ``(k-points, 3)``."""
    vector = r"\(\s*(\S+)\s+(\S+)\s+(\S+)\s*\)"
    # The axes before any change of the cell, in which the k-points are printed
    axes = re.findall(rf"^ +a\(\d\) = {vector}", text, re.MULTILINE)[:3]
    points = text.partition("cart. coord. in units 2pi/alat")[2].partition("\n\n")[0]
    found = re.findall(rf"k\( *\d+\) = {vector}, wk", points)
    cartesian = numbers(" ".join(x for row in found for x in row), "k-points")
    return cartesian.reshape(-1, 3) @ np.array(axes, dtype=np.float64).T
