"""Read finished calculations: the structure, its eigenvalues and k-point weights.

A reader for another code is one function and one row of :data:`READERS`.
"""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import ase
import ase.io
import numpy as np
from ase.data import atomic_numbers

from .calculation import INFO_KEYS, Calculation, calculation_to_atoms


__all__ = [
    "READERS",
    "Calculation",
    "Reader",
    "calculation_to_atoms",
    "read_calculations",
    "read_espresso_xml",
    "read_extxyz",
]

# CODATA 2018, which Quantum ESPRESSO writes with; those in ase.units are older.
BOHR = 0.529177210903
HARTREE = 27.211386245988


def read_extxyz(path: str | Path) -> Iterator[Calculation]:
    """
    Read calculations from an extended XYZ file, one at a time.

    Every structure needs ``eigenvalues`` (eV) and ``kpoint_weights`` in its info, in
    the form that :func:`calculation_to_atoms` gives them; ``spin_channels`` (1),
    ``fermi_level`` (eV) and ``n_electrons`` are optional.

    :param path: file to read
    :return: calculations in the order of the file
    :raises ValueError: if the file cannot be read, or a structure lacks a key or has
        values that do not fit
    """
    structures = ase.io.iread(path, index=":", format="extxyz")
    number = 0
    while True:
        try:
            atoms = next(structures)
        except StopIteration:
            if number == 0:
                raise ValueError(
                    f"{path}: expected extended XYZ, got no structure; check the path"
                ) from None
            return
        # The error of ASE itself is an OSError; a broken header raises the others.
        except (OSError, ValueError, KeyError, IndexError) as error:
            raise ValueError(
                f"{path}: expected extended XYZ, but structure {number} cannot be read "
                f"({error}); check the path and whether the file is complete"
            ) from error
        try:
            calculation = _from_info(atoms)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}, structure {number}: {error}") from error
        yield calculation
        number += 1


def read_espresso_xml(path: str | Path) -> Calculation:
    """
    Read the XML output of ``pw.x`` (Quantum ESPRESSO).

    Takes the last step of ``scf``, ``nscf`` and relaxations, with and without spin, and
    non-collinear. A run with one Fermi level for each spin has none here.

    :param path: ``prefix.xml``, ``data-file-schema.xml`` or the folder ``prefix.save``
    :return: the calculation
    :raises ValueError: if the file cannot be read, is not complete, has not converged,
        or has k-points along a path
    """
    path = Path(path)
    if path.is_dir():
        path = path / "data-file-schema.xml"
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise ValueError(
            f"{path}: expected XML output of pw.x, but it cannot be read ({error}); "
            "check the path and whether the run finished"
        ) from error
    try:
        return _from_espresso(root)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error


class Reader(NamedTuple):
    """
    Say which files a function reads.

    :param pattern: shell pattern of the file name, in lower case
    :param read: function from a path to one calculation, or to several
    """

    pattern: str
    read: Callable[[Path], Calculation | Iterator[Calculation]]


READERS = {
    "Quantum ESPRESSO": Reader("*.xml", read_espresso_xml),
    "Quantum ESPRESSO folder": Reader("*.save", read_espresso_xml),
    "extended XYZ": Reader("*xyz", read_extxyz),
}
"""Format -> reader. The first row whose pattern fits the name of the file is used."""


def read_calculations(path: str | Path) -> Iterator[Calculation]:
    """
    Read all calculations in a file, whose name says the format (:data:`READERS`).

    :param path: file to read
    :return: calculations in the order of the file
    :raises ValueError: if the name fits no format, or the file cannot be read
    """
    path = Path(path)
    for reader in READERS.values():
        if fnmatch(path.name.lower(), reader.pattern):
            found = reader.read(path)
            yield from (found,) if isinstance(found, Calculation) else found
            return
    known = ", ".join(f"{reader.pattern} ({name})" for name, reader in READERS.items())
    raise ValueError(
        f"{path}: expected a file name like {known}, got {path.name!r}; rename the "
        "file or convert it to extended XYZ"
    )


def _from_info(atoms: ase.Atoms) -> Calculation:
    """Take a calculation out of the info of a structure, which loses those entries."""
    found = {key: atoms.info.pop(key) for key in INFO_KEYS if key in atoms.info}
    for key in ("eigenvalues", "kpoint_weights"):
        if key not in found:
            raise ValueError(
                f"{key}: expected in the info of the structure, got only "
                f"{sorted([*found, *atoms.info])}; write it with calculation_to_atoms"
            )
    # A list of one number comes back from extended XYZ as that number.
    eigenvalues = np.ravel(found["eigenvalues"])
    weights = np.ravel(found["kpoint_weights"])
    channels = found.get("spin_channels", 1)
    if channels not in (1, 2):
        raise ValueError(
            f"spin_channels: expected 1 or 2, got {channels!r}; leave it out if there "
            "is no spin"
        )
    if weights.size == 0 or eigenvalues.size % (channels * weights.size):
        raise ValueError(
            f"eigenvalues: expected a multiple of {channels} (spin channels) x "
            f"{weights.size} (k-points) numbers, got {eigenvalues.size}; give every "
            "k-point the same number of bands"
        )
    return Calculation(
        atoms=atoms,
        eigenvalues=eigenvalues.reshape(channels, weights.size, -1),
        kpoint_weights=weights,
        fermi_level=found.get("fermi_level"),
        n_electrons=found.get("n_electrons"),
    )


def _from_espresso(root: ElementTree.Element) -> Calculation:
    """Take a calculation out of the root element of an output of ``pw.x``."""
    if not root.tag.endswith("}espresso"):
        raise ValueError(
            f"root element: expected espresso, got {root.tag}; give the prefix.xml or "
            "data-file-schema.xml of pw.x"
        )
    kind = _find(root, "input/control_variables/calculation").text
    if kind == "bands":
        raise ValueError(
            "calculation: expected a k-point grid, got 'bands', which is a path; run "
            "pw.x with calculation = 'nscf' and a grid"
        )
    # Runs that are not self-consistent say "false" here, or nothing.
    converged = root.findtext("output/convergence_info/scf_conv/convergence_achieved")
    if kind != "nscf" and converged != "true":
        raise ValueError(
            f"convergence_achieved: expected true, got {converged}; run pw.x until it "
            "finds the self-consistent density"
        )
    structure = _find(root, "output/atomic_structure")
    sites = structure.findall("atomic_positions/atom")
    cell = [_numbers(_find(structure, f"cell/{name}")) for name in ("a1", "a2", "a3")]
    bands = _find(root, "output/band_structure")
    channels = 2 if _find(bands, "lsda").text == "true" else 1
    points = bands.findall("ks_energies")
    energies = np.array([_numbers(_find(point, "eigenvalues")) for point in points])
    weights = [float(_find(point, "k_point").get("weight", "nan")) for point in points]
    level = bands.find("fermi_energy")
    if level is None:
        level = bands.find("highestOccupiedLevel")
    return Calculation(
        atoms=ase.Atoms(
            [_symbol(site.get("name", "")) for site in sites],
            positions=BOHR * np.array([_numbers(site) for site in sites]),
            cell=BOHR * np.array(cell),
            pbc=True,
        ),
        # Each k-point lists the bands of the first channel, then those of the second.
        eigenvalues=HARTREE
        * energies.reshape(len(points), channels, -1).swapaxes(0, 1),
        kpoint_weights=np.array(weights),
        fermi_level=None if level is None else HARTREE * float(level.text or "nan"),
        n_electrons=float(_find(bands, "nelec").text or "nan"),
    )


def _find(element: ElementTree.Element, tag: str) -> ElementTree.Element:
    """Find an element that every finished run writes."""
    found = element.find(tag)
    if found is None:
        raise ValueError(
            f"{tag}: expected in the output of every finished run, got nothing; check "
            "whether pw.x finished"
        )
    return found


def _numbers(element: ElementTree.Element) -> np.ndarray:
    """Read the numbers in an element."""
    return np.array((element.text or "").split(), dtype=np.float64)


def _symbol(label: str) -> str:
    """Find the chemical symbol in the label of a species: Si1, fe_up, Oh."""
    for length in (2, 1):
        symbol = re.sub("[^A-Za-z].*", "", label)[:length].capitalize()
        if atomic_numbers.get(symbol, 0) > 0:
            return symbol
    raise ValueError(
        f"species: expected a label that begins with a chemical symbol, got {label!r}; "
        "rename it in the input of pw.x"
    )
