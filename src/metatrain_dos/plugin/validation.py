"""
Check the options of a loss before metatrain reads any data.

metatrain validates the options file before it reads data, but accepts every key of a
loss. So our check runs before that validation, and sees the ``loss`` section as the
user wrote it. After it, ``mtt train`` gets a warning about each option that spoils a
density of states.
"""

import functools
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..loss.options import MaskedDOSHypers, validate_hypers
from ..utils.text import closest
from .advice import Advice, advise_int_weight, advise_training


Validate = Callable[..., dict[str, Any]]


class InvalidLossOptionsError(Exception):
    """The options of a loss are wrong."""


def wrap_validate(
    validate: Validate,
    losses: Mapping[str, type],
    known_types: Callable[[], list[str]],
) -> Validate:
    """
    Make metatrain's validation check the options of our losses, too.

    :param validate: ``metatrain.utils.pydantic.validate``; returned if it checks them
    :param losses: our losses by key; a class may have a pydantic model ``Hypers``
    :param known_types: returns the keys of all losses that metatrain knows
    """
    if hasattr(validate, "checks_losses"):
        return validate

    @functools.wraps(validate)
    def check_first(
        model_cls: Any, data: Any, *arguments: Any, **named: Any
    ) -> dict[str, Any]:
        for target, section, is_gradient in _loss_sections(data):
            check_section(
                section, losses, known_types(), target, is_gradient=is_gradient
            )
        validated = validate(model_cls, data, *arguments, **named)
        # metatrain has set up its logger if this is `mtt train`
        if logging.getLogger("metatrain").handlers:
            for each in dict.fromkeys(_advice(data, losses)):
                path = ".".join(("architecture", "training", *each.keys))
                logging.warning(
                    f"{path}: {each.found}; {each.why}. Recommended: `{each.fix}`"
                )
        return validated

    check_first.checks_losses = True  # type: ignore[attr-defined]
    return check_first


def check_section(
    section: Any,
    losses: Mapping[str, type],
    known_types: list[str],
    target: str | None = None,
    *,
    is_gradient: bool = False,
) -> None:
    """
    Check the options of one target, if its loss is one of ours.

    :param section: options of one target, or the whole section ``loss``; ``masked_dos``
        is short for ``{type: masked_dos}``
    :param target: name of the target, for the message, where it is known
    :param is_gradient: whether the options are those of a gradient of the target; the
        class of a loss without gradients has ``for_gradients = False``
    :raises InvalidLossOptionsError: if the options are wrong, or the type is one of
        ours, mistyped; other types are left to metatrain
    """
    key, options = _split(section)
    if not isinstance(key, str):
        return
    if key not in losses:
        match = None if key in known_types else closest(key, known_types)
        if match in losses:
            raise InvalidLossOptionsError(
                f"Unknown loss {key!r}, did you mean '{match}'? Valid types: "
                f"{', '.join(known_types)}."
            )
        return
    if is_gradient and not getattr(losses[key], "for_gradients", True):
        raise InvalidLossOptionsError(
            f"Invalid options for loss {key!r} of target {target!r}: it compares "
            "values only, so give the gradient another loss."
        )
    schema = getattr(losses[key], "Hypers", None)
    if schema is None:
        return
    try:
        validate_hypers(schema, options, loss_type=key, target=target, training=True)
    except ValueError as error:
        raise InvalidLossOptionsError(str(error)) from None


def _split(section: Any) -> tuple[Any, dict[Any, Any]]:
    """Split the section of one loss into its type and its options."""
    options = dict(section) if isinstance(section, Mapping) else {"type": section}
    # OmegaConf resolves ${...} later; the loss itself checks the resulting values.
    return options.pop("type", None), {
        name: value
        for name, value in options.items()
        if not (isinstance(value, str) and "${" in value)
    }


def _loss_sections(data: Any) -> Iterator[tuple[str | None, Any, bool]]:
    """Find the sections that name a loss."""
    loss = _entry(_entry(data, "training"), "loss")
    if not isinstance(loss, Mapping):
        yield None, loss, False
        return
    for target, section in loss.items():
        yield str(target), section, False
        gradients = _entry(section, "gradients")
        if isinstance(gradients, Mapping):
            for name, params in gradients.items():
                yield f"{target}.gradients.{name}", params, True


def _advice(data: Any, losses: Mapping[str, type]) -> Iterator[Advice]:
    """Find the options that spoil a density of states."""
    for target, section, _ in _loss_sections(data):
        key, options = _split(section)
        if getattr(losses.get(key), "Hypers", None) is not MaskedDOSHypers:
            continue
        yield from advise_training(data["training"], target)
        hypers = MaskedDOSHypers.model_validate(options)
        keys = ("loss", *filter(None, [target]))
        yield from advise_int_weight(hypers.int_weight, keys)


def _entry(options: Any, key: str) -> Any:
    """Look up a key of a value that need not be a mapping."""
    return options.get(key) if isinstance(options, Mapping) else None
