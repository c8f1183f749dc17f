"""Train metatrain models on the electronic density of states."""

from importlib import import_module
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from .grid import EnergyGrid as EnergyGrid
    from .loss import MaskedDOSLoss as MaskedDOSLoss
    from .predicting.calculator import DOSCalculator as DOSCalculator
    from .registry import register_loss as register_loss
    from .targets import density_of_states as density_of_states
    from .targets import trust_mask as trust_mask


__version__ = "0.1.0"

# Looked up at first use, so that importing the package does not import torch.
_PUBLIC = {
    "DOSCalculator": "predicting.calculator",
    "EnergyGrid": "grid",
    "MaskedDOSLoss": "loss",
    "density_of_states": "targets",
    "register_loss": "registry",
    "trust_mask": "targets",
}
__all__ = ["__version__", *_PUBLIC]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(f".{_PUBLIC[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
