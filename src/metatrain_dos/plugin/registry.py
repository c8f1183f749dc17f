"""
Add losses to metatrain. The only module that changes metatrain.

metatrain keeps its losses in an enumeration, ``metatrain.utils.loss.LossType``, which
no plugin can extend, and does not check their options before it has read all data. Here
a loss becomes a true member of that enumeration, and if its class has a pydantic model
``Hypers``, its options are checked together with those of the architecture.

There are two ways to add a loss, with the same effect:

- the entry-point group ``metatrain.losses``, for packages::

      [project.entry-points."metatrain.losses"]
      my_loss = "my_package.loss:MyLoss"

- the decorator :func:`register_loss`, for scripts and notebooks.

A loss from an entry point has two keys: ``my_loss``, and ``my-package::my_loss``, which
no other package can take.
"""

import enum
import sys
import warnings
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points, version
from types import ModuleType
from typing import Any, TypeVar

from .validation import wrap_validate


GROUP = "metatrain.losses"
INSTALL = "install a newer metatrain-dos, or metatrain 2026.4.1"
"""What to do when metatrain has changed."""

# All losses that this module has registered, by key.
_registered: dict[str, type] = {}

Loss = TypeVar("Loss", bound=type)


class MetatrainChangedError(RuntimeError):
    """metatrain no longer has an interface that this package needs."""


def register_loss(key: str) -> Callable[[Loss], Loss]:
    """
    Make a loss class available to metatrain under ``type: key``.

    If the class has an attribute ``Hypers``, a pydantic model of all keys of the
    ``loss`` section but ``type``, ``mtt train`` refuses wrong options before it reads
    any data.

    :param key: name for the options file
    :return: decorator that returns the class unchanged
    :raises TypeError: if the class is no ``metatrain.utils.loss.LossInterface``
    :raises ValueError: if another loss has this key, or its name in the enumeration
    :raises MetatrainChangedError: if metatrain has changed
    """

    def decorate(cls: Loss) -> Loss:
        module = _metatrain_losses()
        # By its name, because reloading the module makes another class of it.
        interface = (module.__name__, module.LossInterface.__qualname__)
        bases = getattr(cls, "__mro__", ())
        if interface not in [(base.__module__, base.__qualname__) for base in bases]:
            raise TypeError(
                f"loss {key!r}: expected a subclass of "
                f"metatrain.utils.loss.LossInterface, got {cls!r}; derive it from "
                "LossInterface and implement compute()"
            )
        if _members(module.LossType).get(key) is cls:
            return cls
        if taken := _taken(module.LossType, key):
            raise ValueError(
                f"loss {key!r}: expected a key that is not taken, but {taken}; choose "
                "another key"
            )
        _add_member(module.LossType, key, cls)
        _check_options_early()
        _registered[key] = cls
        return cls

    return decorate


def register_entry_points() -> None:
    """
    Register every loss of the entry-point group ``metatrain.losses``.

    A plugin that fails, in whatever way, is left out with a warning. If metatrain or
    another plugin already has its key, it keeps only its longer key, and a warning says
    so. Calling this again is harmless, and restores all losses after
    ``metatrain.utils.loss`` has been reloaded.

    :raises MetatrainChangedError: if metatrain has changed
    """
    loss_type = _metatrain_losses().LossType
    for key, loss in _registered.items():
        if key not in _members(loss_type):
            _add_member(loss_type, key, loss)
    for entry_point in entry_points(group=GROUP):
        origin = entry_point.dist.name if entry_point.dist else "unknown"
        own_key = f"{origin}::{entry_point.name}"
        if own_key in _registered:
            continue
        plugin = f"the loss {entry_point.name!r} of the package {origin!r}"
        try:
            _register_entry_point(entry_point, plugin, own_key, loss_type)
        except (MetatrainChangedError, KeyboardInterrupt):
            raise
        except BaseException as error:  # a plugin may even call sys.exit
            _warn(
                f"{plugin} ({entry_point.value}) is not available: "
                f"{type(error).__name__}: {error}"
            )


def _register_entry_point(
    entry_point: EntryPoint, plugin: str, own_key: str, loss_type: Any
) -> None:
    """Load one plugin, and register it under both of its keys."""
    module = sys.modules.get(entry_point.module)
    if getattr(getattr(module, "__spec__", None), "_initializing", False):
        # The plugin imported metatrain, and thereby this module, before it defined its
        # loss. Come back when metatrain looks up a loss.
        _finish_at_first_lookup(loss_type)
        return
    loss = entry_point.load()
    register_loss(own_key)(loss)
    try:
        register_loss(entry_point.name)(loss)
    except ValueError:
        _warn(
            f"{plugin} is available as `type: {own_key}` only, because "
            f"{_taken(loss_type, entry_point.name)}"
        )


def _warn(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=4)


def _metatrain_losses() -> ModuleType:
    """Import ``metatrain.utils.loss`` and check that it has the expected interface."""
    import metatrain.utils.loss as module

    loss_type: Any = getattr(module, "LossType", None)
    is_enumeration = isinstance(loss_type, enum.EnumMeta)
    members: list[Any] = list(loss_type) if is_enumeration else []
    for holds, missing in (
        (hasattr(module, "LossInterface"), "LossInterface"),
        (is_enumeration, "enumeration LossType"),
        (hasattr(loss_type, "from_key"), "LossType.from_key"),
        (all(hasattr(member, "key") for member in members), "LossType.key"),
        (all(hasattr(member, "cls") for member in members), "LossType.cls"),
    ):
        if not holds:
            raise _changed(missing)
    return module


def _members(loss_type: Any) -> dict[str, type]:
    """Collect the classes of all losses that metatrain knows, by key."""
    return {member.key: member.cls for member in loss_type}


def _taken(loss_type: Any, key: str) -> str | None:
    """Describe the loss that has a key, or its name in the enumeration, if any."""
    name = key.upper()
    for member in loss_type:
        holder = f"{member.cls.__module__}.{member.cls.__qualname__}"
        if member.key == key:
            return f"{holder} has the key {key!r}"
        if member.name == name:
            return f"{holder} has the name {name!r} in metatrain's LossType"
    return None


def _add_member(loss_type: Any, key: str, cls: type) -> None:
    """Add a true member to metatrain's enumeration of losses."""
    from aenum import extend_enum

    try:
        extend_enum(loss_type, key.upper(), (key, cls))
        # not by from_key, which may be waiting to register a plugin
        is_added = _members(loss_type).get(key) is cls
    except Exception:
        is_added = False
    if not is_added:
        raise _changed("enumeration LossType of keys and classes")


def _changed(missing: str) -> MetatrainChangedError:
    """Make the error for an interface that metatrain no longer has."""
    return MetatrainChangedError(
        f"metatrain {version('metatrain')} has no {missing} in metatrain.utils.loss, "
        f"which metatrain-dos {version('metatrain-dos')} needs; {INSTALL}"
    )


def _finish_at_first_lookup(loss_type: Any) -> None:
    """Register the remaining plugins as soon as metatrain looks up a loss."""
    plain = loss_type.from_key

    def from_key(cls: Any, key: str) -> Any:
        loss_type.from_key = plain
        register_entry_points()
        return cls.from_key(key)

    loss_type.from_key = classmethod(from_key)


def _check_options_early() -> None:
    """Put our check of the options of losses in front of metatrain's validation."""
    try:
        import metatrain.utils.pydantic as validation

        validation.validate = wrap_validate(
            validation.validate,
            _registered,
            lambda: list(_members(_metatrain_losses().LossType)),
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
