"""Findings of ``check``: where something is wrong, why it matters and what to do."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any, Literal

from ..data.options_file import Keys, OptionsFile, dotted


Severity = Literal["error", "warning", "note"]

SHOWN_STRUCTURES = 3
"""Number of structures that a message names."""

KEPT_STRUCTURES = 100
"""Number of structures that the JSON of a finding lists."""


@dataclass
class Occurrences:
    """
    Structures of one data set that have the same problem, in bounded memory.

    The first of them are listed, all are counted, and ``worst`` is the largest number
    that describes the problem in any of them.
    """

    where: str
    structures: list[int] = field(default_factory=list)
    sources: list[str | None] = field(default_factory=list)
    count: int = 0
    worst: float = 0.0

    def add(self, index: int, source: str | None, number: float = 0.0) -> None:
        """
        Add one structure.

        :param index: its position
        :param source: its source, if known
        :param number: size of the problem; the one furthest from zero is kept
        """
        self.count += 1
        if len(self.structures) < KEPT_STRUCTURES:
            self.structures.append(index)
            self.sources.append(source)
        if abs(number) >= abs(self.worst):
            self.worst = number

    def text(self) -> str:
        """Name the structures: ``training_set, in 12 structures, first 3, 7, 9``."""
        places = zip(self.structures, self.sources, strict=True)
        shown = ", ".join(
            f"{index} from {source}" if source else f"{index}"
            for index, source in islice(places, SHOWN_STRUCTURES)
        )
        if self.count == 1:
            return f"{self.where}, structure {shown}"
        first = "first " if self.count > SHOWN_STRUCTURES else ""
        return f"{self.where}, in {self.count} structures, {first}{shown}"


@dataclass(frozen=True)
class Finding:
    """
    One thing that is wrong, or worth knowing.

    :param severity: ``error`` if it breaks the training run or ruins the model,
        ``warning`` if it most likely does harm, ``note`` if it is good to know
    :param path: where in the options file, such as ``architecture.training.loss``
    :param line: line of the options file where that is, or where it belongs
    :param found: what was found
    :param why: why it matters
    :param fix: what to do
    :param occurrences: structures that have the problem
    """

    severity: Severity
    path: str
    line: int | None
    found: str
    why: str
    fix: str
    occurrences: Sequence[Occurrences] = ()

    def text(self, file: str) -> str:
        """
        Write the finding in three lines, the first in the form that editors jump to.
        """
        place = file if self.line is None else f"{file}:{self.line}"
        found = f"{self.path}: {self.found}" if self.path else self.found
        if self.occurrences:
            found += f" ({'; '.join(each.text() for each in self.occurrences)})"
        return (
            f"{place}: {self.severity}: {found}\n  why: {self.why}\n  fix: {self.fix}"
        )

    def content(self) -> dict[str, Any]:
        """Turn the finding into a dictionary that JSON can store."""
        return {**asdict(self), "occurrences": [asdict(o) for o in self.occurrences]}


@dataclass
class Findings:
    """All findings about an options file."""

    options: OptionsFile
    found: list[Finding] = field(default_factory=list)

    def add(
        self,
        severity: Severity,
        keys: Keys,
        found: str,
        why: str,
        fix: str,
        occurrences: Sequence[Occurrences] = (),
    ) -> None:
        """Add a finding at an option; see :class:`Finding`."""
        place = severity, dotted(keys), self.options.line(*keys)
        self.found.append(Finding(*place, found, why, fix, occurrences))
