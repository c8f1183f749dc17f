"""Read the text output of CP2K."""

import re
from pathlib import Path

import ase
import numpy as np

from ...utils.compressed import text_of
from ..calculation import Calculation, InputError
from ._common import (
    ATOMIC_UNITS,
    HARTREE,
    label,
    make_calculation,
    maybe,
    numbers,
    reads,
    rectangular,
)


NUMBER = r"(-?\d+\.\d+)"
VECTOR = rf" +{NUMBER} +{NUMBER} +{NUMBER}"
CELL = re.compile(rf"^ CELL\| Vector [abc] \[angstrom\]:?{VECTOR}", re.MULTILINE)
ATOM = re.compile(rf"^ +\d+ +\d+ +[A-Z]\S* +(\d+){VECTOR}", re.MULTILINE)
KPOINT = re.compile(rf"^ BRILLOUIN\| +\d+ +{NUMBER}{VECTOR} *$", re.MULTILINE)
HEAD = re.compile(r"^ MO\| (.*)EIGENVALUES AND OCC.*$", re.MULTILINE)
BAND = re.compile(r"^ MO\| +\d+ +(\S+) +(\S+) +(\S+) *$", re.MULTILINE)
ENERGY = re.compile(r"ENERGY\| Total FORCE_EVAL .*?(\S+) *\n")


@reads("text output of CP2K")
def read_cp2k(path: str | Path) -> Calculation:
    """
    Read the text output of CP2K, from which single points can be used.

    CP2K prints eigenvalues if told to in ``DFT/PRINT/MO``, with ``EIGENVALUES``,
    ``OCCUPATION_NUMBERS`` and a ``MO_INDEX_RANGE`` of all orbitals.

    :param path: output of CP2K
    :return: the calculation
    :raises ValueError: if the file cannot be read, is not complete, has not converged,
        lacks the eigenvalues or is a relaxation or trajectory
    """
    text = text_of(path)
    if "PROGRAM ENDED AT" not in text:
        raise InputError(
            "PROGRAM ENDED: expected at the end of the output, got nothing; check "
            "whether CP2K finished"
        )
    if text.count("SCF run converged in") != 1 or "SCF run NOT converged" in text:
        raise InputError(
            "the SCF cycle: expected one that converged, got "
            f"{text.count('SCF run converged in')} that did and "
            f"{text.count('SCF run NOT converged')} that did not; run CP2K with "
            "RUN_TYPE ENERGY or ENERGY_FORCE"
        )
    heads = list(HEAD.finditer(text))
    if not heads:
        raise InputError(
            "eigenvalues: expected in the output, got none; run CP2K with EIGENVALUES, "
            "OCCUPATION_NUMBERS and MO_INDEX_RANGE in DFT/PRINT/MO"
        )
    ends = [*(head.start() for head in heads[1:]), len(text)]
    channels: dict[bool, list[np.ndarray]] = {False: [], True: []}
    for head, end in zip(heads, ends, strict=True):
        block = text[head.end() : end].partition("MO| Sum")[0]
        rows = [(energy, occupation) for energy, _, occupation in BAND.findall(block)]
        values = numbers(" ".join(x for row in rows for x in row), "eigenvalues")
        channels["BETA" in head[0]].append(values.reshape(-1, 2))
    used = [channel for channel in channels.values() if channel]
    eigenvalues, occupations = (
        rectangular([[point[:, i] for point in channel] for channel in used])
        for i in (0, 1)
    )
    printed = np.array(KPOINT.findall(text), dtype=np.float64).reshape(-1, 4)
    if len(printed) == 0:  # at Gamma alone
        printed = np.array([[1.0, 0, 0, 0]])
    weights = printed[:, 0] * (2 / len(used) / printed[:, 0].sum())
    electrons = re.findall(r"Number of electrons: +(\d+)", text)
    # Occupations are 2 where there is no spin.
    count = (printed[:, :1] * occupations).sum() / printed[:, 0].sum()
    if electrons and abs(count - sum(map(int, electrons[: len(used)]))) > 0.01:
        raise InputError(
            f"occupations: expected {sum(map(int, electrons[: len(used)]))} electrons, "
            f"got {count:g}; print all orbitals, with MO_INDEX_RANGE in DFT/PRINT/MO"
        )
    level = re.findall(rf"MO\| E\(Fermi\): +{NUMBER}", text)
    sites = ATOM.findall(text.partition("ATOMIC COORDINATES")[2].partition("\n\n\n")[0])
    atoms = ase.Atoms(
        [int(number) for number, *_ in sites],
        positions=np.array([xyz for _, *xyz in sites], dtype=np.float64),
        cell=np.array(CELL.findall(text)[:3], dtype=np.float64),
        pbc=True,
    )
    found = ENERGY.search(text)
    label(atoms, maybe(found and found[1]), units=ATOMIC_UNITS)
    return make_calculation(
        atoms=atoms,
        eigenvalues=HARTREE * eigenvalues,
        kpoint_weights=weights,
        kpoints=printed[:, 1:],
        fermi_level=HARTREE * float(level[-1]) if len(set(level)) == 1 else None,
        n_electrons=float(count),
    )
