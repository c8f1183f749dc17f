"""Remember a few numbers of each structure, and what is wrong with some."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ...loss.options import DEFAULT_SPACING
from ..grid import EnergyGrid
from ..target_spec import EMPTY_MARGIN, TargetSpec
from .cache import FACTS, SourceSummary


class Problem(NamedTuple):
    """
    Say why something is not in a data set.

    :param source: path
    :param number: of the structure in it; ``None`` for the source, or its rest
    :param reason: what is wrong
    """

    source: str
    number: int | None
    reason: str


class Catalogue:
    """
    Collect what is known of structures, about 100 bytes for each.

    :param labels: names of the labels that are told of each structure
    """

    def __init__(self, labels: tuple[str, ...]) -> None:
        self.sources: list[str] = []
        self.records: list[str] = []
        self.unreadable: list[Problem] = []
        self._facts = bytearray()
        self._labels = {name: bytearray() for name in labels}
        self._numbers: dict[str, dict[str, int]] = {name: {} for name in labels}

    def add(self, summary: SourceSummary) -> None:
        """
        Add what was found in a source.

        :param summary: facts and labels of its structures
        """
        if summary.error is not None:
            self.unreadable.append(Problem(summary.source, None, summary.error))
        if len(summary.facts) == 0:
            return
        summary.facts["record"] = len(self.records)
        self.sources.append(summary.source)
        self.records.append(summary.record)
        self._facts += summary.facts.tobytes()
        for told in summary.labels:
            for (name, numbers), label in zip(self._numbers.items(), told, strict=True):
                number = numbers.setdefault(label, len(numbers))
                self._labels[name] += number.to_bytes(4, "little")

    @property
    def facts(self) -> np.ndarray:
        """One row of :data:`~.spool.FACTS` for each structure."""
        return np.frombuffer(self._facts, FACTS)

    def labels(self, name: str) -> tuple[np.ndarray, list[str]]:
        """
        Look up a label.

        :param name: name of the label
        :return: number of the label of each structure, ``(structures,)``, and the
            labels in the order of these numbers
        """
        return np.frombuffer(self._labels[name], "<i4"), list(self._numbers[name])

    def zeros(self, reference: str) -> np.ndarray:
        """
        Find the energy that becomes zero.

        :param reference: one of :data:`~metatrain_dos.data.references.REFERENCES`
        :return: energy for each structure, ``(structures,)``, eV; NaN if not known
        """
        if reference == "raw":
            return np.zeros(len(self.facts))
        return self.facts["fermi" if reference == "fermi" else "occupied"]

    def spec(self, *, spacing: float = DEFAULT_SPACING, **choices: Any) -> TargetSpec:
        """
        Choose the grid that covers all structures that say what it needs.

        :param spacing: distance between two energies, eV
        :param choices: further fields of the choices
        :return: the choices
        :raises ValueError: if no structure says it, or one is too far from the others
        """
        # The choices with any grid at all, to ask for the limits that they give.
        any_grid = TargetSpec(EnergyGrid(0.0, spacing, 1), **choices)
        says = self._says(any_grid)
        if not says.any():
            raise ValueError(
                f"reference: expected structures that have {any_grid.reference!r}, got "
                "none; use the reference 'raw'"
            )
        lowest = self.facts["lowest"] - self.zeros(any_grid.reference)
        limits = self.trusted(any_grid)
        try:
            return TargetSpec.spanning(
                float(lowest[says].min()),
                float(limits[says].max()),
                spacing=spacing,
                **choices,
            )
        except ValueError as error:
            far = np.where(says, np.maximum(abs(lowest), abs(limits)), -np.inf).argmax()
            row = self.facts[far]
            raise ValueError(
                f"{error}; the farthest are {lowest[far]:g} to {limits[far]:g} eV in "
                f"{self.sources[row['record']]}, structure {row['number']}"
            ) from error

    def usable(self, spec: TargetSpec) -> np.ndarray:
        """
        Find the structures that say what is needed, and whose DOS fits a grid.

        :param spec: all choices
        :return: true where the DOS is zero at the first energy, and some of it is
            trusted, ``(structures,)``, bool
        """
        grid, zeros = spec.grid, self.zeros(spec.reference)
        # Half a step, because the energies of the grid are rounded.
        first = grid.origin - 0.5 * grid.spacing
        lowest = self.facts["lowest"] - zeros
        starts = lowest - EMPTY_MARGIN * spec.smearing >= first
        ends = self.trusted(spec) >= grid.origin
        return self._says(spec) & starts & ends

    def trusted(self, spec: TargetSpec) -> np.ndarray:
        """
        Find where the trusted range of each structure ends.

        :param spec: trust margin and reference
        :return: highest trusted energy, ``(structures,)``, eV
        """
        complete = self.facts["complete"] - self.zeros(spec.reference)
        return complete - spec.trust_margin

    def problems(self, spec: TargetSpec) -> Iterator[Problem]:
        """
        Say why structures are left out, though they could be read.

        :param spec: all choices
        :return: problems in the order of the structures
        """
        says = self._says(spec)
        zeros = self.zeros(spec.reference)
        trusted = self.trusted(spec)
        origin = spec.grid.origin
        for i in np.flatnonzero(~self.usable(spec)):
            row = self.facts[i]
            if np.isnan(zeros[i]):
                reason = (
                    "fermi_level: expected one for the reference "
                    f"{spec.reference!r}, got none; use the reference 'raw'"
                )
            elif not says[i]:
                reason = (
                    "eigenvalues: expected spin channels, got a calculation with "
                    "spinors, which has none; sum over spin"
                )
            elif trusted[i] < origin:
                reason = (
                    f"trusted up to {trusted[i]:.2f} eV, but the grid begins at "
                    f"{origin:.2f} eV; compute more bands"
                )
            else:
                reason = (
                    f"lowest state at {row['lowest'] - zeros[i]:.2f} eV, too low for "
                    f"the grid, which begins at {origin:.2f} eV; prepare it without "
                    "the grid of another data set"
                )
            yield Problem(self.sources[row["record"]], int(row["number"]), reason)

    def _says(self, spec: TargetSpec) -> np.ndarray:
        """Find the structures that have the reference, and spin channels if wanted."""
        known = ~np.isnan(self.zeros(spec.reference))
        if spec.spin_resolved:
            return known & (self.facts["channels"] > 0)
        return known
