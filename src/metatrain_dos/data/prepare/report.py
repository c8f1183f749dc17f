"""Say what is in a data set, and what is not."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from ...utils.progress import progress
from ..dataset import SPLITS
from ..target_spec import TargetSpec
from ..writers import DATASET_FORMATS
from .index import Catalogue, Problem


# Lines of each kind of problem on the terminal; report.json has them all.
SHOWN = 5

BYTES = 8
"""Of a number in the memory of ``mtt train``, which reads double precision."""


@dataclass
class Report:
    """
    Hold what :func:`lines` and :func:`write` say.

    :param catalogue: structures
    :param split_of: number of the split of each structure; negative for none
    :param spec: grid and padding
    :param problems: why structures are left out
    :param tolerance: electrons that may be missing up to the Fermi level
    :param format: one of :data:`~metatrain_dos.data.writers.DATASET_FORMATS`
    :param disk: size of the data set, bytes
    """

    catalogue: Catalogue
    split_of: np.ndarray
    spec: TargetSpec
    problems: list[Problem]
    tolerance: float
    format: str
    disk: int

    @property
    def memory(self) -> int:
        """Memory that targets and masks take in a training, bytes."""
        if not DATASET_FORMATS[self.format].in_memory:
            return 0
        columns = 2 * len(self.spec.targets) * self.spec.columns
        return int((self.split_of >= 0).sum()) * columns * BYTES

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Collect everything but the structures one by one."""
        made = self.spec
        used = self.split_of >= 0
        facts = self.catalogue.facts
        zeros = self.catalogue.zeros(made.reference)
        trusted = self.catalogue.trusted(made)
        missing, fermi = facts["missing"], facts["fermi"] - zeros
        off = np.flatnonzero(used & (np.abs(missing) > self.tolerance))
        bits = np.bitwise_or.reduce(facts["elements"][used], axis=0)
        number = int(bits[0]) | int(bits[1]) << 64
        return {
            "structures": int(used.sum()),
            "splits": {
                name: int((self.split_of == i).sum()) for i, name in enumerate(SPLITS)
            },
            "atoms": int(facts["atoms"][used].sum()),
            "elements": [
                symbol for z, symbol in enumerate(chemical_symbols) if number >> z & 1
            ],
            "grid": {
                "first": float(made.grid.energies[0]),
                "last": float(made.grid.energies[-1]),
                "spacing": made.grid.spacing,
                "size": made.grid.size,
                "extra_targets": made.extra_targets,
                "reference": made.reference,
            },
            "lowest_state": _range((facts["lowest"] - zeros)[used]),
            "trusted_limit": _range(trusted[used]),
            "fermi_level": _range(fermi[used & ~np.isnan(fermi)]),
            "trusted_beyond_grid": int(
                (trusted[used] > made.grid.energies[-1] + made.grid.spacing).sum()
            ),
            "trusted_below_fermi_level": int((trusted[used] < fermi[used]).sum()),
            "electrons": {
                "tolerance": self.tolerance,
                "checked": int((~np.isnan(missing[used])).sum()),
                "cannot_be_checked": int(np.isnan(missing[used]).sum()),
                "off": [
                    {
                        "source": self.catalogue.sources[facts["record"][i]],
                        "number": int(facts["number"][i]),
                        "electrons": float(facts["electrons"][i]),
                        "states": float(facts["electrons"][i] - missing[i]),
                    }
                    for i in off
                ],
            },
            "unreadable": [each._asdict() for each in self.catalogue.unreadable],
            "left_out": [each._asdict() for each in self.problems],
            "memory": self.memory,
            "disk": self.disk,
        }

    def rows(self) -> Iterator[dict[str, Any]]:
        """Describe one structure after the other."""
        made = self.spec
        zeros = self.catalogue.zeros(made.reference)
        trusted = self.catalogue.trusted(made)
        numbers, names = self.catalogue.labels("material")
        for i in np.flatnonzero(self.split_of >= 0):
            row = self.catalogue.facts[i]
            yield {
                "source": self.catalogue.sources[row["record"]],
                "number": int(row["number"]),
                "material": names[numbers[i]],
                "split": SPLITS[self.split_of[i]],
                "atoms": int(row["atoms"]),
                "lowest_state": _json(row["lowest"] - zeros[i]),
                "trusted_limit": _json(trusted[i]),
                "fermi_level": _json(row["fermi"] - zeros[i]),
                "electrons": _json(row["electrons"]),
                "missing_electrons": _json(row["missing"]),
            }

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

    def lines(self) -> Iterator[str]:
        """Say it to people."""
        told = self.summary
        grid, electrons = told["grid"], told["electrons"]
        parts = ", ".join(
            f"{count} {name.removesuffix('_set')}"
            for name, count in told["splits"].items()
        )
        yield f"structures    {told['structures']} ({parts}), {told['atoms']} atoms"
        yield f"elements      {' '.join(told['elements'])}"
        yield (
            f"grid          {grid['size']} energies from {grid['first']:.2f} to "
            f"{grid['last']:.2f} eV in steps of {grid['spacing']:g} eV, and "
            f"{grid['extra_targets']} extra; zero: {grid['reference']}"
        )
        for name in ("lowest_state", "trusted_limit", "fermi_level"):
            if told[name] is not None:
                low, high = told[name]
                words = name.replace("_", " ")
                yield f"{words:<14}{low:.2f} to {high:.2f} eV"
        yield (
            f"electrons     {electrons['checked']} checked, "
            f"{len(electrons['off'])} off by more than {electrons['tolerance']:g}, "
            f"{electrons['cannot_be_checked']} cannot be checked (no Fermi level or "
            "no number of electrons)"
        )
        held = (
            f"{told['memory'] / 1e6:.1f} MB of memory"
            if told["memory"]
            else ("read from disk batch by batch")
        )
        yield f"size          {told['disk'] / 1e6:.1f} MB on disk; in training: {held}"
        if told["trusted_beyond_grid"]:
            yield (
                f"warning: {told['trusted_beyond_grid']} structures could be trusted "
                "beyond the end of the grid, where they are cut"
            )
        if told["trusted_below_fermi_level"]:
            yield (
                f"warning: {told['trusted_below_fermi_level']} structures are not "
                "trusted up to their Fermi level; compute more bands"
            )
        yield from _shown(
            "off in their number of electrons",
            [
                f"{each['source']}, structure {each['number']}: "
                f"{each['states']:.3f} states up to the Fermi level for "
                f"{each['electrons']:g} electrons"
                for each in electrons["off"]
            ],
        )
        yield from _shown(
            "cannot be read",
            [f"{each['source']}: {each['reason']}" for each in told["unreadable"]],
        )
        yield from _shown(
            "left out",
            [
                f"{each['source']}, structure {each['number']}: {each['reason']}"
                for each in told["left_out"]
            ],
        )


def _shown(what: str, problems: list[str]) -> Iterator[str]:
    """Say how many problems of a kind there are, and show some."""
    if problems:
        yield f"warning: {len(problems)} {what}"
        yield from (f"  {problem}" for problem in problems[:SHOWN])
        if len(problems) > SHOWN:
            yield f"  ... all {len(problems)} are in report.json"


def _range(values: np.ndarray) -> list[float] | None:
    """Find the smallest and the largest, if there is any."""
    return [float(values.min()), float(values.max())] if len(values) else None


def _json(value: float) -> float | None:
    """Say in JSON, which has no NaN, that a number is not known."""
    return None if np.isnan(value) else round(float(value), 6)
