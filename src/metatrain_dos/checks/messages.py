"""Turn the problems that an inspection has found into findings."""

import numpy as np

from ..data.options_file import Keys, loss_keys
from ..data.sections import Section
from .energy_zeros import STRAIN
from .findings import Findings, Occurrences, Severity
from .inspection import Inspection


# Columns that no structure trusts get a note if they are more than this fraction of
# all; a grid that ends one column too late does not matter.
UNTRUSTED_SHARE = 0.01

Text = tuple[Severity, Keys, str, str, str]
"""Arguments of :meth:`Findings.add`: severity, keys, what was found, why, and a fix."""


MESSAGES: dict[str, tuple[Severity, str, str, str, str]] = {
    "target width": (
        "error",
        "target columns",
        "num_subtargets is {num_subtargets}, but {target!r} has {number:.0f} columns "
        "in {source}",
        "metatrain cannot read it, or reads other columns than were written",
        "set num_subtargets: {number:.0f}, for target and mask of every data set",
    ),
    "ignored width": (
        "warning",
        "target columns",
        "num_subtargets is {num_subtargets}, but {target!r} has {number:.0f} columns "
        "in {source}",
        "metatrain takes this number from a zip file, but from here for other formats",
        "set num_subtargets: {number:.0f}, for target and mask of every data set",
    ),
    "mask width": (
        "error",
        "mask columns",
        "the mask has {number:.0f} columns in {source}, but num_subtargets is "
        "{mask_num_subtargets}, and {num_subtargets} for {target!r}",
        "target and mask are compared column by column",
        "give both as many columns, and num_subtargets that number",
    ),
    "mask rows": (
        "error",
        "mask",
        "the mask has {number:.0f} rows, {target!r} another number",
        "samples and components of target and mask must agree",
        "write the mask with sample_kind, type and components of the target",
    ),
    "mask values": (
        "error",
        "mask",
        "the mask has values other than 0 and 1",
        "metatrain converts them to booleans: everything but 0 is true, NaN too",
        "write 1 where the target is to be compared, and 0 elsewhere",
    ),
    "undefined": (
        "error",
        "target",
        "{target!r} is NaN where its mask is true, at up to {number:.0f} points",
        "the errors that metatrain computes become NaN, and the training run ends",
        "set the mask to false where there is no target",
    ),
    "infinite": (
        "error",
        "target",
        "{target!r} is infinite where its mask is true, at up to {number:.0f} points",
        "loss and errors become infinite, and the training run ends",
        "compute these structures again, or leave them out",
    ),
    "padding": (
        "error",
        "extra_targets",
        "the mask of {target!r} is true inside the first {extra} columns, which are "
        "padding; {hint}",
        "the loss drops these columns, so that a part of the target is never seen and "
        "the rest is compared with other columns",
        "set extra_targets to the number of columns that were put in front of the "
        "targets, or write the data set again with {extra} of them",
    ),
    "untrusted": (
        "error",
        "mask",
        "no column of {target!r} counts: the mask is false behind the padding",
        "nothing is learned from such a structure",
        "correct the mask, or leave these structures out",
    ),
    "empty": (
        "warning",
        "target",
        "{target!r} is zero wherever its mask is true",
        "a structure without states is most likely a mistake",
        "check the energy range of the grid, and the calculations",
    ),
    "negative": (
        "warning",
        "target",
        "{target!r} is negative where its mask is true, down to {number:.3g}",
        "a DOS is never negative, unless a baseline was subtracted or the smearing is "
        "not Gaussian",
        "write the DOS itself, smeared with Gaussians",
    ),
    "k-points": (
        "warning",
        "target",
        "the k-points of {target!r} leave an error of up to {number:.0f} % (estimated)",
        "no model can be better than its targets",
        "compute the eigenvalues again on a denser grid, from the same density",
    ),
    "edge": (
        "warning",
        "target",
        "the first column of {target!r} behind the padding is not zero, but up to "
        "{number:.3g}",
        "the loss assumes that the DOS is zero below the grid, and counts states that "
        "are predicted there as an error",
        "begin the grid 5 smearings below the lowest state",
    ),
    "lost": (
        "error",
        "extra_targets",
        "up to {number:.3g} states of {target!r} are in its first {extra} columns, "
        "which the loss drops as padding",
        "these states are never learned, and the rest of the target is aligned without "
        "them",
        "set extra_targets to the number of columns that were put in front of the "
        "targets (0 if none were), or put {extra} in front; {hint}",
    ),
}
"""
Problem of an inspection -> severity, place in the options, what was found, why, and a
fix, with ``{...}`` to fill in.
"""


def add_problems(findings: Findings, inspection: Inspection) -> None:
    """Add the problems of one target."""
    merged: dict[Text, list[Occurrences]] = {}
    for (name, section), occurrences in inspection.problems.items():
        text = _fill_in(findings, inspection, name, section, occurrences)
        merged.setdefault(text, []).append(occurrences)
    for text, places in merged.items():
        findings.add(*text, places)
    if inspection.trusted is not None and inspection.is_complete:
        _check_columns(findings, inspection, inspection.trusted)
        _check_zeros(findings, inspection)


def _fill_in(
    findings: Findings,
    inspection: Inspection,
    name: str,
    section: Section,
    occurrences: Occurrences,
) -> Text:
    """Fill in the message for a problem in one section."""
    severity, place, found, why, fix = MESSAGES[name]
    target, options = inspection.target, findings.options
    base = section.keys if options.get(*section.keys, "systems") else ("training_set",)
    keys = {
        "target": (*base, "targets", target),
        "target columns": (*base, "targets", target, "num_subtargets"),
        "mask": (*base, "extra_data", f"{target}_mask"),
        "mask columns": (*base, "extra_data", f"{target}_mask", "num_subtargets"),
        "extra_targets": loss_keys(options, target, "extra_targets"),
    }[place]
    mask = section.entries.get(f"{target}_mask", {})
    words = {
        "target": target,
        "number": occurrences.worst,
        "source": section.source,
        "extra": inspection.hypers.extra_targets,
        "num_subtargets": section.entries[target]["num_subtargets"],
        "mask_num_subtargets": mask.get("num_subtargets"),
        "hint": _padding_hint(inspection),
    }
    return severity, keys, found.format(**words), why, fix.format(**words)


def _padding_hint(inspection: Inspection) -> str:
    """Tell which ``extra_targets`` the data seem to have."""
    first, extra = inspection.first_trusted, inspection.hypers.extra_targets
    if inspection.empty_end and extra:
        return (
            f"the last {extra} columns are zero and masked everywhere, so the padding "
            "seems to be behind the targets, but belongs in front of them"
        )
    if first is None:
        return "no mask tells where the padding ends"
    return f"the first true column of all masks is {first}, so extra_targets: {first}"


def _check_columns(
    findings: Findings, inspection: Inspection, trusted: np.ndarray
) -> None:
    """Look for columns that no structure trusts."""
    target, extra = inspection.target, inspection.hypers.extra_targets
    first = inspection.first_trusted
    if first is not None and first > extra:
        findings.add(
            "warning",
            loss_keys(findings.options, target, "extra_targets"),
            f"extra_targets is {extra}, but no mask of {target!r} is true before "
            f"column {first}",
            "if these columns are padding, too, targets can slide less than the data "
            "allow",
            f"set extra_targets: {first}, unless the targets really begin masked",
        )
    unused = int(np.sum(~trusted[max(extra, first or 0) :]))
    if unused > UNTRUSTED_SHARE * len(trusted):
        findings.add(
            "note",
            ("training_set", "extra_data", f"{target}_mask"),
            f"{unused} columns of {target!r} are trusted in no structure",
            "they cost memory, and the prediction there is only smooth",
            "end the grid where the last structure stops being trusted",
        )


def _check_zeros(findings: Findings, inspection: Inspection) -> None:
    """Compare the distance of the energy zeros with the largest shift."""
    target, hypers = inspection.target, inspection.hypers
    widest = inspection.zeros.widest()
    reach = hypers.extra_targets * hypers.grid_spacing
    if widest is not None and widest.spread > reach + STRAIN:
        needed = int(np.ceil(widest.spread / hypers.grid_spacing))
        findings.add(
            "warning",
            loss_keys(findings.options, target, "extra_targets"),
            f"the energy references of {target!r} seem to be {widest.spread:.1f} eV "
            f"apart in structures of the same composition and density "
            f"({widest.lowest_name} and {widest.highest_name}), but a target can slide "
            f"by only {reach:.4g} eV",
            "structures whose reference is further away cannot be aligned",
            f"write the data set again with at least {needed} extra_targets, or with "
            "energies relative to the Fermi level or the valence band maximum",
        )
