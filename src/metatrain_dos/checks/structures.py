"""Compare the structures of data sets: sizes, elements, and equal structures."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from ..data.identity import fingerprint, same_structures
from ..data.samples import Sample
from ..data.sections import Section
from .findings import Findings, Occurrences
from .options import TRAINING


@dataclass(eq=False)
class Contents:
    """Position, source and fingerprint of all structures of one data set."""

    section: Section
    samples: list[tuple[int, str | None]] = field(default_factory=list)
    fingerprints: list[np.ndarray] = field(default_factory=list)
    elements: set[int] = field(default_factory=set)

    def add(self, sample: Sample) -> None:
        """Add one more structure."""
        self.samples.append((sample.index, sample.source))
        self.fingerprints.append(fingerprint(sample.atoms))
        self.elements |= set(sample.atoms.numbers.tolist())

    @property
    def split(self) -> str:
        """``training_set``, ``validation_set`` or ``test_set``."""
        return str(self.section.keys[0])


def check_equal_structures(findings: Findings, contents: Sequence[Contents]) -> None:
    """Look for structures that are in two splits."""
    prints = [each for part in contents for each in part.fingerprints]
    if not prints:
        return
    numbers = iter(same_structures(np.array(prints)).tolist())
    seen: dict[int, tuple[Contents, int]] = {}
    for part in contents:
        repeated: dict[str, tuple[Occurrences, int]] = {}
        for (index, source), number in zip(part.samples, numbers, strict=False):
            first, at = seen.setdefault(number, (part, index))
            is_itself = first is part and at == index
            is_drawn = part.split == "training_set" and _fractions(findings)
            if not is_itself and (first.split != part.split or is_drawn):
                where = (Occurrences(part.section.name), at)
                repeated.setdefault(first.section.name, where)[0].add(index, source)
        for name, (occurrences, at) in repeated.items():
            _add_repeated(findings, part, name, occurrences, at)


def _add_repeated(
    findings: Findings, part: Contents, other: str, occurrences: Occurrences, at: int
) -> None:
    """Add a finding about structures that are in another data set, too."""
    is_random = part.split == "training_set"
    findings.add(
        "warning" if is_random else "error",
        part.section.keys,
        f"structures are also in {other}, the first of them as structure {at} there",
        "structures that are held out are drawn at random, and equal ones are separated"
        if is_random
        else "errors of structures that the model was trained on tell nothing about "
        "others, and the best model is chosen by them",
        "leave them out, or keep equal structures in one data set",
        (occurrences,),
    )


def check_sizes(
    findings: Findings, training: Mapping[str, Any], contents: Sequence[Contents]
) -> None:
    """Compare the sizes of training sets with the batch size; look for empty ones."""
    batch_size = training.get("batch_size")
    held_out = dict.fromkeys(_fractions(findings), 0)
    for part in contents:
        if part.split != "training_set":
            continue
        left, share = len(part.samples), 1.0
        for name, fraction in _fractions(findings).items():
            share -= fraction  # as metatrain counts
            drawn = math.floor(left * fraction / (share + fraction))
            held_out[name] += drawn
            left -= drawn
        if isinstance(batch_size, int) and batch_size > left > 0:
            if training.get("max_atoms_per_batch") is not None:
                continue
            is_default = findings.options.get(*TRAINING, "batch_size") is None
            findings.add(
                "error",
                (*TRAINING, "batch_size"),
                f"batch_size is {batch_size}{', the default,' * is_default} and "
                f"{part.section.name} has only {left} structures",
                "metatrain stops, after it has read the data, if a training set has "
                "fewer samples than the batch size",
                f"batch_size: {max(1, left // 4)}",
            )
    if held_out.get("validation_set") == 0:
        findings.add(
            "error",
            ("validation_set",),
            "this fraction of the training set is less than one structure",
            "without a validation set, no model is the best one",
            "hold out a larger fraction",
        )


def check_elements(findings: Findings, contents: Sequence[Contents]) -> None:
    """Look for elements that the model will not know."""
    given = findings.options.get("architecture", "atomic_types")
    known = set(given or [])
    if given is None:  # metatrain takes them from these two
        for part in contents:
            known |= part.elements if part.split != "test_set" else set()
    for part in contents:
        if unknown := part.elements - known:
            symbols = ", ".join(chemical_symbols[each] for each in sorted(unknown))
            findings.add(
                "error",
                part.section.keys
                if given is None
                else ("architecture", "atomic_types"),
                f"the model will not know {symbols}, which {part.section.name} has",
                "metatrain stops at the first structure with an unknown element",
                "leave these structures out, or add them to the training set"
                if given is None
                else f"add {sorted(unknown)}",
            )


def _fractions(findings: Findings) -> dict[str, float]:
    """Find the data sets that metatrain draws from the training set."""
    found = {}
    for name in ("validation_set", "test_set"):
        value = findings.options.get(name)
        if isinstance(value, (int, float)) and value > 0:
            found[name] = float(value)
    return found
