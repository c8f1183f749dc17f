"""
Compile functions with numba, keep the result on disk, and survive any failure of both.

A missing or broken numba, a full disk, a damaged or read-only cache: whatever happens
here costs time only. :func:`load_or_compile` then returns false, with one warning, and
torch computes the loss.

The first process on a machine does not wait for the compiler, which takes up to 20
seconds. It starts another one that fills the cache for the next processes, and uses
torch itself.
"""

import hashlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from ...utils.text import shorten


SWITCH = "METATRAIN_DOS_COMPILE"
"""Variable that is ``now`` to compile in the process that needs the result."""

# Names in the folder: of the claim of a process that compiles, and of its failure.
CLAIM, FAILED = "compiling", "failed"
# Seconds after which such a process must have died.
LONGEST = 300

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
    """Compile a function at its first call, if numba is there; keep it on disk."""
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


def load_or_compile(run: Callable[[], object], elsewhere: str = "") -> bool:
    """
    Load compiled functions from disk, or compile them once for all processes.

    :param run: calls each of the functions
    :param elsewhere: Python code that does the same in another process, which then
        compiles them for later ones; :data:`SWITCH` keeps it here
    :return: whether they can be used; if not, there was a warning, or another process
        compiles
    """
    if numba is None and not failure:
        return False
    try:
        if failure:
            raise RuntimeError(failure)
        try:
            with event.install_listener("numba:compile", _Refuse()):
                run()
        except OSError:
            raise
        except Exception as error:
            if not isinstance(error, _NotOnDiskError):  # but a damaged file
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True, exist_ok=True)
            if elsewhere and os.environ.get(SWITCH) != "now" and os.name == "posix":
                _compile_elsewhere(elsewhere)
                return False
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


def _compile_elsewhere(code: str) -> None:
    """Start a process that compiles, unless there is one; tell why the last failed."""
    failed = folder / FAILED
    reason = failed.read_text("utf-8") if failed.exists() else ""
    claim = folder / CLAIM
    with suppress(FileNotFoundError):
        if time.time() - claim.stat().st_mtime > LONGEST:
            claim.unlink()
    with suppress(FileExistsError):
        claim.touch(exist_ok=False)
        logging.getLogger(__name__).info(
            "Another process compiles the loss masked_dos for this processor; it is "
            "faster from the next run on, and kept in %s. Torch computes the same "
            "numbers until then.",
            folder,
        )
        # A shell, so that the process has no parent that would have to wait for it.
        subprocess.run(
            [
                *("/bin/sh", "-c", '"$0" -c "$1" </dev/null >/dev/null 2>&1 &'),
                *(sys.executable, f"import os; os.nice(10)\n{code}"),
            ],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,
            check=True,
        )
    if reason:
        raise RuntimeError(reason)


def compile_for_others(run: Callable[[], object]) -> None:
    """Compile in a process that :func:`load_or_compile` has started."""
    failed = folder / FAILED
    try:
        if failure:
            raise RuntimeError(failure)
        _compile(run)
        failed.unlink(missing_ok=True)
    except Exception as error:
        failed.write_text(shorten(error), "utf-8")
    finally:
        (folder / CLAIM).unlink(missing_ok=True)


def _compile(run: Callable[[], object]) -> None:
    """Compile; several processes may, because numba replaces files as a whole."""
    folder.mkdir(parents=True, exist_ok=True)
    logging.getLogger(__name__).info(
        "Compiling the loss masked_dos for this processor; this takes some seconds, "
        "once: the result is kept in %s",
        folder,
    )
    run()


class _NotOnDiskError(Exception):
    pass


if numba is not None:

    class _Refuse(event.Listener):
        """Load only."""

        def on_start(self, _: Any) -> None:
            raise _NotOnDiskError

        def on_end(self, _: Any) -> None:
            pass
