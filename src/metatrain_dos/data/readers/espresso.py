"""Read what ``pw.x`` (Quantum ESPRESSO) writes: its XML file and what it prints."""

import io
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import ase
import ase.io
import numpy as np
from ase.data import atomic_numbers

from ..calculation import Calculation, InputError
from ._common import BOHR, HARTREE, bands_from_ase, numbers, reading


__all__ = ["read_espresso_text", "read_espresso_xml"]


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
    with reading(path, "XML output of pw.x"):
        root = ElementTree.parse(path).getroot()
        return _from_espresso(root)


def read_espresso_text(path: str | Path) -> Calculation:
    """
    Read what ``pw.x`` (Quantum ESPRESSO) prints, by way of ASE.

    Energies have four decimals. The XML file has all digits, and is there even where
    the bands of many k-points are not printed.

    :param path: file with what ``pw.x`` printed; of several steps the last is taken
    :return: the calculation
    :raises ValueError: if the file cannot be read, is not complete, has not converged,
        lacks the eigenvalues, or has k-points along a path
    """
    path = Path(path)
    with reading(path, "text output of pw.x"):
        # Titles and paths may be in any encoding; nothing that is read here is.
        text = path.read_text(encoding="utf-8", errors="replace")
        _check_text(text)
        [atoms] = ase.io.iread(io.StringIO(text), index=-1, format="espresso-out")
        electrons = re.findall(r"number of electrons\s*=\s*([\d.]+)", text)
        states = re.findall(r"number of Kohn-Sham states\s*=\s*(\d+)", text)
        n_electrons, n_states = float(electrons[-1]), int(states[-1])
        return _from_text(atoms, n_electrons, n_states)


def _from_espresso(root: ElementTree.Element) -> Calculation:
    """Take a calculation out of the root element of an output of ``pw.x``."""
    if not root.tag.endswith("}espresso"):
        raise InputError(
            f"root element: expected espresso, got {root.tag}; give the prefix.xml or "
            "data-file-schema.xml of pw.x"
        )
    kind = _find(root, "input/control_variables/calculation").text
    if kind == "bands":
        raise InputError(
            "calculation: expected a k-point grid, got 'bands', which is a path; run "
            "pw.x with calculation = 'nscf' and a grid"
        )
    # Runs that are not self-consistent say "false" here, or nothing.
    converged = root.findtext("output/convergence_info/scf_conv/convergence_achieved")
    if kind != "nscf" and converged != "true":
        raise InputError(
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
    weights = " ".join(_find(point, "k_point").get("weight", "?") for point in points)
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
        kpoint_weights=numbers(weights, "kpoint_weights"),
        fermi_level=None if level is None else HARTREE * _number(level),
        n_electrons=_number(_find(bands, "nelec")),
    )


def _check_text(text: str) -> None:
    """Refuse what ASE would read although the run has not finished."""
    if "JOB DONE." not in text[-10_000:]:
        raise InputError(
            "JOB DONE: expected at the end of the output, got nothing; check whether "
            "pw.x finished"
        )
    last = text[text.rindex("Program PWSCF") if "Program PWSCF" in text else 0 :]
    if "convergence NOT achieved" in last.rpartition("Self-consistent Calculation")[2]:
        raise InputError(
            "convergence: expected to be achieved, got NOT; run pw.x until it finds "
            "the self-consistent density"
        )
    if not re.search("Fermi energ|highest occupied", last):
        raise InputError(
            "Fermi energy: expected in the output, got nothing, as in runs along a "
            "path; run pw.x with calculation = 'nscf' and a grid"
        )


def _from_text(atoms: ase.Atoms, n_electrons: float, n_states: int) -> Calculation:
    """Take a calculation from the structure that ASE reads."""
    if atoms.calc.kpts is None:
        raise InputError(
            "eigenvalues: expected in the output, got none; give the prefix.xml of "
            "this run, or run pw.x with verbosity = 'high'"
        )
    eigenvalues, weights, fermi_level = bands_from_ase(atoms)
    if eigenvalues.shape[-1] != n_states:
        raise InputError(
            f"eigenvalues: expected {n_states} at every k-point, got "
            f"{eigenvalues.shape[-1]}; check whether the output is complete"
        )
    return Calculation(
        atoms=atoms.copy(),  # without the calculator
        eigenvalues=eigenvalues,
        kpoint_weights=weights,
        fermi_level=fermi_level,
        n_electrons=n_electrons,
    )


def _find(element: ElementTree.Element, tag: str) -> ElementTree.Element:
    """Find an element that every finished run writes."""
    found = element.find(tag)
    if found is None:
        raise InputError(
            f"{tag}: expected in the output of every finished run, got nothing; check "
            "whether pw.x finished"
        )
    return found


def _numbers(element: ElementTree.Element) -> np.ndarray:
    """Read the numbers in an element."""
    return numbers(element.text, element.tag)


def _number(element: ElementTree.Element) -> float:
    """Read the number in an element."""
    return float(_numbers(element)[0])


def _symbol(label: str) -> str:
    """Find the chemical symbol in the label of a species: Si1, fe_up, Oh."""
    for length in (2, 1):
        symbol = re.sub("[^A-Za-z].*", "", label)[:length].capitalize()
        if atomic_numbers.get(symbol, 0) > 0:
            return symbol
    raise InputError(
        f"species: expected a label that begins with a chemical symbol, got {label!r}; "
        "rename it in the input of pw.x"
    )
