"""Find what is wrong with the options of a training on a DOS, without any data."""

from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf

from ..data.dataset import RECOMMENDED_INT_WEIGHT
from ..data.options_file import Keys, OptionsFile, dotted
from ..loss.options import MaskedDOSHypers, validate_hypers
from ..plugin.validation import InvalidLossOptionsError
from ..utils.text import closest
from .findings import Finding, Severity


LOSS = "masked_dos"
UNMISTAKABLE = f"metatrain-dos::{LOSS}"
TRAINING: Keys = ("architecture", "training")

# Kinds of data set sections, and of other options, with which pydantic ends a path.
KINDS = ("dict", "list", "str", "int", "float", "bool", "indices", "fraction")

# A cumulative term of more than this many times the recommended weight is a finding.
HEAVY = 10

# Architectures name the same option differently.
BASELINES = ("atomic_baseline", "fixed_composition_weights")


class OptionChecks:
    """
    Check the options of a training.

    :param options: the options file
    """

    def __init__(self, options: OptionsFile) -> None:
        self.options = options
        self.findings: list[Finding] = []

    def add(
        self, severity: Severity, keys: Keys, found: str, why: str, fix: str
    ) -> None:
        """Add a finding at an option."""
        line = self.options.line(*keys)
        self.findings.append(Finding(severity, dotted(keys), line, found, why, fix))

    def losses(self, targets: list[str]) -> dict[str, MaskedDOSHypers | None]:
        """
        Check the ``loss`` section.

        :param targets: names of all targets of the training set
        :return: options of the loss of each target that has ours, ``None`` where what
            the data must be like does not follow from them
        """
        keys = (*TRAINING, "loss")
        loss = self.options.get(*keys)
        if not isinstance(loss, Mapping):
            sections: Mapping[Any, Any] = dict.fromkeys(targets, loss)
        else:
            sections = loss
        found: dict[str, MaskedDOSHypers | None] = {}
        for target, section in sections.items():
            inner = (*keys, target) if isinstance(loss, Mapping) else keys
            if target not in targets:
                match = closest(str(target), targets)
                self.add(
                    "error",
                    inner,
                    f"{target!r} is no target of the training set, which has "
                    f"{', '.join(map(repr, targets)) or 'none'}",
                    "metatrain refuses it, after it has read the data",
                    f"write {match!r}" if match else "name a target",
                )
                continue
            if isinstance(section, Mapping):
                kind, given = section.get("type"), dict(section)
            else:
                kind, given = section, {}
            if kind in (LOSS, UNMISTAKABLE):
                hypers = found[target] = self._hypers(inner, given)
                if hypers is not None:
                    self._int_weight(inner, hypers)
        return found

    def _hypers(self, keys: Keys, given: dict[Any, Any]) -> MaskedDOSHypers | None:
        """Check the options of the loss of one target, one by one."""
        correct: dict[str, Any] = {}
        for name, value in given.items():
            if name == "type" or (isinstance(value, str) and "${" in value):
                continue
            try:
                validate_hypers(
                    MaskedDOSHypers,
                    {name: value},
                    loss_type=LOSS,
                    target=str(keys[-1]),
                    training=True,
                )
                correct[name] = value
            except ValueError as error:
                self.add(
                    "error",
                    (*keys, str(name)),
                    str(error),
                    "`mtt train` refuses it",
                    "correct this option, or remove it to take its default",
                )
        if {"extra_targets", "grid_spacing"} & (given.keys() - correct.keys()):
            return None
        return MaskedDOSHypers.model_validate(correct)

    def _int_weight(self, keys: Keys, hypers: MaskedDOSHypers) -> None:
        """Tell of a cumulative term that leaves little of the others."""
        if hypers.int_weight > HEAVY * RECOMMENDED_INT_WEIGHT:
            default = "int_weight" not in hypers.model_fields_set
            self.add(
                "note",
                (*keys, "int_weight"),
                f"int_weight is {hypers.int_weight:g}" + ", the default" * default,
                "the cumulative term grows with the square of the length of the energy "
                "axis, and outweighs the DOS: on the example data, errors of held-out "
                "structures are two to three times those of a lighter one",
                f"int_weight: {RECOMMENDED_INT_WEIGHT}, unless an older training is "
                "to be repeated",
            )

    def metatrain(self) -> dict[str, Any]:
        """
        Let metatrain check all options of the architecture, and fill in its defaults.

        :return: options of the training; empty if metatrain refuses any of them
        """
        from metatrain.utils.architectures import (
            check_architecture_options,
            get_default_hypers,
        )
        from metatrain.utils.omegaconf import BASE_OPTIONS
        from metatrain.utils.pydantic import MetatrainValidationError

        name = self.options.get("architecture", "name")
        merged: Any = {}
        try:
            merged = OmegaConf.merge(
                BASE_OPTIONS,
                {"architecture": get_default_hypers(name)},
                OmegaConf.create(self.options.content),
            )
            merged = OmegaConf.to_container(merged["architecture"])
            check_architecture_options(name, merged)
        except InvalidLossOptionsError as error:
            if not self.findings:  # otherwise the options of the loss were wrong above
                self._refused((*TRAINING, "loss"), error)
        except MetatrainValidationError as error:
            for each in _telling(error.errors):
                self._refused(("architecture", *each["loc"]), each["msg"])
            return {}
        except Exception as error:  # a plugin's validator may raise anything
            self._refused(("architecture", "name"), error)
            return {}
        return merged["training"]

    def base(self) -> bool:
        """Let metatrain check the outline of the options file."""
        from metatrain.utils.pydantic import (
            MetatrainValidationError,
            validate_base_options,
        )

        try:
            # it changes what it checks
            plain = OmegaConf.create(self.options.content)
            validate_base_options(OmegaConf.to_container(plain))
        except MetatrainValidationError as error:
            for each in _telling(error.errors):
                self._refused(each["loc"], each["msg"])
            return False
        except Exception as error:
            self._refused(("architecture",), error)
            return False
        return True

    def _refused(self, keys: Keys, message: object) -> None:
        """Add what metatrain says, at the closest key that is in the file."""
        path: Keys = ()
        for position, key in enumerate(keys, start=1):
            # pydantic names the kinds of what an option may be, too
            is_kind = position < len(keys) or key in KINDS
            if self.options.get(*path, key) is not None or not is_kind:
                path = (*path, key)
        self.add(
            "error",
            path,
            " ".join(str(message).split()),
            "`mtt train` refuses it",
            "see the options of metatrain and of its architecture",
        )

    def training(self, training: Mapping[str, Any], target: str) -> None:
        """
        Check the options that undo what a DOS is made of.

        :param training: options of the training, with all defaults
        :param target: name of a target that has our loss
        """
        if training.get("scale_targets", False):
            self.add(
                "error",
                (*TRAINING, "scale_targets"),
                "scale_targets is true" + self._by_default("scale_targets"),
                "metatrain then multiplies each column of the prediction by the size "
                "that targets have there, which is zero where the DOS is, and so takes "
                "away what a target slides over",
                "scale_targets: false",
            )
        option = next((name for name in BASELINES if name in training), None)
        if option is not None:
            baseline = training[option]
            value = baseline.get(target) if isinstance(baseline, Mapping) else baseline
            if value != 0:
                self.add(
                    "error",
                    (*TRAINING, option, target),
                    f"{option} of {target!r} is not 0.0 but "
                    f"{'fitted' if value is None else repr(value)}"
                    + self._by_default(option),
                    "metatrain then takes a mean DOS per element off each target, "
                    "unaligned, so that it is neither zero below its first state nor "
                    "a DOS",
                    f"{option}: {{{target}: 0.0}}",
                )
        if training.get("best_model_metric", "loss") != "loss":
            self.add(
                "warning",
                (*TRAINING, "best_model_metric"),
                f"best_model_metric is {training['best_model_metric']}"
                + self._by_default("best_model_metric"),
                "metatrain's RMSE and MAE are those of the unaligned prediction, so "
                "the checkpoint that is kept is not the best one",
                "best_model_metric: loss",
            )
        if target in (training.get("per_structure_targets") or []):
            self.add(
                "note",
                (*TRAINING, "per_structure_targets"),
                f"{target!r} is in per_structure_targets",
                "the loss then compares states per structure, not per atom, and large "
                "structures weigh more, by the square of their number of atoms",
                "take it out, unless that is what you want",
            )

    def _by_default(self, option: str) -> str:
        """Say that an option is not in the file, if so."""
        name = self.options.get("architecture", "name")
        given = self.options.get(*TRAINING, option) is not None
        return "" if given else f", the default of {name}"


def _telling(errors: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out that a section could have been a single string, if it is none."""
    return [each for each in errors if each["type"] != "string_type"] or errors
