"""
Add losses to metatrain. The only module that changes metatrain.

metatrain keeps its losses in an enumeration, ``metatrain.utils.loss.LossType``, that no
plugin can add to, and checks none of their options before it has read all data. Here
a loss becomes a true member of that enumeration, and a loss class that has a pydantic
model ``Hypers`` gets its options checked together with those of the architecture.

Two ways in, with the same effect:

- the entry-point group ``metatrain.losses``, for packages::

      [project.entry-points."metatrain.losses"]
      my_loss = "my_package.loss:MyLoss"

- the decorator :func:`register_loss`, for scripts and notebooks.

A loss from an entry point has two keys: ``my_loss``, and ``my-package::my_loss``, which
nobody else can take.
"""

import enum
import sys
import warnings
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points, version
from types import ModuleType
from typing import Any, TypeVar

from .validation import with_loss_check


GROUP = "metatrain.losses"
INSTALL = "install a newer metatrain-dos, or metatrain 2026.4.1"
"""What to do when metatrain has changed."""

# Losses that came in through this module, by key.
_registered: dict[str, type] = {}

Loss = TypeVar("Loss", bound=type)


class MetatrainChangedError(RuntimeError):
    """metatrain no longer has what this package builds on."""


def register_loss(key: str) -> Callable[[Loss], Loss]:
    """
    Make a loss class available to metatrain under ``type: key``.

    The class may have an attribute ``Hypers``, a pydantic model of all keys of the
    ``loss`` section but ``type``. ``mtt train`` then refuses wrong options before it
    reads any data.

    :param key: name for the options file
    :return: decorator that returns the class as it is
    :raises TypeError: if the class is no ``metatrain.utils.loss.LossInterface``
    :raises ValueError: if another loss has this key
    :raises MetatrainChangedError: if metatrain has changed
    """

    def decorate(cls: Loss) -> Loss:
        module = _metatrain_losses()
        if not (isinstance(cls, type) and issubclass(cls, module.LossInterface)):
            raise TypeError(
                f"loss {key!r}: expected a subclass of "
                f"metatrain.utils.loss.LossInterface, got {cls!r}; derive it from "
                "LossInterface and implement compute()"
            )
        known = _members(module.LossType)
        if known.get(key) is cls:
            return cls
        if key in known:
            raise ValueError(
                f"loss {key!r}: expected a key that is not taken, but "
                f"{known[key].__module__}.{known[key].__qualname__} has it; choose "
                "another key"
            )
        _add_member(module.LossType, key, cls)
        _check_options_early(module.LossType)
        _registered[key] = cls
        return cls

    return decorate


def register_entry_points() -> None:
    """
    Register every loss of the entry-point group ``metatrain.losses``.

    A plugin that fails is reported in a warning and left out. One whose key metatrain
    itself, or another plugin, already has keeps only its longer name, and a warning
    says so. Calling this again is harmless.

    :raises MetatrainChangedError: if metatrain has changed
    """
    module = _metatrain_losses()
    for entry_point in entry_points(group=GROUP):
        if _unmistakable(entry_point) in _registered:
            continue
        if _is_being_imported(entry_point):
            # The plugin imported metatrain, which brought us here, before it defined
            # its loss. Come back when somebody asks for a loss.
            _finish_at_first_lookup(module.LossType)
            continue
        _register_entry_point(entry_point)


def _register_entry_point(entry_point: EntryPoint) -> None:
    """Load and register one plugin, or warn."""
    key, own_key = entry_point.name, _unmistakable(entry_point)
    plugin = f"the loss {key!r} of the package {_origin(entry_point)!r}"
    try:
        loss = entry_point.load()
        register_loss(own_key)(loss)
    except MetatrainChangedError:
        raise
    except Exception as error:
        _warn(f"{plugin} ({entry_point.value}) is not available: {error}")
        return
    try:
        register_loss(key)(loss)
    except ValueError:
        other = _members(_metatrain_losses().LossType)[key]
        _warn(
            f"`type: {key}` is {other.__module__}.{other.__qualname__}, not {plugin}, "
            f"which came later; to choose the latter, write `type: {own_key}`"
        )


def _origin(entry_point: EntryPoint) -> str:
    """Name the package of a plugin."""
    return entry_point.dist.name if entry_point.dist else "unknown"


def _unmistakable(entry_point: EntryPoint) -> str:
    """Make the key that a plugin shares with no other."""
    return f"{_origin(entry_point)}::{entry_point.name}"


def _warn(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=4)


def _metatrain_losses() -> ModuleType:
    """
    Import ``metatrain.utils.loss`` and check that it is as expected.

    :raises MetatrainChangedError: if it is not
    """
    import metatrain.utils.loss as module

    loss_type = getattr(module, "LossType", None)
    members: list[Any] | None = None
    if isinstance(loss_type, enum.EnumMeta):
        members = list(loss_type)
    for holds, what in (
        (hasattr(module, "LossInterface"), "LossInterface"),
        (members is not None, "enumeration LossType"),
        (hasattr(loss_type, "from_key"), "LossType.from_key"),
        (all(hasattr(member, "key") for member in members or ()), "LossType.key"),
        (all(hasattr(member, "cls") for member in members or ()), "LossType.cls"),
    ):
        if not holds:
            raise _changed(what)
    return module


def _members(loss_type: Any) -> dict[str, type]:
    """Collect the classes of all losses that metatrain knows, by key."""
    return {member.key: member.cls for member in loss_type}


def _add_member(loss_type: Any, key: str, cls: type) -> None:
    """
    Add a true member to metatrain's enumeration of losses.

    :raises MetatrainChangedError: if it takes none of this kind
    """
    from aenum import extend_enum

    try:
        extend_enum(loss_type, key.upper(), (key, cls))
        # not by from_key, which may be waiting to register a plugin
        holds = _members(loss_type).get(key) is cls
    except Exception:
        holds = False
    if not holds:
        raise _changed("enumeration LossType of keys and classes")


def _changed(missing: str) -> MetatrainChangedError:
    """Say in one sentence what is missing, and what to install."""
    return MetatrainChangedError(
        f"metatrain {version('metatrain')} has no {missing} in metatrain.utils.loss, "
        f"which metatrain-dos {version('metatrain-dos')} needs; {INSTALL}"
    )


def _is_being_imported(entry_point: EntryPoint) -> bool:
    """Say whether the module of a plugin has begun to run but not ended."""
    module = sys.modules.get(entry_point.module)
    return getattr(getattr(module, "__spec__", None), "_initializing", False)


def _finish_at_first_lookup(loss_type: Any) -> None:
    """Register what could not be registered yet as soon as a loss is looked up."""
    plain = loss_type.from_key

    def from_key(cls: Any, key: str) -> Any:
        loss_type.from_key = plain
        register_entry_points()
        return cls.from_key(key)

    loss_type.from_key = classmethod(from_key)


def _check_options_early(loss_type: Any) -> None:
    """Put the check of the options of our losses in front of metatrain's own."""
    try:
        import metatrain.utils.pydantic as validation

        validation.validate = with_loss_check(
            validation.validate,
            _registered,
            lambda: [member.key for member in loss_type],
        )
    except (ImportError, AttributeError) as error:
        warnings.warn(
            f"metatrain {version('metatrain')} validates options in another way than "
            f"metatrain-dos {version('metatrain-dos')} expects ({error}), so wrong "
            "options of a loss will be refused only after the data set has been read; "
            f"{INSTALL}",
            RuntimeWarning,
            stacklevel=4,
        )
