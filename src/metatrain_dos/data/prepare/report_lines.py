"""Describe a data set on the terminal."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from ..defaults import LARGE_KPOINT_ERROR, LARGE_MEMORY
from ..recipe import describe_time
from .index import Problem
from .report import Report


# Lines of each kind of problem on the terminal; report.json has them all.
SHOWN = 5


def report_lines(report: Report) -> Iterator[str]:
    """
    Write the summary of a data set as lines for the terminal.

    :param report: the data set
    :return: lines
    """
    summary = report.summary
    grid, electrons = summary["grid"], summary["electrons"]
    parts = ", ".join(
        f"{count} {name.removesuffix('_set')}"
        for name, count in summary["splits"].items()
    )
    yield (f"structures    {summary['structures']} ({parts}), {summary['atoms']} atoms")
    yield f"split         {summary['split']['description']}"
    yield f"elements      {' '.join(summary['elements'])}"
    yield (
        f"grid          {grid['size']} energies from {grid['first']:.2f} to "
        f"{grid['last']:.2f} eV in steps of {grid['spacing']:g} eV, and "
        f"{grid['extra_targets']} extra; zero: {grid['reference']}"
    )
    for name in ("lowest_state", "trusted_limit", "fermi_level"):
        if summary[name] is not None:
            low, high = summary[name]
            words = name.replace("_", " ")
            yield f"{words:<14}{low:.2f} to {high:.2f} eV"
    yield (
        f"electrons     {electrons['checked']} checked, "
        f"{len(electrons['off'])} off by more than {electrons['tolerance']:g}, "
        f"{electrons['cannot_be_checked']} cannot be checked (no Fermi level or "
        "no number of electrons)"
    )
    if electrons["valences"]:
        found = (f"{e} {n:g}" for e, n in electrons["valences"].items())
        yield f"valences      {', '.join(found)}"
    errors = summary["kpoint_error"]
    unknown = (
        f"error not known for {errors['unknown']}: k-points that are unknown, one "
        "alone, or no regular grid"
    )
    if errors["median"] is None:
        yield f"k-points      {unknown}"
    else:
        yield (
            f"k-points      leave an error of {errors['median']:.1%} of the DOS in the "
            f"median, {errors['largest']:.0%} at most (estimated)"
            + (f"; {unknown}" if errors["unknown"] else "")
        )
    memory = (
        f"{summary['memory'] / 1e6:.1f} MB of memory, and about "
        f"{report.seconds:.0f} s to read it"
        if summary["memory"]
        else "read from disk batch by batch"
    )
    disk = summary["disk"] / 1e6
    yield f"size          {disk:.1f} MB of {report.format}; in training: {memory}"
    training = report.recipe.training
    yield (
        f"training      {report.recipe.architecture}, {training['num_epochs']} "
        f"epochs in batches of {training['batch_size']}: about "
        f"{describe_time(report.recipe.seconds)} on one core"
    )
    steps = summary["steps"]
    if steps["files"]:
        yield (
            f"steps         {steps['used']} of {steps['in_files']} are used from "
            f"{steps['files']} files with several; --steps takes all with eigenvalues, "
            "else the last"
        )
    if summary["projections"]:
        on_atoms = (
            f"{low:.0%} to {high:.0%} of the {kind} states"
            for kind in ("occupied", "empty")
            for low, high in filter(None, [summary["projections"][kind]])
        )
        yield f"projections   {' and '.join(on_atoms)} are on atoms, scaled to all"
    if summary["on_a_grid"]:
        yield (
            f"DOS on a grid {summary['on_a_grid']} without eigenvalues, but with a DOS "
            "that was on a grid already"
        )
    if summary["unread"]:
        kinds = (f"{number} {kind}" for kind, number in summary["unread"].items())
        yield f"not read      {', '.join(kinds)}"
    yield from _warnings(report)


def _warnings(report: Report) -> Iterator[str]:
    """Write everything that the user should look at."""
    summary = report.summary
    yield from (f"warning: {text}" for text in report.warnings)
    if summary["memory"] >= LARGE_MEMORY:
        yield (
            f"warning: mtt train will hold {summary['memory'] / 1e6:.0f} MB in "
            "memory; --format memmap takes none of it, and half of the disk"
        )
    if summary["split"]["leaked"]:
        yield (
            f"warning: {summary['split']['leaked']} in validation or test with a near "
            "relative in training, which makes errors look small"
        )
    if summary["without_neutral_level"]:
        yield (
            f"warning: {summary['without_neutral_level']} without a number of "
            "electrons; the zero is the Fermi level of the code"
        )
    if summary["without_any_level"]:
        yield (
            f"warning: {summary['without_any_level']} of them without a Fermi level, "
            f"too; {summary['aligned']} moved to where the DOS of the composition "
            "agree, the others with the zero of the code"
        )
    if summary["projections"] and summary["projections"]["mostly_elsewhere"]:
        yield (
            f"warning: {summary['projections']['mostly_elsewhere']} with less than "
            "half of the occupied states on atoms; between different atoms, the rest "
            "is divided arbitrarily"
        )
    if summary["trusted_beyond_grid"]:
        yield (
            f"warning: {summary['trusted_beyond_grid']} trusted beyond the end of the "
            "grid, and cut there"
        )
    if summary["trusted_below_fermi_level"]:
        yield (
            f"warning: {summary['trusted_below_fermi_level']} not trusted up to the "
            "Fermi level; compute more bands"
        )
    electrons = summary["electrons"]
    yield from _examples(
        "off in their number of electrons",
        electrons["off"],
        lambda each: (
            f"{each['states']:.3f} states up to the Fermi level for "
            f"{each['electrons']:g} electrons"
        ),
    )
    yield from _examples(
        "with other electrons than their elements have elsewhere (charged, or "
        "computed with other pseudopotentials)",
        electrons["disagree"],
        lambda each: f"{each['electrons']:g} instead of {each['expected']:g}",
    )
    errors = summary["kpoint_error"]
    yield from _examples(
        f"with k-points too few by far (more than {LARGE_KPOINT_ERROR:.0%} off): no "
        "model can be better than its targets; compute the eigenvalues again on a "
        "denser grid, from the same density",
        errors["large"],
        lambda each: f"{each['error']:.0%} off a grid twice as fine, estimated",
    )
    yield from _examples(
        "the same structure as another one, and not used",
        [x for x in summary["duplicates"] if report.split_of[x["structure"]] < 0],
        lambda each: "same structure as {source}, structure {number}".format(
            **each["same_as"]
        ),
    )
    for what, problems in (
        ("cannot be read", report.index.unreadable),
        ("left out", report.problems),
    ):
        yield from _grouped(what, problems)


def _examples(
    what: str, structures: list[dict[str, Any]], describe: Callable[[Any], str]
) -> Iterator[str]:
    """Count the structures of a kind, and show some."""
    if structures:
        yield f"warning: {len(structures)} {what}"
        for each in structures[:SHOWN]:
            where = f"{each['source']}, structure {each['number']}"
            yield f"  {where}: {describe(each)}"
        if len(structures) > SHOWN:
            yield f"  ... all {len(structures)} are in report.json"


def _grouped(what: str, problems: list[Problem]) -> Iterator[str]:
    """Count problems, and show each reason with its number and one example."""
    if not problems:
        return
    yield f"warning: {len(problems)} {what}"
    kinds: dict[str, list[Problem]] = {}
    for each in problems:
        # Numbers and names differ from file to file where the reason is the same.
        kind = re.sub(r"[-\d.]+", "#", each.reason.split(", got ")[0])
        kinds.setdefault(kind, []).append(each)
    ordered = sorted(kinds.values(), key=len, reverse=True)
    for alike in ordered[:SHOWN]:
        times = f"{len(alike)} times, for example " if len(alike) > 1 else ""
        yield f"  {times}{alike[0]}"
    if len(ordered) > SHOWN:
        yield f"  ... all {len(problems)} are in report.json"
