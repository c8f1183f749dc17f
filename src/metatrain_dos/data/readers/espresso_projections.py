"""Read ``atomic_proj.xml`` of ``projwfc.x`` (Quantum ESPRESSO)."""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ...utils.compressed import open_bytes, plain_name, text_of
from ..calculation import Calculation, InputError
from ..projection import projected
from ._common import HARTREE, check_same_run, head, numbers


# Atomic wavefunctions of a pseudopotential in both versions of UPF. Those with a
# negative occupation are not used.
CHI = re.compile(r"<PP_CHI\.\d+\s([^>]*)>")
OLD_CHI = re.compile(r"^\s*\d?[A-Z]\s+(\d)\s+(-?[\d.]+)\s+Wavefunction", re.MULTILINE)

STATE = re.compile(r"state #\s*\d+: atom\s*(\d+)")


def projections_beside(path: Path) -> Iterator[Path]:
    """Find ``atomic_proj.xml`` beside an output of ``pw.x``, or in its folder."""
    saved = path.with_name(f"{Path(plain_name(path)).stem}.save")
    for folder in (path.parent, saved):
        yield from folder.glob("atomic_proj.xml*")


def add_projections(
    calculation: Calculation, root: ElementTree.Element, path: Path
) -> Calculation:
    """
    Add the projections of ``projwfc.x`` to a calculation of ``pw.x``.

    ``atomic_proj.xml`` does not tell which atom a wavefunction is of: this follows from
    the pseudopotentials in the same folder, or from the printed output of ``projwfc.x``
    there.

    :param root: root element of the output that the calculation was read from
    :param path: file of that output
    :raises InputError: if there are none, they cannot be read, or are of another run
    """
    files = list(projections_beside(path))
    if not files:
        raise InputError(
            f"projections: expected atomic_proj.xml beside {path.name}, or in the "
            ".save folder of the same name, got none; run projwfc.x"
        )
    with open_bytes(files[0]) as stream:
        energies, parts = _read(stream)
    names = path.name, str(files[0])
    fix = "run projwfc.x again, after pw.x"
    check_same_run(calculation.eigenvalues, energies, names, fix)
    shape = calculation.eigenvalues.shape
    # All k-points of one spin channel come before those of the other.
    values = np.array(parts).reshape(*shape[:2], -1, shape[2])
    owners = _owners(files[0].parent, root, len(calculation.atoms), values.shape[2])
    of_atoms = np.zeros((len(calculation.atoms), *shape))
    np.add.at(of_atoms, owners, np.moveaxis(values, 2, 0))
    return projected(calculation, of_atoms, _orbits(root, len(calculation.atoms)))


def _read(stream: BinaryIO) -> tuple[np.ndarray, list[np.ndarray]]:
    """Read the energies, eV, and the part of all states on each wavefunction."""
    energies, parts = [], []
    for _, element in ElementTree.iterparse(stream):
        if element.tag == "E":
            energies.append(HARTREE / 2 * numbers(element.text, "E"))
        elif element.tag == "ATOMIC_WFC":
            # of each band, a complex number
            values = numbers(element.text, "ATOMIC_WFC").reshape(-1, 2)
            parts.append((values**2).sum(axis=1))
            element.clear()
    if not parts:
        raise InputError(
            "projections: expected ATOMIC_WFC in atomic_proj.xml, got none; run "
            "projwfc.x of Quantum ESPRESSO 6.4 or later until it finishes"
        )
    return np.concatenate(energies), parts


def _owners(
    folder: Path, root: ElementTree.Element, atoms: int, count: int
) -> np.ndarray:
    """Find the atom of each wavefunction."""
    labels = [
        site.get("name", "")
        for site in root.findall("output/atomic_structure/atomic_positions/atom")
    ]
    files = {
        each.get("name", ""): folder / (each.findtext("pseudo_file") or "").strip()
        for each in root.findall("output/atomic_species/species")
    }
    if all(file.is_file() for file in files.values()):
        sizes = {label: _count_wavefunctions(file) for label, file in files.items()}
        each = np.array([sizes[label] for label in labels])
        # A spinor has two components.
        for factor in (1, 2):
            if factor * each.sum() == count:
                return np.repeat(np.arange(atoms), np.rint(factor * each).astype(int))
    for owners in _printed_owners(folder):
        if len(owners) == count and owners.max() < atoms:
            return owners
    raise InputError(
        f"projections: expected pseudopotentials (UPF) with {count} atomic "
        f"wavefunctions, or the output of projwfc.x, in {folder}, got neither; copy "
        "that there, because atomic_proj.xml does not name the atoms"
    )


def _count_wavefunctions(file: Path) -> float:
    """Count the atomic wavefunctions of one atom, without spin."""
    text = text_of(file)
    chi = [
        (_attribute(each, "l"), _attribute(each, "occupation"))
        for each in CHI.findall(text)
    ] or OLD_CHI.findall(text)
    # With spin-orbit coupling, there are two of each l > 0: of j = l - 1/2 and l + 1/2.
    is_relativistic = "<PP_ADDINFO>" in text or re.search(r'has_so="[^"]*[Tt]', text)
    used = [int(number) for number, occupation in chi if float(occupation) >= 0]
    return sum(n + 0.5 if is_relativistic and n else 2 * n + 1 for n in used)


def _attribute(text: str, name: str) -> str:
    found = re.search(rf'\b{name}="\s*([^"\s]*)', text)
    return found[1] if found else "-1"


def _printed_owners(folder: Path) -> Iterator[np.ndarray]:
    """Find the atoms of wavefunctions in outputs of ``projwfc.x``."""
    for file in sorted(folder.iterdir()):
        if file.is_file() and b"Program PROJWFC" in head(file):
            yield np.array(STATE.findall(text_of(file)), dtype=int) - 1


def _orbits(root: ElementTree.Element, atoms: int) -> np.ndarray:
    """Find the atoms that symmetry exchanges: each gets the lowest of their numbers."""
    images = [
        numbers(each.text, "equivalent_atoms").astype(int)
        for each in root.findall("output/symmetries/symmetry/equivalent_atoms")
    ]
    return np.min([np.arange(1, atoms + 1), *images], axis=0)
