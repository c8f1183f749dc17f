"""Parse ``vasprun.xml`` of VASP piece by piece."""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from ._common import maybe
from ._xml import find, rows_of


# Read once the file has ended; of each the last counts, apart from these two.
SECTIONS = ("kpoints", "parameters", "atominfo", "calculation")
OPT = ("eigenvalues_kpoints_opt", "dos")

# Projections and partial densities can be a thousand times as large as the rest.
PROJECTED = ("projected", "projected_kpoints_opt")
PARTIAL = ("partial", "total")
LONGEST_TAG = 64
PIECE = 2**20

Section = ElementTree.Element


class Step(NamedTuple):
    """
    One step of a relaxation or trajectory.

    :param section: its element; ``None`` if it is not the last, and not wanted
    :param energies: energy of each electronic step, eV
    """

    section: Section | None
    energies: list[float]


def read_sections(
    stream: BinaryIO, *, all_steps: bool = False, projected: bool = False
) -> tuple[dict[str, Section], list[Step], dict[str, list[np.ndarray]]]:
    """
    Read everything that bands need.

    :param stream: the file
    :param all_steps: whether to keep other steps than the last, where they have bands
    :param projected: whether to read projections
    :return: tag -> element; all steps; and tag -> part of each state on each atom, in
        one row for each state: bands of a k-point, k-points of a spin component, and
        these one after another
    """
    parser: Any = ElementTree.XMLPullParser(("start", "end"))
    found: dict[str, Section] = {}
    steps: list[Step] = []
    energies: list[float] = []
    projections: dict[str, list[np.ndarray]] = {}
    rows: list[np.ndarray] | None = None
    depth = 0
    root = None
    for piece in _without(PARTIAL if projected else PROJECTED + PARTIAL, stream):
        parser.feed(piece)
        for event, element in parser.read_events():
            tag = element.tag
            if event == "start":
                root = element if root is None else root
                depth += 1
                if tag in PROJECTED:
                    rows = projections[tag] = []
                continue
            depth -= 1
            if rows is not None and tag == "set":
                # Not the sets of a k-point or a spin, nor those of eigenvalues.
                if element.get("comment", "").startswith("band"):
                    rows.append(rows_of(element).sum(axis=1))
                element.clear()
            if tag in PROJECTED:
                rows = None
                element.clear()
            if tag == "scstep":
                energy = maybe(element.findtext("energy/i[@name='e_fr_energy']"))
                energies.append(np.nan if energy is None else energy)
                element.clear()
            if depth == 1 and root is not None:
                if tag == "calculation":
                    if steps and not (all_steps and _has_bands(steps[-1].section)):
                        steps[-1] = Step(None, steps[-1].energies)
                    steps.append(Step(element, energies))
                    energies = []
                    if element.find("projected") is None:
                        projections.pop("projected", None)  # those of another step
                if tag in SECTIONS or tag in OPT:
                    found[tag] = element
                root.clear()
    parser.close()
    return found, steps, projections


def _has_bands(section: Section | None) -> bool:
    return section is not None and section.find("eigenvalues") is not None


def _without(tags: tuple[str, ...], stream: BinaryIO) -> Iterator[bytes]:
    """Read a file, but leave out some elements."""
    unused = re.compile(rf"<({'|'.join(tags)})[ >]".encode())
    rest, end = b"", b""
    while piece := stream.read(PIECE):
        rest += piece
        while True:
            if not end:
                start = unused.search(rest)
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


def read_kpoints(section: Section) -> tuple[np.ndarray, np.ndarray]:
    """Read k-points, ``(k-points, 3)``, and their weights, ``(k-points,)``."""
    kpoints, weights = (
        rows_of(find(section, f"varray[@name='{name}']"))
        for name in ("kpointlist", "weights")
    )
    return kpoints, weights[:, 0]
