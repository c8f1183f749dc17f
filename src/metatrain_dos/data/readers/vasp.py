"""Read ``vasprun.xml`` of VASP."""

from collections.abc import Iterator
from pathlib import Path

import ase.units
import numpy as np

from ...utils.compressed import open_bytes
from ..calculation import Calculation, InputError
from ._common import (
    crystal,
    each_step,
    label,
    make_calculation,
    maybe,
    numbers,
    reading,
    reads,
    rectangular,
    shown,
)
from ._grids import is_path
from ._vasprun import OPT, SECTIONS, Section, read_kpoints, read_sections
from ._xml import find, rows_of
from .vasp_projections import add_projections


# Species are named with two characters, and these lose one.
ELEMENTS = {"r": "Zr", "X": "Xe"}

# Energies, forces, and stress in kilobar, positive where it compresses the cell
UNITS = 1.0, 1.0, -0.1 * ase.units.GPa
LABELS = "varray[@name='forces']", "varray[@name='stress']"


KIND = "vasprun.xml of VASP"


@reads(KIND)
def read_vasprun(path: str | Path, projected: bool = False) -> Calculation:
    """
    Read ``vasprun.xml``, the XML output of VASP.

    Uses the last step, with and without spin, and non-collinear, and the k-points of
    ``KPOINTS_OPT`` where they are a denser grid. K-points without weight, as hybrid
    functionals have them along a path, are left out.

    :param path: file that VASP has written
    :param projected: whether to read projections, from this file or ``PROCAR``
    :return: the calculation
    :raises ValueError: if the file cannot be read, is not complete, has not converged,
        lacks the eigenvalues, or has k-points along a path, or there are no projections
    """
    with open_bytes(path) as stream:
        sections, steps, parts = read_sections(stream, projected=projected)
    energies = steps[-1].energies if steps else []
    calculation = _from_vasprun(sections, energies, len(steps), len(steps))
    if projected:
        points, _, _ = _grid(sections)
        return add_projections(calculation, sections, points, parts, Path(path))
    return calculation


def read_vasprun_steps(path: str | Path) -> Iterator[Calculation]:
    """
    Read every step of ``vasprun.xml`` that has eigenvalues.

    :param path: file that VASP has written
    :return: calculations in the order of the steps
    :raises ValueError: as :func:`read_vasprun`; after the others if a step has not
        converged
    """
    with reading(path, KIND), open_bytes(path) as stream:
        sections, steps, _ = read_sections(stream, all_steps=True)
        others = {key: each for key, each in sections.items() if key not in OPT}

        # What follows on the last step, such as KPOINTS_OPT, belongs to it alone.
        whole = {
            number: {**others, "calculation": each.section}
            for number, each in enumerate(steps, 1)
            if each.section is not None
        }
        whole[len(steps)] = sections

        def make(number: int) -> Calculation:
            energies = steps[number - 1].energies if steps else []
            return _from_vasprun(whole[number], energies, number, len(steps))

        yield from each_step(make, whole)


def _from_vasprun(
    sections: dict[str, Section], energies: list[float], step: int, steps: int
) -> Calculation:
    """Make a calculation from the sections of the file."""
    for name in SECTIONS:
        if name not in sections:
            raise InputError(
                f"{name}: expected in the output of every finished run, got only "
                f"{sorted(sections)}; check whether VASP finished"
            )
    settings: dict[str, str] = {}
    for entry in sections["parameters"].iter("i"):
        # The second NELM is the one of response functions.
        settings.setdefault(str(entry.get("name")), (entry.text or "").strip())
    calculation = sections["calculation"]
    is_scf = (_setting(settings, "ICHARG") or 0) < 10
    if is_scf:
        _check_convergence(settings, energies)
    points, bands, dos = _grid(sections)
    kpoints, weights = read_kpoints(points)
    channels = find(bands, "array/set").findall("set")
    # A row is an energy and the occupation of the state.
    rows = [
        [rows_of(point) for point in channel.findall("set")] for channel in channels
    ]
    eigenvalues, occupations = (
        rectangular([[point[:, i] for point in channel] for channel in rows])
        for i in (0, 1)
    )
    if settings.get("LNONCOLLINEAR") != "T":
        weights = weights * (2 / len(channels))
    structure = find(calculation, "structure")
    sites = find(sections["atominfo"], "array[@name='atoms']/set").findall("rc")
    symbols = [str(find(site, "c").text).strip() for site in sites]
    atoms = crystal(
        [ELEMENTS.get(symbol, symbol) for symbol in symbols],
        rows_of(find(structure, "varray[@name='positions']")),
        rows_of(find(structure, "crystal/varray[@name='basis']")),
    )
    if is_scf:
        energy = maybe(calculation.findtext("energy/i[@name='e_fr_energy']"))
        forces, stress = (
            None if each is None else rows_of(each)
            for each in map(calculation.find, LABELS)
        )
        label(atoms, energy, forces, stress, units=UNITS)
    level = maybe(None if dos is None else dos.findtext("i[@name='efermi']"))
    if dos is None:
        level = level_between(eigenvalues, occupations)
    n_electrons = _setting(settings, "NELECT")
    if n_electrons is None:
        n_electrons = float((weights[:, None] * occupations).sum())
    return make_calculation(
        atoms=atoms,
        eigenvalues=eigenvalues,
        kpoint_weights=weights,
        kpoints=kpoints,
        fermi_level=level,
        n_electrons=n_electrons,
        step=step,
        steps=steps,
    )


def _grid(sections: dict[str, Section]) -> tuple[Section, Section, Section | None]:
    """Choose the k-points; return them, their bands, and the DOS with their level."""
    step, points = sections["calculation"], sections["kpoints"]
    dos = {each.get("comment"): each for each in step.findall("dos")}
    if "dos" in sections:
        dos[sections["dos"].get("comment")] = sections["dos"]
    more = sections.get(OPT[0], step.find(OPT[0]))
    if more is not None:
        others = find(more, "kpoints")
        (_, few), (_, many) = read_kpoints(points), read_kpoints(others)
        if not _is_path(others) and (many > 0).sum() > (few > 0).sum():
            return others, find(more, "eigenvalues"), dos.get("kpoints_opt")
    if _is_path(points):
        raise InputError(
            "kpoints: expected a grid, got a path; run VASP with a k-point grid"
        )
    return points, find(step, "eigenvalues"), dos.get(None)


def _is_path(points: Section) -> bool:
    """Tell a path through the Brillouin zone from a grid."""
    generation = points.find("generation")
    if generation is not None and generation.get("param") == "listgenerated":
        return True
    kpoints, weights = read_kpoints(points)
    return is_path(kpoints[weights > 0], weights[weights > 0])


def _check_convergence(settings: dict[str, str], energies: list[float]) -> None:
    """Refuse a density that is not self-consistent."""
    limit = int(_setting(settings, "NELM") or 0)
    if not 1 < limit <= len(energies):
        return
    threshold = _setting(settings, "EDIFF") or 0.0
    changes = np.abs(np.diff(energies[:limit]))
    if len(energies) > limit:
        # A linear response, whose steps are counted, too, follows on convergence.
        failed = bool((changes > threshold).all())
    else:
        failed = not changes[-1] <= threshold  # true also where it is not known
    if failed:
        raise InputError(
            f"scstep: expected a last change of the energy of at most EDIFF = "
            f"{threshold:g} eV, got {shown(changes[-1])} after all NELM = {limit} "
            "steps; run VASP until it finds the self-consistent density"
        )


def level_between(energies: np.ndarray, occupations: np.ndarray) -> float | None:
    """
    Find the Fermi level where only occupations are known.

    :param energies: of the states, eV
    :param occupations: of the states, between 0 and 1, or 0 and 2
    :return: energy half-way between states that are more than half full and others, eV;
        ``None`` if all states are alike
    """
    full = occupations > 0.5 * occupations.max()
    if full.all() or not full.any():
        return None
    return float((energies[full].max() + energies[~full].min()) / 2)


def _setting(settings: dict[str, str], name: str) -> float | None:
    """Read a number among the settings; ``None`` where it is missing."""
    return float(numbers(settings[name], name)[0]) if name in settings else None
