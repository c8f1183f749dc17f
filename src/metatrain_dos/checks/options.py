"""Check the options of a training run, without its data."""

from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf

from ..data.options_file import Keys
from ..loss.options import MaskedDOSHypers, is_masked_dos, validate_hypers
from ..plugin.advice import Advice, advise_int_weight, advise_training
from ..plugin.validation import InvalidLossOptionsError
from ..utils.text import closest
from .findings import Findings


TRAINING: Keys = ("architecture", "training")

# Names of types and of data set sections with which pydantic ends a path.
KINDS = ("dict", "list", "str", "int", "float", "bool", "indices", "fraction")


def check_outline(findings: Findings) -> bool:
    """Let metatrain check all but the architecture; return whether it accepts it."""
    from metatrain.utils.pydantic import MetatrainValidationError, validate_base_options

    try:
        # it changes the options that it checks
        plain = OmegaConf.create(findings.options.content)
        validate_base_options(OmegaConf.to_container(plain))
    except MetatrainValidationError as error:
        _add_refusals(findings, (), error)
    except Exception as error:
        _add_refusal(findings, ("architecture",), error)
    else:
        return True
    return False


def check_losses(
    findings: Findings, targets: list[str]
) -> dict[str, MaskedDOSHypers | None]:
    """
    Check the section ``loss``.

    :param targets: names of all targets of the training set
    :return: options of each target that has our loss; ``None`` where the grid or the
        padding that its data must have is unknown because of a mistake
    """
    keys: Keys = (*TRAINING, "loss")
    loss = findings.options.get(*keys)
    sections = loss if isinstance(loss, Mapping) else dict.fromkeys(targets, loss)
    hypers: dict[str, MaskedDOSHypers | None] = {}
    for target, section in sections.items():
        inner = (*keys, target) if isinstance(loss, Mapping) else keys
        options = dict(section) if isinstance(section, Mapping) else {"type": section}
        if target not in targets:
            match = closest(str(target), targets)
            findings.add(
                "error",
                inner,
                f"{target!r} is no target of the training set, which has "
                f"{', '.join(map(repr, targets)) or 'none'}",
                "metatrain refuses it, after it has read the data",
                f"write {match!r}" if match else "name a target",
            )
        elif is_masked_dos(options.pop("type", None)):
            hypers[target] = _check_hypers(findings, inner, options)
    return hypers


def _check_hypers(
    findings: Findings, keys: Keys, options: dict[Any, Any]
) -> MaskedDOSHypers | None:
    """Check the options of the loss of one target, one by one."""
    correct: dict[str, Any] = {}
    for name, value in options.items():
        if isinstance(value, str) and "${" in value:
            continue
        try:
            validate_hypers(
                MaskedDOSHypers,
                {name: value},
                loss_type="masked_dos",
                target=str(keys[-1]),
                training=True,
            )
            correct[name] = value
        except ValueError as error:
            findings.add(
                "error",
                (*keys, str(name)),
                str(error),
                "`mtt train` refuses it",
                "correct this option, or remove it to use its default",
            )
    if {"extra_targets", "grid_spacing", "spin_channels"} & (
        options.keys() - correct.keys()
    ):
        return None
    hypers = MaskedDOSHypers.model_validate(correct)
    below = tuple(str(key) for key in keys[len(TRAINING) :])
    for advice in advise_int_weight(hypers.int_weight, below):
        _add_advice(findings, advice)
    return hypers


def check_architecture(findings: Findings) -> dict[str, Any]:
    """
    Let metatrain check all options of the architecture.

    :return: options of the architecture with their defaults; empty if metatrain refuses
        any
    """
    from metatrain.utils.architectures import (
        check_architecture_options,
        get_default_hypers,
    )
    from metatrain.utils.omegaconf import BASE_OPTIONS
    from metatrain.utils.pydantic import MetatrainValidationError

    name = findings.options.get("architecture", "name")
    options: Any = {}
    merged: Any
    try:
        merged = OmegaConf.merge(
            BASE_OPTIONS,
            {"architecture": get_default_hypers(name)},
            OmegaConf.create(findings.options.content),
        )
        options = OmegaConf.to_container(merged["architecture"])
        check_architecture_options(name, options)
    except InvalidLossOptionsError as error:
        if not findings.found:  # otherwise check_losses has found it
            _add_refusal(findings, (*TRAINING, "loss"), error)
    except MetatrainValidationError as error:
        _add_refusals(findings, ("architecture",), error)
        return {}
    except Exception as error:  # the validator of a plugin may raise anything
        _add_refusal(findings, ("architecture", "name"), error)
        return {}
    return options


def check_training(
    findings: Findings, training: Mapping[str, Any], targets: list[str]
) -> None:
    """Check the options, with all defaults, that do not suit a density of states."""
    advice = [each for name in targets for each in advise_training(training, name)]
    for each in dict.fromkeys(advice):
        _add_advice(findings, each)


def _add_advice(findings: Findings, advice: Advice) -> None:
    """Add the advice that ``mtt train`` would log."""
    found = advice.found
    if findings.options.get(*TRAINING, advice.keys[0]) is None:
        found += f", the default of {findings.options.get('architecture', 'name')}"
    keys = (*TRAINING, *advice.keys)
    findings.add(advice.severity, keys, found, advice.why, advice.fix)


def _add_refusals(findings: Findings, keys: Keys, error: Any) -> None:
    """Add all errors that metatrain collects in one exception."""
    # pydantic also complains that a section could be a single string, if it is none
    errors = [each for each in error.errors if each["type"] != "string_type"]
    for each in errors or error.errors:
        _add_refusal(findings, (*keys, *each["loc"]), each["msg"])


def _add_refusal(findings: Findings, keys: Keys, message: object) -> None:
    """Add an error of metatrain at the closest key that is in the file."""
    path: Keys = ()
    for position, key in enumerate(keys, start=1):
        # pydantic adds the names of types, too
        is_kind = position < len(keys) or key in KINDS
        if findings.options.get(*path, key) is not None or not is_kind:
            path = (*path, key)
    findings.add(
        "error",
        path,
        " ".join(str(message).split()),
        "`mtt train` refuses it",
        "see the options of metatrain and of its architecture",
    )
