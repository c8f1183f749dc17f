"""Describe a data set, and list everything that is not in it."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from ase.formula import Formula

from ...utils.progress import progress
from ..dataset import SPLITS
from ..defaults import LARGE_KPOINT_ERROR
from ..recipe import Recipe
from ..target_spec import TargetSpec
from ..writers import DATASET_FORMATS
from . import training_cost
from .index import Index, Problem
from .valences import count_electrons


HALF = 0.5
"""Part of the occupied states on atoms below which a warning is due."""

COUNTS = ("step", "steps", "atoms", "mesh", "bands")
"""Whole numbers of each structure, as in :data:`~.summary.ROW`."""

AT_A_TIME = 1000
"""Structures that are converted to JSON at a time."""


@dataclass
class Report:
    """
    A summary of a data set, and a row for each structure.

    :param index: structures
    :param split_of: number of the split of each structure; negative for none
    :param best: number of the best calculation of the same structure
    :param families: number of the family of each structure
    :param grouping: description of how structures were kept together
    :param fractions: of training, validation and test
    :param spec: grid and other settings
    :param problems: reasons why structures are left out
    :param unread: kind of file -> number of files that no reader reads
    :param recipe: network of the options file, and its training run
    :param tolerance: electrons that may be missing up to the Fermi level
    :param format: one of :data:`~metatrain_dos.data.writers.DATASET_FORMATS`
    :param warnings: further warnings
    :param disk: size of the data set, bytes
    :param seconds: time that ``mtt train`` takes to read it, if it does so at once
    """

    index: Index
    split_of: np.ndarray
    best: np.ndarray
    families: np.ndarray
    grouping: str
    fractions: tuple[float, ...]
    spec: TargetSpec
    problems: list[Problem]
    unread: dict[str, int]
    recipe: Recipe
    tolerance: float
    format: str
    warnings: list[str] = field(default_factory=list)
    disk: int = 0
    seconds: float = 0.0

    @property
    def memory(self) -> int:
        """Memory that the data set takes in a training run, bytes."""
        if not DATASET_FORMATS[self.format].in_memory:
            return 0
        return training_cost.memory_of(self.index, self.split_of >= 0, self.spec)

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Everything but the structures one by one."""
        spec, rows, used = self.spec, self.index.rows, self.split_of >= 0
        zeros = self.index.zeros(spec.reference)
        trusted = self.index.trusted(spec)
        missing, fermi = rows["missing"], rows["fermi"] - zeros
        unknown = used & np.isnan(rows["neutral"]) & (spec.reference == "neutral")
        numbers, compositions = self.index.labels("composition")
        elements = set().union(
            *(Formula(compositions[i]).count() for i in np.unique(numbers[used]))
        )
        several = used & (rows["steps"] > 1)
        _, first = np.unique(rows["record"][several], return_index=True)
        return {
            "structures": int(used.sum()),
            "splits": {
                name: int((self.split_of == i).sum()) for i, name in enumerate(SPLITS)
            },
            "split": self._leaks(),
            "atoms": int(rows["atoms"][used].sum()),
            "elements": sorted(elements, key=chemical_symbols.index),
            "grid": {
                "first": float(spec.grid.energies[0]),
                "last": float(spec.grid.energies[-1]),
                "spacing": spec.grid.spacing,
                "size": spec.grid.size,
                "extra_targets": spec.extra_targets,
                "reference": spec.reference,
            },
            "lowest_state": _range((rows["lowest"] - zeros)[used]),
            "trusted_limit": _range(trusted[used]),
            "fermi_level": _range(fermi[used]),
            "trusted_beyond_grid": int(
                (trusted[used] > spec.grid.energies[-1] + spec.grid.spacing).sum()
            ),
            "trusted_below_fermi_level": int((trusted[used] < fermi[used]).sum()),
            "without_neutral_level": int(unknown.sum()),
            "without_any_level": int((unknown & np.isnan(rows["fermi"])).sum()),
            "aligned": int((unknown & ~np.isnan(self.index.aligned)).sum()),
            "electrons": {
                "tolerance": self.tolerance,
                "checked": int((~np.isnan(missing[used])).sum()),
                "cannot_be_checked": int(np.isnan(missing[used]).sum()),
                "off": [
                    self._named(
                        i,
                        electrons=float(rows["electrons"][i]),
                        states=float(rows["electrons"][i] - missing[i]),
                    )
                    for i in np.flatnonzero(used & (np.abs(missing) > self.tolerance))
                ],
                "valences": spec.valences,
                "disagree": list(self._disagreeing()),
            },
            "kpoint_error": self._kpoint_errors(),
            "steps": {
                "files": len(first),
                "in_files": int(rows["steps"][several][first].sum()),
                "used": int(several.sum()),
            },
            "projections": {
                "occupied": _range(rows["on_atoms"][used]),
                "empty": _range(rows["empty_on_atoms"][used]),
                "mostly_elsewhere": int((rows["on_atoms"][used] < HALF).sum()),
            }
            if spec.projected
            else None,
            "on_a_grid": int((rows["bands"][used] == 0).sum()),
            "duplicates": [
                self._named(i, same_as=self._named(self.best[i]))
                for i in np.flatnonzero(self.best != np.arange(len(rows)))
            ],
            "unread": self.unread,
            "unreadable": [each._asdict() for each in self.index.unreadable],
            "left_out": [each._asdict() for each in self.problems],
            "warnings": self.warnings,
            "training": asdict(self.recipe),
            "memory": self.memory,
            "disk": self.disk,
        }

    def rows(self) -> Iterator[dict[str, Any]]:
        """Describe one structure after the other."""
        zeros = self.index.zeros(self.spec.reference)
        trusted = self.index.trusted(self.spec)
        numbers, names = self.index.labels("material")
        used = np.flatnonzero(self.split_of >= 0)
        for some in np.split(used, range(AT_A_TIME, len(used), AT_A_TIME)):
            rows = self.index.rows[some]
            columns = {
                "material": [names[i] for i in numbers[some]],
                "split": [SPLITS[i] for i in self.split_of[some]],
                "family": self.families[some].tolist(),
                **{name: rows[name].tolist() for name in COUNTS},
                "lowest_state": _json(rows["lowest"] - zeros[some]),
                "trusted_limit": _json(trusted[some]),
                "fermi_level": _json(rows["fermi"] - zeros[some]),
                "electrons": _json(rows["electrons"]),
                "missing_electrons": _json(rows["missing"]),
                "kpoint_error": _json(rows["kpoint_error"]),
                "on_atoms": _json(rows["on_atoms"]),
                "empty_on_atoms": _json(rows["empty_on_atoms"]),
                "fingerprint": _json(rows["fingerprint"]),
            }
            for i, *values in zip(some, *columns.values(), strict=True):
                yield self._named(i, **dict(zip(columns, values, strict=True)))

    def write(self, path: Path) -> None:
        """
        Write all of it as JSON, with one line for each structure.

        :param path: file to write
        """
        head = json.dumps(self.summary, indent=2)
        with path.open("w", encoding="utf-8") as file:
            file.write(head.removesuffix("\n}") + ',\n  "trusted_ranges": [')
            rows = progress("report", "structure", self.rows())
            for i, row in enumerate(rows):
                file.write(f"{',' if i else ''}\n    {json.dumps(row)}")
            file.write("\n  ]\n}\n")

    def _named(self, structure: Any, **more: Any) -> dict[str, Any]:
        """Describe a structure by its origin."""
        source, number = self.index.where(int(structure))
        return {
            "structure": int(structure),
            "source": source,
            "number": number,
            **more,
        }

    def _kpoint_errors(self) -> dict[str, Any]:
        """Summarise the errors that k-points leave in the targets."""
        used = np.flatnonzero(self.split_of >= 0)
        errors = self.index.rows["kpoint_error"]
        known = errors[used][~np.isnan(errors[used])]
        return {
            "unknown": len(used) - len(known),
            "median": float(np.median(known)) if len(known) else None,
            "largest": float(known.max()) if len(known) else None,
            "large": [
                self._named(i, error=round(float(errors[i]), 4))
                for i in used[errors[used] > LARGE_KPOINT_ERROR]
            ],
        }

    def _disagreeing(self) -> Iterator[dict[str, Any]]:
        """List structures with other electrons than their elements have elsewhere."""
        numbers, compositions = self.index.labels("composition")
        expected = np.array(
            [count_electrons(each, self.spec.valences or {}) for each in compositions]
        )[numbers]
        electrons = self.index.rows["electrons"]
        off = (np.abs(electrons - expected) > 1e-3) & (self.split_of >= 0)
        for i in np.flatnonzero(off):
            yield self._named(
                i, electrons=float(electrons[i]), expected=float(expected[i])
            )

    def _leaks(self) -> dict[str, Any]:
        """Describe the split, and how many held-out structures a random one leaks."""
        used = self.split_of >= 0
        _, family, sizes = np.unique(
            self.families[used], return_inverse=True, return_counts=True
        )
        in_training = np.bincount(
            family[self.split_of[used] == 0], minlength=len(sizes)
        )
        leaked = int((in_training[family] > 0)[self.split_of[used] > 0].sum())
        alone = (1 - self.fractions[0]) ** (sizes - 1)
        random = 1 - float((alone * sizes).sum() / sizes.sum())
        return {
            "description": f"{self.grouping}; {len(sizes)} families of near relatives; "
            f"a random split would leave {random:.0%} of the held-out structures with "
            "one in training",
            "grouping": self.grouping,
            "families": len(sizes),
            "leaked": leaked,
            "leaked_at_random": round(random, 4),
        }


def _range(values: np.ndarray) -> list[float] | None:
    """Find the smallest and the largest value, if there is any."""
    values = values[~np.isnan(values)]
    return [float(values.min()), float(values.max())] if len(values) else None


def _json(values: np.ndarray) -> list[Any]:
    """Convert numbers to JSON, which has no NaN."""
    rounded = np.round(values, 6).astype(object)
    rounded[np.isnan(values)] = None
    return list(rounded.tolist())
