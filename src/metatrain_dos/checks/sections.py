"""Compare the data sets of an options file with each other and with the loss."""

from ..data.options_file import loss_keys
from ..data.sections import Section
from ..data.target_spec import TargetSpec
from ..loss.options import MaskedDOSHypers
from .findings import Findings
from .inspection import Inspection


def check_presence(findings: Findings, target: str, sections: list[Section]) -> None:
    """Look for a validation or test set without the target."""
    for name in ("validation_set", "test_set"):
        having = [each for each in sections if each.keys[0] == name]
        if having and not any(target in each.entries for each in having):
            findings.add(
                "error" if name == "validation_set" else "warning",
                (name, "targets"),
                f"{name} has no {target!r}",
                "its errors are unknown then, and with them the best model",
                f"add {target!r} and its mask, as in training_set",
            )


def check_padding(
    findings: Findings,
    target: str,
    hypers: MaskedDOSHypers,
    sections: list[Section],
) -> bool:
    """Compare ``num_subtargets`` with the loss; return whether it leaves columns."""
    channels, extra = hypers.spin_channels, hypers.extra_targets
    for section in sections:
        width = section.entries[target]["num_subtargets"]
        if width % channels:
            text = (
                f"num_subtargets is {width}, and spin_channels is {channels}",
                "each channel must have as many columns",
                "num_subtargets: a multiple of spin_channels",
            )
        elif width // channels <= extra:
            text = (
                f"num_subtargets is {width}, and extra_targets is {extra}",
                "num_subtargets includes the padding, so no column is left for the "
                "target",
                "num_subtargets: points of the energy grid + extra_targets",
            )
        else:
            continue
        keys = (*section.keys, "targets", target, "num_subtargets")
        findings.add("error", keys, *text)
        return False
    return True


def check_shifts(
    findings: Findings,
    target: str,
    hypers: MaskedDOSHypers,
    sections: list[Section],
) -> None:
    """Look for atoms that slide each on its own."""
    of_atoms = any(each.entries[target]["sample_kind"] == "atom" for each in sections)
    if of_atoms and hypers.shift_per == "sample" and hypers.extra_targets:
        findings.add(
            "note",
            loss_keys(findings.options, target, "shift_per"),
            "shift_per is sample, so that each atom slides on its own",
            "all atoms of a structure have the same zero of energy",
            "shift_per: structure",
        )


def check_widths(findings: Findings, target: str, sections: list[Section]) -> None:
    """Compare ``num_subtargets`` of all data sets."""
    first = sections[0]
    columns = first.entries[target]["num_subtargets"]
    for section in sections[1:]:
        other = section.entries[target]["num_subtargets"]
        if other != columns:
            findings.add(
                "error",
                (*section.keys, "targets", target, "num_subtargets"),
                f"num_subtargets of {target!r} is {other} in {section.name} and "
                f"{columns} in {first.name}",
                "a model predicts the same number of columns for every structure",
                "write all data sets on one energy grid",
            )


def check_masks(
    findings: Findings, inspection: Inspection, sections: list[Section]
) -> None:
    """Look for data sets in which neither a mask nor NaN tells what can be trusted."""
    target = inspection.target
    name = f"{target}_mask"
    bare = [
        each
        for each in sections
        if name not in each.entries and each not in inspection.with_nan
    ]
    trained = [each for each in sections if each.keys[0] == "training_set"]
    fix = f"add {name!r} to extra_data, true where the DOS is complete"
    why = (
        "every column counts, also those above the highest computed band, where the "
        "DOS is too low"
    )
    if any(each not in bare for each in trained):
        for section in [each for each in bare if each.keys[0] == "validation_set"]:
            bare.remove(section)
            findings.add(
                "error",
                (*section.keys, "extra_data"),
                f"{section.name} has no {name!r}, but the training set has a mask",
                f"{why}, and the best model is chosen by that",
                fix,
            )
    if bare:
        names = ", ".join(each.name for each in bare)
        findings.add(
            "warning",
            (*bare[0].keys, "extra_data"),
            f"no {name!r} in {names}, and {target!r} is NaN nowhere in it",
            why,
            fix,
        )


def check_grids(
    findings: Findings,
    target: str,
    hypers: MaskedDOSHypers,
    sections: list[Section],
) -> None:
    """Compare the loss with every ``grid.json`` beside the data."""
    for folder in dict.fromkeys(each.source.parent for each in sections):
        path = folder / "grid.json"
        if not path.exists():
            continue
        try:
            written = TargetSpec.read(path)
        except (ValueError, OSError) as error:
            findings.add(
                "warning",
                loss_keys(findings.options, target, "grid_spacing"),
                str(error),
                "the grid of the data cannot be compared with that of the loss",
                "write the data set again, or remove the file",
            )
            continue
        for option, value, why in (
            (
                "grid_spacing",
                written.grid.spacing,
                "integrals are off by the ratio, and the terms of the loss by "
                "different powers of it",
            ),
            (
                "extra_targets",
                written.extra_targets,
                "the loss takes columns of the target for padding, or padding for "
                "the target",
            ),
            (
                "spin_channels",
                written.spin_channels,
                "the loss takes two spin channels for one DOS, or one for two",
            ),
        ):
            given = getattr(hypers, option)
            if abs(given - value) > 1e-9 * value:
                findings.add(
                    "error",
                    loss_keys(findings.options, target, option),
                    f"{option} is {given}, but the data were written with {value} "
                    f"({path})",
                    why,
                    f"{option}: {value}",
                )
