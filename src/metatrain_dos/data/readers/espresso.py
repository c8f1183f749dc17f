"""Read the XML output of ``pw.x`` (Quantum ESPRESSO)."""

import re
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import ase
import numpy as np
from ase.data import atomic_numbers

from ...utils.compressed import open_bytes
from ..calculation import Calculation, InputError
from ._common import (
    ATOMIC_UNITS,
    BOHR,
    HARTREE,
    label,
    make_calculation,
    maybe,
    numbers,
    reading,
)
from ._xml import find, rows_of
from .espresso_projections import add_projections


# Stress is positive where the cell is compressed.
UNITS = (*ATOMIC_UNITS[:2], -ATOMIC_UNITS[2])
KIND = "XML output of pw.x"
MARK = b":espresso"
"""Text near the beginning of every such file."""


def read_espresso_xml(path: str | Path, projected: bool = False) -> Calculation:
    """
    Read the XML output of ``pw.x`` (Quantum ESPRESSO).

    Uses the last step of ``scf``, ``nscf``, relaxations and trajectories, with and
    without spin, and non-collinear. A run with one Fermi level for each spin has none
    here.

    :param path: ``prefix.xml``, ``data-file-schema.xml`` or the folder ``prefix.save``
    :param projected: whether to read projections, from ``atomic_proj.xml``
    :return: the calculation
    :raises ValueError: if the file cannot be read, is not complete, has not converged,
        or has k-points along a path, or there are no projections
    """
    path = _xml_file(Path(path))
    with reading(path, KIND):
        root = _root(path)
        calculation = _from_espresso(root)
        return add_projections(calculation, root, path) if projected else calculation


def structure_in_xml(path: Path) -> tuple[ase.Atoms, float]:
    """Read the structure that the bands belong to, and the number of electrons."""
    path = _xml_file(path)
    with reading(path, KIND):
        root = _root(path)
        return _structure(_step_of_bands(root)), _electrons(root)


def _xml_file(path: Path) -> Path:
    """Find the file in a folder, compressed or not."""
    if not path.is_dir():
        return path
    found = sorted(path.glob("data-file-schema.xml*"))
    # The plain name goes into the error if there is none.
    return found[0] if found else path / "data-file-schema.xml"


def _root(path: Path) -> Element:
    """Parse a file; return its root element."""
    with open_bytes(path) as stream:
        root = ElementTree.parse(stream).getroot()
    if not root.tag.endswith("}espresso"):
        raise InputError(
            f"root element: expected espresso, got {root.tag}; give the prefix.xml or "
            "data-file-schema.xml of pw.x"
        )
    return root


def _from_espresso(root: Element) -> Calculation:
    """Make a calculation from the root element of an output of ``pw.x``."""
    kind = find(root, "input/control_variables/calculation").text
    if kind == "bands":
        raise InputError(
            "calculation: expected a k-point grid, got 'bands', which is a path; run "
            "pw.x with calculation = 'nscf' and a grid"
        )
    if kind != "nscf":
        _check_convergence(root)
    output = _step_of_bands(root)
    bands = find(root, "output/band_structure")
    channels = 2 if find(bands, "lsda").text == "true" else 1
    points = bands.findall("ks_energies")
    places = [find(point, "k_point") for point in points]
    energies = rows_of([find(point, "eigenvalues") for point in points])
    weights = " ".join(place.get("weight", "?") for place in places)
    # k-points in units of 2 pi / alat; in units of the cell, the same in each step
    reciprocal = rows_of(find(root, "output/basis_set/reciprocal_lattice"))
    steps = max(1, len(root.findall("step")))
    level = maybe(
        bands.findtext("fermi_energy", bands.findtext("highestOccupiedLevel"))
    )
    atoms = _structure(output)
    if kind != "nscf":
        energy = maybe(output.findtext("total_energy/etot"))
        forces, stress = (
            None if each is None else numbers(each.text, each.tag).reshape(-1, 3)
            for each in map(output.find, ("forces", "stress"))
        )
        label(atoms, energy, forces, stress, units=UNITS)
    return make_calculation(
        atoms=atoms,
        # Each k-point lists the bands of the first channel, then the second.
        eigenvalues=HARTREE
        * energies.reshape(len(points), channels, -1).swapaxes(0, 1),
        kpoint_weights=numbers(weights, "kpoint_weights"),
        kpoints=rows_of(places) @ np.linalg.inv(reciprocal),
        fermi_level=None if level is None else HARTREE * level,
        n_electrons=_electrons(root),
        step=steps,
        steps=steps,
    )


def _structure(output: Element) -> ase.Atoms:
    """Make a structure from the element of a step."""
    structure = find(output, "atomic_structure")
    sites = structure.findall("atomic_positions/atom")
    return ase.Atoms(
        [_symbol(site.get("name", "")) for site in sites],
        positions=BOHR * rows_of(sites),
        cell=BOHR * rows_of(find(structure, "cell")),
        pbc=True,
    )


def _check_convergence(root: Element) -> None:
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
        last = "" if error is None else f" (scf_error {error:g})"
        raise InputError(
            f"convergence_achieved: expected true, got {converged or 'nothing'}{last};"
            " run pw.x until it finds the self-consistent density"
        )


def _step_of_bands(root: Element) -> Element:
    """
    Find the element with the structure that the bands belong to.

    After a relaxation or a trajectory that stops at its last step, the output has the
    structure of the next one, but the energy of the last.
    """
    output = find(root, "output")
    last = root.findall("step")[-1:]
    if last and output.findtext("total_energy/etot") == last[0].findtext(
        "total_energy/etot"
    ):
        return last[0]
    return output


def _electrons(root: Element) -> float:
    """Read the number of electrons."""
    nelec = find(root, "output/band_structure/nelec")
    return float(numbers(nelec.text, nelec.tag)[0])


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
