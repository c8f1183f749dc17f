"""
Options with which metatrain trains a density of states badly, or not at all.

``mtt train`` gets them as warnings at its start, ``mtt-dos check`` as findings.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..loss.defaults import RECOMMENDED_INT_WEIGHT


HEAVY = 10
"""An ``int_weight`` of more than this many times the recommended one is a finding."""

# Releases and architectures of metatrain name the same option differently.
BASELINES = ("atomic_baseline", "fixed_composition_weights")


@dataclass(frozen=True)
class Advice:
    """
    One option that should be changed.

    :param severity: ``error`` if the option ruins the model, ``warning`` if it most
        likely makes it worse, ``note`` if it may be intended
    :param keys: its path below ``architecture.training``
    :param found: its value
    :param why: why it matters
    :param fix: the YAML to write
    """

    severity: Literal["error", "warning", "note"]
    keys: tuple[str, ...]
    found: str
    why: str
    fix: str


def advise_training(
    training: Mapping[str, Any], target: str | None
) -> Iterator[Advice]:
    """
    Find the options of a training run that do not suit a density of states.

    :param training: section ``architecture.training``, with all defaults
    :param target: name of a target that has our loss; ``None`` if all targets have it
    """
    scale = training.get("scale_targets", False)
    if scale:
        yield Advice(
            "error",
            ("scale_targets",),
            f"scale_targets is {_yaml(scale)}",
            "metatrain then multiplies each column of the prediction by the size of "
            "the targets there, which is zero where they have no states, so that a "
            "target cannot be aligned",
            "scale_targets: false",
        )
    option = next((name for name in BASELINES if name in training), None)
    if option is not None:
        name = target or "TARGET"
        value = _baseline(training[option], target)
        if value != 0:
            shown = "fitted" if value is None else _yaml(value)
            yield Advice(
                "error",
                (option, *filter(None, [target])),
                f"{option} of {name!r} is not 0.0 but {shown}",
                "metatrain then subtracts a mean DOS of each element, unaligned, and "
                "the rest is neither zero below its first state nor a DOS",
                f"{option}: {{{name}: 0.0}}",
            )
    metric = training.get("best_model_metric", "loss")
    if metric != "loss":
        yield Advice(
            "warning",
            ("best_model_metric",),
            f"best_model_metric is {metric}",
            "metatrain's RMSE and MAE are those of the unaligned prediction, so the "
            "checkpoint that it keeps is not the best one",
            "best_model_metric: loss",
        )
    if target in (training.get("per_structure_targets") or []):
        yield Advice(
            "note",
            ("per_structure_targets",),
            f"{target!r} is in per_structure_targets",
            "the loss then compares states per structure, not per atom, so that "
            "structures count by the square of their number of atoms",
            "take it out, unless this is intended",
        )


def advise_int_weight(weight: float, keys: tuple[str, ...]) -> Iterator[Advice]:
    """Find a cumulative term that outweighs the DOS; ``keys`` lead to the loss."""
    if weight > HEAVY * RECOMMENDED_INT_WEIGHT:
        yield Advice(
            "warning",
            (*keys, "int_weight"),
            f"int_weight is {weight:g}",
            "the cumulative term grows with the square of the length of the energy "
            "axis and outweighs the DOS: on the example data, errors of held-out "
            "structures are two to three times those with the recommended weight",
            f"int_weight: {RECOMMENDED_INT_WEIGHT}",
        )


def _baseline(baseline: Any, target: str | None) -> Any:
    """Find the baseline of a target; 0 if it is zero for each element."""
    if isinstance(baseline, Mapping) and target is not None:
        baseline = baseline.get(target)
    if isinstance(baseline, Mapping):  # elements, or all targets
        values = [_baseline(value, None) for value in baseline.values()]
        return next((value for value in values if value != 0), 0 if values else None)
    return baseline


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)
