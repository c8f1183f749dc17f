"""Read outputs of ``pw.x`` (Quantum ESPRESSO): XML and text."""

import io
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import ase
import ase.io
import numpy as np
from ase.data import atomic_numbers
from ase.stress import voigt_6_to_full_3x3_stress

from ...utils.compressed import open_bytes, open_text
from ..calculation import Calculation, InputError
from ._common import (
    BOHR,
    HARTREE,
    bands_from_ase,
    checked,
    labelled,
    maybe,
    numbers,
    reading,
)


__all__ = ["read_espresso_text", "read_espresso_xml"]


def read_espresso_xml(path: str | Path) -> Calculation:
    """
    Read the XML output of ``pw.x`` (Quantum ESPRESSO).

    Uses the last step of ``scf``, ``nscf``, relaxations and trajectories, with and
    without spin, and non-collinear. A run with one Fermi level for each spin has none
    here.

    :param path: ``prefix.xml``, ``data-file-schema.xml`` or the folder ``prefix.save``
    :return: the calculation
    :raises ValueError: if the file cannot be read, is not complete, has not converged,
        or has k-points along a path
    """
    path = Path(path)
    if path.is_dir():
        # compressed or not; the plain name goes into the error if there is none
        found = sorted(path.glob("data-file-schema.xml*"))
        path = found[0] if found else path / "data-file-schema.xml"
    with reading(path, "XML output of pw.x"):
        with open_bytes(path) as stream:
            root = ElementTree.parse(stream).getroot()
        return _from_espresso(root)


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
    path = Path(path)
    # Titles and paths may be in any encoding; nothing that is read here is.
    with (
        reading(path, "text output of pw.x"),
        open_text(path, errors="replace") as stream,
    ):
        return _from_text(stream.read())


def _from_espresso(root: ElementTree.Element) -> Calculation:
    """Make a calculation from the root element of an output of ``pw.x``."""
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
    if kind != "nscf":
        _check_convergence(root)
    output = _step_of_bands(root)
    structure = _find(output, "atomic_structure")
    sites = structure.findall("atomic_positions/atom")
    cell = [_numbers(_find(structure, f"cell/{name}")) for name in ("a1", "a2", "a3")]
    bands = _find(root, "output/band_structure")
    channels = 2 if _find(bands, "lsda").text == "true" else 1
    points = bands.findall("ks_energies")
    places = [_find(point, "k_point") for point in points]
    energies = _all_numbers([_find(point, "eigenvalues") for point in points])
    weights = " ".join(place.get("weight", "?") for place in places)
    # In units of 2 pi / alat; in units of the cell, the same in each step
    cartesian = _all_numbers(places).reshape(-1, 3)
    lattice = _find(root, "output/basis_set/reciprocal_lattice")
    reciprocal = np.array([_numbers(vector) for vector in lattice])
    level = bands.find("fermi_energy")
    if level is None:
        level = bands.find("highestOccupiedLevel")
    fermi_level = maybe(None if level is None else level.text)
    atoms = ase.Atoms(
        [_symbol(site.get("name", "")) for site in sites],
        positions=BOHR * np.array([_numbers(site) for site in sites]),
        cell=BOHR * np.array(cell),
        pbc=True,
    )
    if kind != "nscf":
        energy = maybe(output.findtext("total_energy/etot"))
        forces, stress = (output.find(name) for name in ("forces", "stress"))
        labelled(
            atoms,
            None if energy is None else HARTREE * energy,
            None
            if forces is None
            else HARTREE / BOHR * _numbers(forces).reshape(-1, 3),
            # positive where the cell is compressed
            None
            if stress is None
            else -HARTREE / BOHR**3 * _numbers(stress).reshape(-1, 3),
        )
    return checked(
        Calculation(
            atoms=atoms,
            # Each k-point lists the bands of the first channel, then the second.
            eigenvalues=HARTREE
            * energies.reshape(len(points), channels, -1).swapaxes(0, 1),
            kpoint_weights=numbers(weights, "kpoint_weights"),
            kpoints=cartesian @ np.linalg.inv(reciprocal),
            fermi_level=None if fermi_level is None else HARTREE * fermi_level,
            n_electrons=_number(_find(bands, "nelec")),
        )
    )


def _check_convergence(root: ElementTree.Element) -> None:
    """Refuse a density that is not self-consistent."""
    scf = "output/convergence_info/scf_conv"
    converged = root.findtext(f"{scf}/convergence_achieved")
    error = maybe(root.findtext(f"{scf}/scf_error"))
    if converged is None and error is not None:
        # Quantum ESPRESSO 6.3 and before do not draw the conclusion.
        threshold = maybe(root.findtext("input/electron_control/conv_thr")) or 0.0
        steps = maybe(root.findtext(f"{scf}/n_scf_steps")) or np.inf
        limit = maybe(root.findtext("input/electron_control/max_nstep")) or 0.0
        if steps < limit or error <= threshold:
            return
    if converged != "true":
        raise InputError(
            f"convergence_achieved: expected true, got {converged} (scf_error {error});"
            " run pw.x until it finds the self-consistent density"
        )


def _step_of_bands(root: ElementTree.Element) -> ElementTree.Element:
    """
    Find the element with the structure that the bands belong to.

    After a relaxation or a trajectory that stops at its last step, the output has the
    structure of the next one, but the energy of the last.
    """
    output = _find(root, "output")
    last = root.findall("step")[-1:]
    if last and output.findtext("total_energy/etot") == last[0].findtext(
        "total_energy/etot"
    ):
        return last[0]
    return output


def _from_text(text: str) -> Calculation:
    """Make a calculation from the text that ``pw.x`` prints."""
    begin = text.rfind("Program PWSCF")
    last = text[max(begin, 0) :]
    _check_text(last)
    # A level that did not fit its columns is not needed; ASE would stumble over it.
    last = re.sub(r".*(Fermi energ|highest occupied).*\*\*.*\n", "", last)
    [atoms] = ase.io.iread(io.StringIO(last), index=-1, format="espresso-out")
    electrons = re.findall(r"number of electrons\s*=\s*([\d.]+)", last)
    states = re.findall(r"number of Kohn-Sham states\s*=\s*(\d+)", last)
    if atoms.calc.kpts is None:
        raise InputError(NOT_PRINTED)
    eigenvalues, weights, fermi_level = bands_from_ase(atoms)
    if eigenvalues.shape[-1] != int(states[-1]):
        raise InputError(
            f"eigenvalues: expected {states[-1]} at every k-point, got "
            f"{eigenvalues.shape[-1]}; check whether the output is complete"
        )
    results = atoms.calc.results
    structure = atoms.copy()  # without the calculator
    labelled(
        structure,
        results.get("free_energy"),
        results.get("forces"),
        voigt_6_to_full_3x3_stress(results["stress"]) if "stress" in results else None,
    )
    return checked(
        Calculation(
            atoms=structure,
            eigenvalues=eigenvalues,
            kpoint_weights=weights,
            kpoints=_printed_kpoints(last)[: len(weights)],
            fermi_level=fermi_level,
            n_electrons=float(electrons[-1]),
        )
    )


NOT_PRINTED = (
    "eigenvalues: expected in the output, got none; give the prefix.xml of this run, "
    "or run pw.x with verbosity = 'high'"
)


def _check_text(text: str) -> None:
    """Refuse files that ASE would read although they hold no result."""
    if "JOB DONE." not in text[-10_000:]:
        raise InputError(
            "JOB DONE: expected at the end of the output, got nothing; check whether "
            "pw.x finished"
        )
    if "convergence NOT achieved" in text.rpartition("Self-consistent Calculation")[2]:
        raise InputError(
            "the SCF cycle: expected to converge, but it did not; run pw.x until it "
            "finds the self-consistent density"
        )
    if not re.search("Fermi energ|highest occupied", text):
        raise InputError(
            "Fermi energy: expected in the output, got nothing, as in runs along a "
            "path; run pw.x with calculation = 'nscf' and a grid"
        )
    if "set verbosity='high' to print the bands" in text or not re.search(
        r"bands \(ev\)", text
    ):
        raise InputError(NOT_PRINTED)


def _printed_kpoints(text: str) -> np.ndarray:
    """Read fractional coordinates of the k-points, ``(k-points, 3)``."""
    vector = r"\(\s*(\S+)\s+(\S+)\s+(\S+)\s*\)"
    # The axes before any change of the cell, in which the k-points are printed
    axes = re.findall(rf"^ +a\(\d\) = {vector}", text, re.MULTILINE)[:3]
    points = text.partition("cart. coord. in units 2pi/alat")[2].partition("\n\n")[0]
    found = re.findall(rf"k\( *\d+\) = {vector}, wk", points)
    cartesian = numbers(" ".join(x for row in found for x in row), "k-points")
    return cartesian.reshape(-1, 3) @ np.array(axes, dtype=np.float64).T


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


def _all_numbers(elements: list[ElementTree.Element]) -> np.ndarray:
    """Read the numbers in several elements of the same kind at once."""
    return numbers(" ".join(each.text or "" for each in elements), elements[0].tag)


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
