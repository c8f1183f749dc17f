"""
Make a bare ``mtt train`` know the losses of the entry-point group ``metatrain.losses``.

metatrain looks for no plugins, so this module is imported at every start of the
interpreter, by ``metatrain_dos.pth`` (``metatrain_dos.start`` from Python 3.15 on). It
only leaves an import hook behind, which does nothing until ``metatrain.utils.loss`` is
imported, and then registers the losses. Standard library only: every millisecond here
is paid by every Python process of the user.

Set ``METATRAIN_DOS_AUTOLOAD=0`` to switch it off; ``mtt-dos train`` still works then.
"""

import os
import sys


# As in typing, which takes longer to import than all this. So does __future__, which is
# why annotations are quoted.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


WATCHED = "metatrain.utils.loss"
SWITCH = "METATRAIN_DOS_AUTOLOAD"


class LossImportHook:
    """Meta path finder that registers losses once :data:`WATCHED` is imported."""

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
                    spec.loader = RegisteringLoader(self, spec.loader)
                return spec
        return None


class RegisteringLoader:
    """Loader that runs another one and then registers the losses."""

    def __init__(self, hook: LossImportHook, loader: "Any") -> None:
        self._hook = hook
        self._loader = loader

    def __getattr__(self, name: str) -> "Any":
        return getattr(self._loader, name)

    def create_module(self, spec: "Any") -> "Any":
        return self._loader.create_module(spec)

    def exec_module(self, module: "Any") -> None:
        # From here on the module looks as if nobody had been in between.
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        if self._hook in sys.meta_path:
            sys.meta_path.remove(self._hook)
        register()


def install() -> None:
    """Leave the import hook behind, unless it is switched off or already there."""
    if os.environ.get(SWITCH) == "0":
        return
    if any(type(finder).__name__ == "LossImportHook" for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, LossImportHook())


def register() -> None:
    """Register the losses of all plugins; metatrain works on whatever happens here."""
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
