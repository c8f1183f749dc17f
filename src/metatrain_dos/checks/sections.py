"""Find what is wrong between the data sets of an options file."""

from pathlib import Path

from ..data.dataset import TargetSpec
from ..data.options_file import loss_keys
from ..data.sections import Section
from ..loss.options import MaskedDOSHypers
from .inspection import Inspection
from .options import OptionChecks


def check_presence(checks: OptionChecks, target: str, sections: list[Section]) -> None:
    """Look for a validation or test set without the target."""
    without = [each for each in sections if target not in each.entries]
    for name in ("validation_set", "test_set"):
        lacking = [each for each in without if each.keys[0] == name]
        having = [each for each in sections if each.keys[0] == name]
        if lacking and lacking == having:
            checks.add(
                "error" if name == "validation_set" else "warning",
                (name, "targets"),
                f"{name} has no {target!r}",
                "nothing says then how well it is learned, and which model is best",
                f"add {target!r} and its mask, as in training_set",
            )


def check_padding(
    checks: OptionChecks,
    target: str,
    hypers: MaskedDOSHypers,
    sections: list[Section],
) -> bool:
    """
    Compare ``num_subtargets`` with the loss.

    :return: whether anything is left of the target behind the padding
    """
    narrowest = min(sections, key=lambda each: each.entries[target]["num_subtargets"])
    columns = narrowest.entries[target]["num_subtargets"]
    if columns > hypers.extra_targets:
        return True
    checks.add(
        "error",
        (*narrowest.keys, "targets", target, "num_subtargets"),
        f"num_subtargets is {columns}, and extra_targets is {hypers.extra_targets}",
        "num_subtargets counts the padding, too, so nothing is left of the target",
        "num_subtargets: points of the energy grid + extra_targets",
    )
    return False


def check_widths(checks: OptionChecks, target: str, sections: list[Section]) -> None:
    """Compare ``num_subtargets`` between data sets."""
    first = sections[0]
    columns = first.entries[target]["num_subtargets"]
    for section in sections[1:]:
        other = section.entries[target]["num_subtargets"]
        if other != columns:
            checks.add(
                "error",
                (*section.keys, "targets", target, "num_subtargets"),
                f"num_subtargets of {target!r} is {other} in {section.name} and "
                f"{columns} in {first.name}",
                "a model predicts the same number of columns for every structure",
                "write all data sets on one energy grid",
            )


def check_masks(
    checks: OptionChecks, inspection: Inspection, sections: list[Section]
) -> None:
    """Look for data sets in which nothing says what can be trusted."""
    target = inspection.target
    name = f"{target}_mask"
    bare = [
        each
        for each in sections
        if name not in each.entries and each not in inspection.with_nan
    ]
    trained = [each for each in sections if each.keys[0] == "training_set"]
    is_trained_masked = any(each not in bare for each in trained)
    fix = f"add {name!r} to extra_data, true where the DOS is complete"
    why = (
        "everything is compared, also above the highest band that was computed, where "
        "the DOS is too low"
    )
    for section in bare:
        if is_trained_masked and section.keys[0] == "validation_set":
            bare = [each for each in bare if each is not section]
            checks.add(
                "error",
                (*section.keys, "extra_data"),
                f"{section.name} has no {name!r}, but the training set has a mask",
                why + ", and the best model is chosen by that",
                fix,
            )
    if bare:
        names = ", ".join(each.name for each in bare)
        checks.add(
            "warning",
            (*bare[0].keys, "extra_data"),
            f"no {name!r} in {names}, and {target!r} is NaN nowhere in it",
            why,
            fix,
        )


def check_grids(
    checks: OptionChecks,
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
            checks.add(
                "warning",
                loss_keys(checks.options, target, "grid_spacing"),
                str(error),
                "the grid of the data cannot be compared with that of the loss",
                "write the data set again, or remove the file",
            )
            continue
        _compare_with_grid(checks, path, written, target, hypers)


def _compare_with_grid(
    checks: OptionChecks,
    path: Path,
    written: TargetSpec,
    target: str,
    hypers: MaskedDOSHypers,
) -> None:
    """Compare the loss with what the data were written with."""
    for option, value, why in (
        (
            "grid_spacing",
            written.grid.spacing,
            "integrals are off by the ratio, and the terms of the loss by different "
            "powers of it",
        ),
        (
            "extra_targets",
            written.extra_targets,
            "the loss takes columns of the target for padding, or padding for target",
        ),
    ):
        given = getattr(hypers, option)
        if abs(given - value) > 1e-9 * value:
            checks.add(
                "error",
                loss_keys(checks.options, target, option),
                f"{option} is {given}, but the data were written with {value} ({path})",
                why,
                f"{option}: {value}",
            )
