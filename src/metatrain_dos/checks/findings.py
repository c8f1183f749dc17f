"""What a check finds, and how it is said."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal


Severity = Literal["error", "warning", "note"]

SHOWN_STRUCTURES = 3
"""How many structures a message names of all that it is about."""

KEPT_STRUCTURES = 100
"""How many structures a finding lists for machines."""


@dataclass
class Occurrences:
    """
    Count the structures that something is wrong with, in bounded memory.

    :param where: data set section that they belong to
    :param structures: position of the first of them
    :param count: number of all of them
    :param worst: the most telling number found in any of them
    """

    where: str
    structures: list[int] = field(default_factory=list)
    count: int = 0
    worst: float = 0.0

    def add(self, structure: int, number: float = 0.0) -> None:
        """
        Count one more structure.

        :param structure: position in the section
        :param number: what to keep if it is further from zero than before
        """
        self.count += 1
        if len(self.structures) < KEPT_STRUCTURES:
            self.structures.append(structure)
        if abs(number) >= abs(self.worst):
            self.worst = number

    def text(self) -> str:
        """Name the structures: ``training_set, in 12 structures, first 3, 7, 9``."""
        shown = ", ".join(map(str, self.structures[:SHOWN_STRUCTURES]))
        if self.count == 1:
            return f"{self.where}, structure {shown}"
        first = "first " if self.count > SHOWN_STRUCTURES else ""
        return f"{self.where}, in {self.count} structures, {first}{shown}"


@dataclass(frozen=True)
class Finding:
    """
    Hold one thing that is wrong, or worth knowing.

    :param severity: ``error`` if it breaks or corrupts the training, ``warning`` if it
        most likely does harm, ``note`` if it is good to know
    :param path: where in the options file, such as ``architecture.training.loss``
    :param line: line of the options file where that stands, or where it belongs
    :param found: what was found
    :param why: why it matters
    :param fix: what to do
    :param occurrences: structures it is about
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
        Write the finding for people, in the form that editors jump to.

        :param file: name of the options file
        :return: three lines
        """
        place = file if self.line is None else f"{file}:{self.line}"
        found = f"{self.path}: {self.found}" if self.path else self.found
        if self.occurrences:
            found += f" ({'; '.join(each.text() for each in self.occurrences)})"
        return (
            f"{place}: {self.severity}: {found}\n  why: {self.why}\n  fix: {self.fix}"
        )

    def content(self) -> dict[str, Any]:
        """Turn the finding into what JSON can hold."""
        return {**asdict(self), "occurrences": [asdict(o) for o in self.occurrences]}
