"""
Make a bare ``mtt train`` know the losses of the entry-point group ``metatrain.losses``.

metatrain looks for no plugins, so this module is imported whenever Python starts, by
``metatrain_dos.pth`` (``metatrain_dos.start`` from Python 3.15 on). It installs an
import hook, which does nothing until ``metatrain.utils.loss`` is imported, or reloaded,
and then registers the losses. Standard library only: every Python process of the user
pays for every millisecond here.

``METATRAIN_DOS_AUTOLOAD=0`` switches it off; ``mtt-dos train`` still works then.
"""

import os
import sys


# As in typing, which takes longer to import than this whole module. So does __future__,
# which is why annotations are quoted.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


WATCHED = "metatrain.utils.loss"
SWITCH = "METATRAIN_DOS_AUTOLOAD"


class LossImportHook:
    """Meta path finder that registers losses after each import of :data:`WATCHED`."""

    def find_spec(self, name: str, path: "Any" = None, target: "Any" = None) -> "Any":
        if name != WATCHED:
            return None
        for finder in sys.meta_path:
            find_spec = getattr(finder, "find_spec", None)
            if finder is self or find_spec is None:
                continue
            spec = find_spec(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = RegisteringLoader(spec.loader)
                return spec
        return None


class RegisteringLoader:
    """Loader that runs another loader and then registers the losses."""

    def __init__(self, loader: "Any") -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> "Any":
        return getattr(self._loader, name)

    def create_module(self, spec: "Any") -> "Any":
        return self._loader.create_module(spec)

    def exec_module(self, module: "Any") -> None:
        # The module must look as if nobody had interfered.
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        register()


def install() -> None:
    """Install the import hook, unless it is switched off or already there."""
    if os.environ.get(SWITCH) == "0":
        return
    if any(type(finder).__name__ == "LossImportHook" for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, LossImportHook())


def register() -> None:
    """Register the losses of all plugins; whatever happens here, metatrain works."""
    try:
        from metatrain_dos.plugin.registry import register_entry_points

        register_entry_points()
    except Exception as error:
        import warnings

        warnings.warn(
            "metatrain-dos could not register its losses with metatrain, so "
            f"'masked_dos' is unknown to it: {error}",
            RuntimeWarning,
            stacklevel=2,
        )
