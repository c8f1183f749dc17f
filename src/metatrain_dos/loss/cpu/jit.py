"""
Compile functions with numba, keep the result on disk, and survive any failure of both.

A missing or broken numba, a full disk, a damaged or read-only cache: whatever happens
here costs time only. :func:`load_or_compile` then returns false, with one warning, and
torch computes the loss.
"""

import hashlib
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from ...utils.text import shorten


# Seconds to wait for another process that compiles the same; it takes about five.
PATIENCE = 60

failure = ""
"""Reason why the loops cannot be used; stays empty where numba is not installed."""

numba: Any
try:
    import numba
    from numba.core import event
except Exception as error:  # of any kind: numba is made for certain versions of NumPy
    numba = None
    if getattr(error, "name", None) != "numba":
        failure = f"numba cannot be imported: {shorten(error)}"

Function = TypeVar("Function", bound=Callable[..., Any])


def _find_folder() -> Path:
    """
    Choose the folder of the compiled code, which depends on all sources of the loss.

    numba looks at the file of a function only, and not at those that it imports from.
    """
    base = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME")
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    home = Path(base) if base else Path.home() / ".cache"
    return home / "metatrain-dos" / digest.hexdigest()[:16]


folder = Path()
try:
    folder = _find_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass  # otherwise numba would write next to the source
except (OSError, RuntimeError) as error:  # read-only, or no home at all
    failure = failure or shorten(error)


def compiled(function: Function) -> Function:
    """
    Compile a function when it is first called, and keep the result on disk.

    :param function: loops over arrays
    :return: the same function, compiled if numba is there
    """
    global failure
    if numba is None or failure:
        return function
    if numba.config.DISABLE_JIT:
        failure = "NUMBA_DISABLE_JIT is set"
        return function
    chosen, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(folder)
    try:
        # Sums may be reordered, but numbers that are not finite must stay so.
        math = {"contract", "nsz", "reassoc"}
        options = {"fastmath": math, "error_model": "numpy", "nogil": True}
        fast: Function = numba.njit(function, cache=True, **options)
    except Exception as error:  # a source in a zip file, for example
        failure = shorten(error)
        return function
    finally:
        numba.config.CACHE_DIR = chosen
    return fast


def load_or_compile(run: Callable[[], object]) -> bool:
    """
    Load compiled functions from disk, or compile them once for all processes.

    :param run: calls each of the functions
    :return: whether they can be used; if not, there was a warning
    """
    if numba is None and not failure:
        return False
    try:
        if failure:
            raise RuntimeError(failure)
        try:
            with event.install_listener("numba:compile", _Refuse()):
                run()
        except _NotOnDiskError:
            _compile(run)
        except OSError:
            raise
        except Exception:  # a damaged file raises about anything
            shutil.rmtree(folder, ignore_errors=True)
            _compile(run)
    except Exception as error:
        warnings.warn(
            f"masked_dos: the compiled loss cannot be used ({shorten(error)}; its "
            f"cache is {folder}), so torch computes the same numbers more slowly; "
            "correct the cause, or set NUMBA_CACHE_DIR to a folder for the cache",
            RuntimeWarning,
            stacklevel=2,
        )
        return False
    return True


def _compile(run: Callable[[], object]) -> None:
    """Compile, or wait for another process to do so and load its result."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "lock")
    # Not every file system has locks. Two may compile, because files are replaced.
    with suppress(Timeout, OSError, NotImplementedError):
        lock.acquire(timeout=PATIENCE)
    try:
        with event.install_listener("numba:compile", _Announce()):
            run()
    finally:
        lock.release()


class _NotOnDiskError(Exception):
    pass


if numba is not None:

    class _Refuse(event.Listener):
        """Load only."""

        def on_start(self, _: Any) -> None:
            raise _NotOnDiskError

        def on_end(self, _: Any) -> None:
            pass

    class _Announce(event.Listener):
        """Tell the user, once, about the seconds that the first call takes."""

        told = False

        def on_start(self, _: Any) -> None:
            if not self.told:
                logging.getLogger(__name__).info(
                    "Compiling the loss masked_dos for this processor; this takes some "
                    "seconds, once: the result is kept in %s",
                    folder,
                )
                self.told = True

        def on_end(self, _: Any) -> None:
            pass
