"""Compile functions with numba, where it is there."""

from collections.abc import Callable
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
    try:
        fast: Function = numba.njit(function, cache=True, **options)
    except RuntimeError:  # no folder can be written to
        fast = numba.njit(function, **options)
    return fast
