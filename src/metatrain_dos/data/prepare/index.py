"""An index of all calculations: a few numbers of each, and the problems of some."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ..grid import EnergyGrid
from ..identity import same_structures
from ..target_spec import EMPTY_MARGIN, TargetSpec
from .summary import ROW, SourceSummary


class Problem(NamedTuple):
    """
    A reason why something is not in a data set.

    :param source: path
    :param number: number of the structure in it; ``None`` for all or the rest of it
    :param reason: explanation for the user
    """

    source: str
    number: int | None
    reason: str

    def __str__(self) -> str:
        where = "" if self.number is None else f", structure {self.number}"
        return f"{self.source}{where}: {self.reason}"


class Index:
    """
    What is known of each structure, in about 200 bytes.

    :param labels: names of the labels of each structure
    """

    def __init__(self, labels: tuple[str, ...]) -> None:
        self.sources: list[str] = []
        self.records: list[str] = []
        self.unreadable: list[Problem] = []
        self._rows = bytearray()
        self._labels = {name: bytearray() for name in labels}
        self._numbers: dict[str, dict[str, int]] = {name: {} for name in labels}

    def add(self, summary: SourceSummary) -> None:
        """
        Add the content of a source.

        :param summary: rows and labels of its structures
        """
        if summary.error is not None:
            self.unreadable.append(Problem(summary.source, None, summary.error))
        if len(summary.rows) == 0:
            return
        summary.rows["record"] = len(self.records)
        self.sources.append(summary.source)
        self.records.append(summary.record)
        self._rows += summary.rows.tobytes()
        for values in summary.labels:
            for (name, numbers), value in zip(
                self._numbers.items(), values, strict=True
            ):
                number = numbers.setdefault(value, len(numbers))
                self._labels[name] += number.to_bytes(4, "little")

    @property
    def rows(self) -> np.ndarray:
        """One row of :data:`~.summary.ROW` for each structure."""
        return np.frombuffer(self._rows, ROW)

    def labels(self, name: str) -> tuple[np.ndarray, list[str]]:
        """
        Look up a label.

        :param name: name of the label
        :return: number of the label of each structure, ``(structures,)``, and the
            labels in the order of these numbers
        """
        return np.frombuffer(self._labels[name], "<i4"), list(self._numbers[name])

    def where(self, structure: int) -> tuple[str, int]:
        """
        Find the origin of a structure.

        :param structure: its number
        :return: source, and number in it
        """
        row = self.rows[structure]
        return self.sources[row["record"]], int(row["number"])

    @cached_property
    def aligned(self) -> np.ndarray:
        """
        Zeros of structures without a level, to be filled in, ``(structures,)``, eV.

        NaN where a structure has a level, or nothing to be aligned with.
        """
        return np.full(len(self.rows), np.nan)

    def known_levels(self) -> np.ndarray:
        """
        Look up the neutral level of each structure, or else its Fermi level.

        :return: energy for each structure, ``(structures,)``, eV; NaN if neither is
            known
        """
        neutral, fermi = self.rows["neutral"], self.rows["fermi"]
        return np.where(np.isnan(neutral), fermi, neutral)

    def zeros(self, reference: str) -> np.ndarray:
        """
        Find the energy that becomes zero.

        :param reference: one of :data:`~metatrain_dos.data.references.REFERENCES`
        :return: energy for each structure, ``(structures,)``, eV; NaN if not known, but
            for the neutral level, which has substitutes
        """
        rows = self.rows
        if reference == "raw":
            return np.zeros(len(rows))
        if reference == "neutral":
            known = self.known_levels()
            return np.nan_to_num(np.where(np.isnan(known), self.aligned, known))
        return rows["fermi" if reference == "fermi" else "occupied"]

    def spec(
        self,
        *,
        spacing: float,
        energy_range: tuple[float, float] | None = None,
        **settings: Any,
    ) -> TargetSpec:
        """
        Choose the grid that covers all structures that have the reference.

        :param spacing: distance between two energies, eV
        :param energy_range: first and last energy instead, eV
        :param settings: further fields of the settings
        :return: the settings
        :raises ValueError: if no structure has it, or one is too far from the others
        """
        # The settings with any grid at all, to ask for the limits that they give.
        any_grid = TargetSpec(EnergyGrid(0.0, spacing, 1), **settings)
        known = self._can_be_made(any_grid)
        if not known.any():
            raise ValueError(
                "SOURCES: expected a structure at least that can be used, got none of "
                f"{len(known)}; the first says: {next(self.problems(any_grid))}"
            )
        if energy_range is not None:
            return TargetSpec(EnergyGrid.covering(*energy_range, spacing), **settings)
        lowest = self.rows["lowest"] - self.zeros(any_grid.reference)
        limits = self.trusted(any_grid)
        try:
            return any_grid.spanning(
                float(lowest[known].min()), float(limits[known].max())
            )
        except ValueError as error:
            reach = np.maximum(abs(lowest), abs(limits))
            far = int(np.where(known, reach, -np.inf).argmax())
            source, number = self.where(far)
            raise ValueError(
                f"{error}; the farthest are {lowest[far]:g} to {limits[far]:g} eV in "
                f"{source}, structure {number}"
            ) from error

    def usable(self, spec: TargetSpec) -> np.ndarray:
        """
        Select structures that have the required reference and fit on the grid.

        :param spec: grid and other settings
        :return: true where the DOS is zero at the first energy, and some of it is
            trusted, ``(structures,)``, bool
        """
        # Half a step, because the energies of the grid are rounded.
        fits = self._starts(spec) >= spec.grid.origin - 0.5 * spec.grid.spacing
        trusted = self.trusted(spec) >= spec.grid.origin
        return self._can_be_made(spec) & fits & trusted

    def trusted(self, spec: TargetSpec) -> np.ndarray:
        """
        Find the end of the trusted range of each structure.

        :param spec: trust margin and reference
        :return: highest trusted energy, ``(structures,)``, eV
        """
        complete = self.rows["complete"] - self.zeros(spec.reference)
        return complete - spec.trust_margin

    def problems(self, spec: TargetSpec) -> Iterator[Problem]:
        """
        Explain why structures are left out, though they could be read.

        :param spec: grid and other settings
        :return: problems in the order of the structures
        """
        known = self._can_be_made(spec)
        zeros, starts, trusted = (
            self.zeros(spec.reference),
            self._starts(spec),
            self.trusted(spec),
        )
        origin = spec.grid.origin
        for i in np.flatnonzero(~self.usable(spec)):
            if np.isnan(zeros[i]):
                reason = (
                    "fermi_level: expected one for the reference "
                    f"{spec.reference!r}, got none; use the reference 'raw'"
                )
            elif self.rows["resolution"][i] > spec.smearing:
                reason = (
                    f"smearing: expected at most {spec.smearing:g} eV, got a "
                    f"DOS on a grid that has {self.rows['resolution'][i]:.3g} eV "
                    "already; choose a larger --smearing"
                )
            elif not known[i]:
                reason = (
                    "eigenvalues: expected spin channels, got a calculation with "
                    "spinors, which has none; sum over spin"
                )
            elif trusted[i] < origin:
                reason = (
                    f"its bands are complete, and its DOS is trusted, only up to "
                    f"{trusted[i]:.2f} eV, and the grid begins at {origin:.2f} eV; "
                    "compute more bands"
                )
            else:
                reason = (
                    f"its DOS begins at {starts[i]:.2f} eV (the lowest state less "
                    f"{EMPTY_MARGIN:g} smearings), and the grid at {origin:.2f} eV; "
                    "leave --like out, or give a wider --energy-range"
                )
            yield Problem(*self.where(int(i)), reason)

    def best_of_equal(self) -> np.ndarray:
        """
        Find the best calculation of each structure.

        More k-points are better, then more bands, then more digits than text has, then
        the later of two. A DOS on a grid, which has none of these, comes after all
        others, the one that is smeared least first.

        :return: number of the best calculation of the same structure,
            ``(structures,)``; its own where it is the best
        """
        rows = self.rows
        same = same_structures(rows["fingerprint"])
        later = np.arange(len(rows))
        narrow, exact = -rows["resolution"], rows["is_exact"]
        order = np.lexsort((later, narrow, exact, rows["bands"], rows["mesh"], same))
        last = np.append(np.diff(same[order]) != 0, True)
        best = np.empty(same.max() + 1, dtype=np.int64)
        best[same[order[last]]] = order[last]
        return best[same]

    def _starts(self, spec: TargetSpec) -> np.ndarray:
        """Find the energy at which each DOS begins, ``(structures,)``, eV."""
        lowest = self.rows["lowest"] - self.zeros(spec.reference)
        return lowest - EMPTY_MARGIN * spec.smearing

    def _can_be_made(self, spec: TargetSpec) -> np.ndarray:
        """
        Select structures that have all that the settings ask for.

        That is the reference, spin channels if they are wanted, and no smearing that is
        wider already.
        """
        known = ~np.isnan(self.zeros(spec.reference))
        known &= self.rows["resolution"] <= spec.smearing
        if spec.spin_resolved:
            return known & (self.rows["channels"] > 0)
        return known
