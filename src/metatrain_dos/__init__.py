"""Train metatrain models on the electronic density of states."""

from importlib import import_module
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from .data.dos import density_of_states as density_of_states
    from .data.dos import trust_mask as trust_mask
    from .data.grid import EnergyGrid as EnergyGrid
    from .models.calculator import DOSCalculator as DOSCalculator
    from .plugin.masked_dos import MaskedDOSLoss as MaskedDOSLoss
    from .plugin.registry import register_loss as register_loss


__version__ = "0.1.0"

# Looked up at first use, so that importing the package does not import torch.
_PUBLIC = {
    "DOSCalculator": "models.calculator",
    "EnergyGrid": "data.grid",
    "MaskedDOSLoss": "plugin.masked_dos",
    "density_of_states": "data.dos",
    "register_loss": "plugin.registry",
    "trust_mask": "data.dos",
}
__all__ = ["__version__", *_PUBLIC]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(f".{_PUBLIC[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
