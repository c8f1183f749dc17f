"""Say what an inspection has found, why it matters and what to do."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..data.options_file import OptionsFile, dotted, loss_keys
from ..data.sections import Section
from .energy_zeros import STRAIN
from .findings import Finding, Occurrences, Severity
from .inspection import Inspection


# Columns that no structure trusts are worth a note from this fraction of all on: a grid
# that ends one column too late is not.
UNTRUSTED_SHARE = 0.01


@dataclass(frozen=True)
class Message:
    """Hold the words for a problem of some structures; ``{...}`` are filled in."""

    severity: Severity
    place: str
    found: str
    why: str
    fix: str


MESSAGES = {
    "target width": Message(
        "error",
        "target columns",
        "num_subtargets is {num_subtargets}, but {target!r} has {number:.0f} columns "
        "in {source}",
        "metatrain cannot read it, or reads other columns than those that were written",
        "set num_subtargets: {number:.0f}, for target and mask of every data set",
    ),
    "ignored width": Message(
        "warning",
        "target columns",
        "num_subtargets is {num_subtargets}, but {target!r} has {number:.0f} columns "
        "in {source}",
        "metatrain takes the number of a zip file, but that of other formats from here",
        "set num_subtargets: {number:.0f}, for target and mask of every data set",
    ),
    "mask width": Message(
        "error",
        "mask columns",
        "the mask has {number:.0f} columns in {source}, but num_subtargets is "
        "{mask_num_subtargets}, and {num_subtargets} for {target!r}",
        "target and mask are compared column by column",
        "give both as many columns, and num_subtargets that number",
    ),
    "mask rows": Message(
        "error",
        "mask",
        "the mask has {number:.0f} rows, another number than {target!r}",
        "samples and components of target and mask must agree",
        "write the mask with sample_kind, type and components of the target",
    ),
    "mask values": Message(
        "error",
        "mask",
        "the mask holds other numbers than 0 and 1",
        "metatrain makes booleans of them, in which everything but 0 is true, NaN too",
        "write 1 where the target is to be compared, and 0 elsewhere",
    ),
    "undefined": Message(
        "error",
        "target",
        "{target!r} is NaN where its mask is true, at up to {number:.0f} points",
        "the errors that metatrain prints become NaN, and the training ends there",
        "set the mask to false where there is no target",
    ),
    "infinite": Message(
        "error",
        "target",
        "{target!r} is infinite where its mask is true, at up to {number:.0f} points",
        "loss and errors are infinite then, and the training ends",
        "compute these structures again, or leave them out",
    ),
    "padding": Message(
        "error",
        "extra_targets",
        "the mask of {target!r} is true inside the first {extra} columns, which are "
        "padding; {hint}",
        "the loss drops these columns, so that a part of the target is never seen and "
        "the rest is compared with other columns",
        "make extra_targets the number of columns that were put in front of the "
        "targets, or write the data set again with {extra} of them",
    ),
    "untrusted": Message(
        "error",
        "mask",
        "{target!r} is to be compared nowhere: the mask is false behind the padding",
        "nothing is learned from such a structure",
        "correct the mask, or leave these structures out",
    ),
    "empty": Message(
        "warning",
        "target",
        "{target!r} is zero wherever it is to be compared",
        "a structure without states is most likely a mistake",
        "check the energy range of the grid, and the calculations",
    ),
    "negative": Message(
        "warning",
        "target",
        "{target!r} is negative where it is to be compared, down to {number:.3g}",
        "a DOS is not, unless a baseline was taken off or the smearing is no Gaussian",
        "write the DOS itself, smeared with Gaussians",
    ),
    "edge": Message(
        "warning",
        "target",
        "{target!r} is not zero at its first column behind the padding, but up to "
        "{number:.3g}",
        "the loss takes the DOS to be zero below the grid, and calls it an error if "
        "states are predicted there",
        "begin the grid below the lowest state, by 5 times the smearing",
    ),
    "lost": Message(
        "warning",
        "extra_targets",
        "{target!r} is up to {number:.3g} inside the first {extra} columns, which are "
        "padding",
        "the loss drops these columns",
        "make extra_targets the number of columns that were put in front of the "
        "targets; {hint}",
    ),
}


def findings_of(options: OptionsFile, inspection: Inspection) -> Iterator[Finding]:
    """
    Say what is wrong with one target.

    :param options: the options file
    :param inspection: what was seen in its data sets
    :return: what was found
    """
    merged: dict[Finding, list[Occurrences]] = {}
    for (name, section), occurrences in inspection.problems.items():
        said = _in_section(options, inspection, MESSAGES[name], section, occurrences)
        merged.setdefault(said, []).append(occurrences)
    for said, places in merged.items():
        yield replace(said, occurrences=tuple(places))
    if inspection.trusted is not None and inspection.is_complete:
        yield from _in_all(options, inspection, inspection.trusted)


def _in_section(
    options: OptionsFile,
    inspection: Inspection,
    message: Message,
    section: Section,
    occurrences: Occurrences,
) -> Finding:
    """Say what is wrong with some structures of one section."""
    target = inspection.target
    base = section.keys if options.get(*section.keys, "systems") else ("training_set",)
    keys = {
        "target": (*base, "targets", target),
        "target columns": (*base, "targets", target, "num_subtargets"),
        "mask": (*base, "extra_data", f"{target}_mask"),
        "mask columns": (*base, "extra_data", f"{target}_mask", "num_subtargets"),
        "extra_targets": loss_keys(options, target, "extra_targets"),
    }[message.place]
    words: dict[str, Any] = {
        "target": target,
        "number": occurrences.worst,
        "source": section.source,
        "extra": inspection.hypers.extra_targets,
        "num_subtargets": section.entries[target]["num_subtargets"],
        "mask_num_subtargets": section.entries.get(f"{target}_mask", {}).get(
            "num_subtargets"
        ),
        "hint": _where_padding_ends(inspection),
    }
    return Finding(
        message.severity,
        dotted(keys),
        options.line(*keys),
        message.found.format(**words),
        message.why,
        message.fix.format(**words),
    )


def _where_padding_ends(inspection: Inspection) -> str:
    """Say which ``extra_targets`` the data look like."""
    first, extra = inspection.first_trusted, inspection.hypers.extra_targets
    if inspection.empty_end and extra:
        return (
            f"the last {extra} columns are zero and masked everywhere, so the padding "
            "seems to be behind the targets, but belongs in front of them"
        )
    if first is None:
        return "no mask says where the padding ends"
    return f"the first true column of all masks is {first}, so extra_targets: {first}"


def _in_all(
    options: OptionsFile, inspection: Inspection, trusted: np.ndarray
) -> Iterator[Finding]:
    """Say what only all structures together tell."""
    target, hypers = inspection.target, inspection.hypers
    extra, first = hypers.extra_targets, inspection.first_trusted
    keys = loss_keys(options, target, "extra_targets")
    place = (dotted(keys), options.line(*keys))
    if first is not None and first > extra:
        yield Finding(
            "warning",
            *place,
            f"extra_targets is {extra}, but no mask of {target!r} is true before "
            f"column {first}",
            "if these columns are padding, too, targets can slide less than the data "
            "were made for",
            f"set extra_targets: {first}, unless the targets really begin masked",
        )
    rest = trusted[max(extra, first or 0) :]
    if np.sum(~rest) > UNTRUSTED_SHARE * len(trusted):
        mask_keys = ("training_set", "extra_data", f"{target}_mask")
        yield Finding(
            "note",
            dotted(mask_keys),
            options.line(*mask_keys),
            f"{np.sum(~rest)} columns of {target!r} are trusted in no structure",
            "they cost memory, and the prediction there is only smooth",
            "end the grid where the last structure stops being trusted",
        )
    widest, reach = inspection.spread.widest(), extra * hypers.grid_spacing
    if widest is not None and widest.spread > reach + STRAIN:
        needed = int(np.ceil(widest.spread / hypers.grid_spacing))
        yield Finding(
            "warning",
            *place,
            f"the energy references of {target!r} seem to be {widest.spread:.1f} eV "
            f"apart in structures of the same composition and density "
            f"({widest.lowest_name} and {widest.highest_name}), but a target can slide "
            f"by {reach:.4g} eV only",
            "structures whose reference is further away than that cannot be aligned",
            f"write the data set again with at least {needed} extra_targets, or with "
            "energies relative to the Fermi level or the valence band maximum",
        )
