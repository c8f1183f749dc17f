"""
Refuse wrong options of a loss before any data is read.

metatrain validates the options file before it reads data, but lets every key of a loss
pass. So our check stands in front of that validation, and sees the ``loss`` section as
the user wrote it.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..loss.options import validate_hypers
from ..utils.text import closest


Validate = Callable[..., dict[str, Any]]


class InvalidLossOptionsError(Exception):
    """The options of a loss are wrong."""


def with_loss_check(
    validate: Validate,
    losses: Mapping[str, type],
    known_types: Callable[[], list[str]],
) -> Validate:
    """
    Make metatrain's validation look at the options of our losses first.

    :param validate: ``metatrain.utils.pydantic.validate``
    :param losses: our losses by key; a class may have a pydantic model ``Hypers``
    :param known_types: gives the keys of all losses that metatrain knows
    :return: function to put in the place of ``validate``; it is left as it is if it
        looks at them already
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
        return validate(model_cls, data, *arguments, **named)

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

    :param section: what stands under the name of the target, or under ``loss`` itself;
        ``masked_dos`` is short for ``{type: masked_dos}``
    :param losses: our losses by key
    :param known_types: keys of all losses that metatrain knows
    :param target: name of the target, for the message, where it is known
    :param is_gradient: whether the options are those of a gradient of the target; a
        loss that is for values alone says so with ``for_gradients = False``
    :raises InvalidLossOptionsError: if the options are wrong, or the type is one of
        ours, mistyped. Other types are left to metatrain.
    """
    options = dict(section) if isinstance(section, Mapping) else {"type": section}
    key = options.pop("type", None)
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
    # OmegaConf resolves ${...} later; the loss itself checks what it stands for.
    given = {
        name: value
        for name, value in options.items()
        if not (isinstance(value, str) and "${" in value)
    }
    try:
        validate_hypers(schema, given, loss_type=key, target=target, training=True)
    except ValueError as error:
        raise InvalidLossOptionsError(str(error)) from None


def _loss_sections(data: Any) -> Iterator[tuple[str | None, Any, bool]]:
    """
    Find the sections that name a loss in what is validated.

    :param data: the section ``architecture`` of an options file; anything else has no
        such sections
    :return: target, section, and whether that is about a gradient of the target
    """
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


def _entry(options: Any, key: str) -> Any:
    """Look up a key in what need not be a mapping."""
    return options.get(key) if isinstance(options, Mapping) else None
