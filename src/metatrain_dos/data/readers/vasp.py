"""Read ``vasprun.xml`` of VASP."""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import ase.units
import numpy as np

from ...utils.compressed import open_bytes
from ..calculation import Calculation, InputError
from ._common import checked, crystal, labelled, maybe, numbers, reading, rectangular
from ._grids import is_path


__all__ = ["read_vasprun"]

# Read once the file has ended; of each the last counts, apart from these two.
SECTIONS = ("kpoints", "parameters", "atominfo", "calculation")
OPT = ("eigenvalues_kpoints_opt", "dos")

# Projections and partial densities can be a thousand times as large as the rest.
UNUSED = re.compile(rb"<(projected(?:_kpoints_opt)?|partial|total)[ >]")
LONGEST_TAG = 64
PIECE = 2**20

# Species are named with two characters, and these lose one.
ELEMENTS = {"r": "Zr", "X": "Xe"}

KILOBAR = 0.1 * ase.units.GPa

Section = ElementTree.Element


def read_vasprun(path: str | Path) -> Calculation:
    """
    Read ``vasprun.xml``, the XML output of VASP.

    Uses the last step, with and without spin, and non-collinear, and the k-points of
    ``KPOINTS_OPT`` where they are a denser grid. K-points without weight, as hybrid
    functionals have them along a path, are left out.

    :param path: file that VASP has written
    :return: the calculation
    :raises ValueError: if the file cannot be read, is not complete, has not converged,
        lacks the eigenvalues, or has k-points along a path
    """
    path = Path(path)
    with reading(path, "vasprun.xml of VASP"), open_bytes(path) as stream:
        return _from_vasprun(*_sections(stream))


def _sections(stream: BinaryIO) -> tuple[dict[str, Section], list[float]]:
    """Read the sections of interest, and the energies of the last electronic steps."""
    parser: Any = ElementTree.XMLPullParser(("start", "end"))
    found: dict[str, Section] = {}
    energies: list[float] = []
    depth = 0
    root = None
    for piece in _without_unused(stream):
        parser.feed(piece)
        for event, element in parser.read_events():
            tag = element.tag
            if event == "start":
                root = element if root is None else root
                depth += 1
                if tag == "calculation":
                    energies.clear()
                continue
            depth -= 1
            if tag == "scstep":
                energy = maybe(element.findtext("energy/i[@name='e_fr_energy']"))
                energies.append(np.nan if energy is None else energy)
                element.clear()
            if depth == 1 and root is not None:
                if tag in SECTIONS or tag in OPT:
                    found[tag] = element
                root.clear()
    parser.close()
    return found, energies


def _without_unused(stream: BinaryIO) -> Iterator[bytes]:
    """Read a file, but leave out elements that are not needed."""
    rest, end = b"", b""
    while piece := stream.read(PIECE):
        rest += piece
        while True:
            if not end:
                start = UNUSED.search(rest)
                if start is None:
                    break
                yield rest[: start.start()]
                rest, end = rest[start.start() :], b"</" + start[1] + b">"
            place = rest.find(end)
            if place < 0:
                break
            rest, end = rest[place + len(end) :], b""
        if not end:
            yield rest[:-LONGEST_TAG]
        rest = rest[-LONGEST_TAG:]
    yield b"" if end else rest


def _from_vasprun(sections: dict[str, Section], energies: list[float]) -> Calculation:
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
    step = sections["calculation"]
    is_scf = (_setting(settings, "ICHARG") or 0) < 10
    if is_scf:
        _check_convergence(settings, energies)
    points, bands, dos = _grid(sections)
    weights = _rows(_find(points, "varray[@name='weights']"))[:, 0]
    channels = _find(bands, "array/set").findall("set")
    # A row is an energy and the occupation of the state.
    rows = [[_rows(point) for point in channel.findall("set")] for channel in channels]
    eigenvalues, occupations = (
        rectangular([[point[:, i] for point in channel] for channel in rows])
        for i in (0, 1)
    )
    if eigenvalues.shape[1:2] != weights.shape:
        raise InputError(
            f"eigenvalues: expected {len(weights)} k-points with the same number of "
            f"bands, got shape {eigenvalues.shape}; check whether VASP finished"
        )
    counted = weights > 0
    weights = weights * (
        1 if settings.get("LNONCOLLINEAR") == "T" else 2 / len(channels)
    )
    structure = _find(step, "structure")
    sites = _find(sections["atominfo"], "array[@name='atoms']/set").findall("rc")
    symbols = [str(_find(site, "c").text).strip() for site in sites]
    atoms = crystal(
        [ELEMENTS.get(symbol, symbol) for symbol in symbols],
        _rows(_find(structure, "varray[@name='positions']")),
        _rows(_find(structure, "crystal/varray[@name='basis']")),
    )
    if is_scf:
        forces, stress = (
            step.find(f"varray[@name='{name}']") for name in ("forces", "stress")
        )
        labelled(
            atoms,
            maybe(step.findtext("energy/i[@name='e_fr_energy']")),
            None if forces is None else _rows(forces),
            None if stress is None else -KILOBAR * _rows(stress),
        )
    level = maybe(None if dos is None else dos.findtext("i[@name='efermi']"))
    if dos is None:
        level = level_between(eigenvalues, occupations)
    n_electrons = _setting(settings, "NELECT")
    if n_electrons is None:
        n_electrons = float((weights[:, None] * occupations).sum())
    return checked(
        Calculation(
            atoms=atoms,
            eigenvalues=eigenvalues[:, counted],
            kpoint_weights=weights[counted],
            kpoints=_rows(_find(points, "varray[@name='kpointlist']"))[counted],
            fermi_level=level,
            n_electrons=n_electrons,
        )
    )


def _grid(sections: dict[str, Section]) -> tuple[Section, Section, Section | None]:
    """Choose the k-points; return them, their bands, and the DOS with their level."""
    step, points = sections["calculation"], sections["kpoints"]
    dos = {each.get("comment"): each for each in step.findall("dos")}
    if "dos" in sections:
        dos[sections["dos"].get("comment")] = sections["dos"]
    more = sections.get(OPT[0], step.find(OPT[0]))
    if more is not None:
        others = _find(more, "kpoints")
        if not _is_path(others) and _count(others) > _count(points):
            return others, _find(more, "eigenvalues"), dos.get("kpoints_opt")
    if _is_path(points):
        raise InputError(
            "kpoints: expected a grid, got a path; run VASP with a k-point grid"
        )
    return points, _find(step, "eigenvalues"), dos.get(None)


def _count(points: Section) -> int:
    """Count the k-points that have a weight."""
    return int((_rows(_find(points, "varray[@name='weights']")) > 0).sum())


def _is_path(points: Section) -> bool:
    """Tell a path through the Brillouin zone from a grid."""
    generation = points.find("generation")
    if generation is not None and generation.get("param") == "listgenerated":
        return True
    weights = _rows(_find(points, "varray[@name='weights']"))[:, 0]
    kpoints = _rows(_find(points, "varray[@name='kpointlist']"))
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
            f"{threshold:g} eV, got {changes[-1]:.2g} after all NELM = {limit} steps; "
            "run VASP until it finds the self-consistent density"
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


def _find(section: Section, tag: str) -> Section:
    """Find an element that every finished run writes."""
    found = section.find(tag)
    if found is None:
        raise InputError(
            f"{tag}: expected in the output of every finished run, got nothing; check "
            "whether VASP finished"
        )
    return found


def _rows(section: Section) -> np.ndarray:
    """Read the numbers of the elements in an element, ``(elements, numbers)``."""
    text = " ".join(row.text or "" for row in section)
    return numbers(text, section.get("name", section.tag)).reshape(len(section), -1)
