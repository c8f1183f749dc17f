"""Compile functions with numba, where it is there."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar


numba: Any
try:
    import numba
except Exception:  # of whatever kind: numba is made for certain versions of NumPy
    numba = None

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """
    Compile a function when it is first called, and keep the result on disk.

    :param function: loops over arrays
    :return: the same function, compiled if numba is there
    """
    if numba is None:
        return function
    # Sums may be reordered, but what is not finite must stay so.
    options = {"fastmath": {"contract", "nsz", "reassoc"}, "nogil": True}
    chosen = numba.config.CACHE_DIR
    folder = chosen or _cache_folder()
    try:
        # By default it is next to the source, where pip would leave it behind.
        numba.config.CACHE_DIR = folder
        fast: Function = numba.njit(function, cache=bool(folder), **options)
    except RuntimeError:  # numba keeps nothing for sources in a zip file
        fast = numba.njit(function, **options)
    finally:
        numba.config.CACHE_DIR = chosen
    return fast


def _cache_folder() -> str:
    """Find a folder of the user for what can be made again, or an empty name."""
    try:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(base) / "metatrain-dos"
        folder.mkdir(parents=True, exist_ok=True)
    except (
        OSError,
        RuntimeError,
    ):  # a home directory that cannot be written to, or none
        return ""
    return str(folder) if os.access(folder, os.W_OK) else ""
