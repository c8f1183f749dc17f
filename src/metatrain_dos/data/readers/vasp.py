"""Read ``vasprun.xml`` of VASP."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np

from ..calculation import Calculation, InputError
from ._common import crystal, numbers, reading, rectangular


__all__ = ["read_vasprun"]

# What is read of the file; projections and partial densities can be a thousand times
# as much.
SECTIONS = ("kpoints", "parameters", "atominfo", "calculation")
LARGE = ("scstep", "projected", "partial", "total")

Section = ElementTree.Element


def read_vasprun(path: str | Path) -> Calculation:
    """
    Read ``vasprun.xml``, the XML output of VASP.

    Takes the last step, with and without spin, and non-collinear. K-points without
    weight, as hybrid functionals have them along a path, are left out.

    :param path: file that VASP has written
    :return: the calculation
    :raises ValueError: if the file cannot be read, is not complete, has not converged,
        lacks the eigenvalues, or has k-points along a path
    """
    path = Path(path)
    with reading(path, "vasprun.xml of VASP"):
        sections, steps = _sections(path)
        return _from_vasprun(sections, steps)


def _sections(path: Path) -> tuple[dict[str, Section], int]:
    """Read the sections of interest, the last of each, and count the last's steps."""
    found: dict[str, Section] = {}
    depth = steps = 0
    root = None
    for event, element in ElementTree.iterparse(path, ("start", "end")):
        if event == "start":
            root = element if root is None else root
            depth += 1
            if element.tag == "calculation":
                steps = 0
            continue
        depth -= 1
        steps += element.tag == "scstep"
        if element.tag in LARGE:
            element.clear()
        if depth == 1 and root is not None:
            if element.tag in SECTIONS:
                found[element.tag] = element
            root.clear()
    return found, steps


def _from_vasprun(sections: dict[str, Section], steps: int) -> Calculation:
    """Take a calculation out of the sections of the file."""
    for name in SECTIONS:
        if name not in sections:
            raise InputError(
                f"{name}: expected in the output of every finished run, got only "
                f"{sorted(sections)}; check whether VASP finished"
            )
    settings = {
        str(entry.get("name")): (entry.text or "").strip()
        for entry in sections["parameters"].iter("i")
    }
    step = sections["calculation"]
    _check(settings, sections["kpoints"], steps)
    weights = _rows(_find(sections["kpoints"], "varray[@name='weights']"))[:, 0]
    channels = _find(step, "eigenvalues/array/set").findall("set")
    # A row is an energy and the electrons in it.
    eigenvalues = rectangular(
        [
            [_rows(point)[:, 0] for point in channel.findall("set")]
            for channel in channels
        ]
    )
    spinors = settings.get("LNONCOLLINEAR") == "T"
    if eigenvalues.shape[1:2] != weights.shape:
        raise InputError(
            f"eigenvalues: expected {len(weights)} k-points with the same number of "
            f"bands, got shape {eigenvalues.shape}; check whether VASP finished"
        )
    counted = weights > 0
    structure = _find(step, "structure")
    sites = _find(sections["atominfo"], "array[@name='atoms']/set").findall("rc")
    symbols = [str(_find(site, "c").text).strip() for site in sites]
    level = step.findtext("dos/i[@name='efermi']")
    return Calculation(
        atoms=crystal(
            symbols,
            _rows(_find(structure, "varray[@name='positions']")),
            _rows(_find(structure, "crystal/varray[@name='basis']")),
        ),
        eigenvalues=eigenvalues[:, counted],
        kpoint_weights=weights[counted] * (1 if spinors else 2 / len(channels)),
        fermi_level=None if level is None else float(numbers(level, "efermi")[0]),
        n_electrons=float(numbers(settings["NELECT"], "NELECT")[0])
        if "NELECT" in settings
        else None,
    )


def _check(settings: dict[str, str], kpoints: Section, steps: int) -> None:
    """Refuse what would be no density of states."""
    generation = kpoints.find("generation")
    if generation is not None and generation.get("param") == "listgenerated":
        raise InputError(
            "kpoints: expected a grid, got a path; run VASP with a k-point grid"
        )
    # Bands in a fixed potential, or of one diagonalisation, take no more steps.
    limit = int(_setting(settings, "NELM") or 0)
    if limit > 1 and (_setting(settings, "ICHARG") or 0) < 10 and steps >= limit:
        raise InputError(
            f"scstep: expected fewer steps than NELM = {limit}, got {steps}; run VASP "
            "until it finds the self-consistent density"
        )


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
