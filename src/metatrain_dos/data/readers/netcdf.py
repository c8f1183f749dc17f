"""
Read netCDF files without trusting the library that reads them.

On damaged files HDF5, on which netCDF is built, may end the process or never return.
So it runs in a process of its own, which reads one file after the other.
"""

import atexit
import json
import os
import subprocess
import sys
from pathlib import Path
from threading import Lock, Timer

import numpy as np


SECONDS = 60.0
"""How long the library may take for a file, and for each 10 MB of it."""

SCRIPT = Path(__file__).with_name("netcdf_process.py")

_lock = Lock()
_process: subprocess.Popen[str] | None = None
_owner = 0


def read_netcdf(
    path: Path, variables: tuple[str, ...], dimensions: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """
    Read some variables and dimensions of a netCDF file.

    :param path: the file
    :param variables: names of the variables
    :param dimensions: names of the dimensions
    :return: array of each variable, and the size of each dimension, by name
    :raises ValueError: if the file cannot be read, or the library fails on it
    """
    seconds = SECONDS * (1 + path.stat().st_size / 1e7)
    # Absolute, because the process stays where it began.
    request = {
        "path": os.path.abspath(path),
        "variables": variables,
        "dimensions": dimensions,
    }
    with _lock:
        line = _ask(_running(), json.dumps(request), seconds)
    if not line:
        raise ValueError(
            f"the netCDF library crashed, or found no end within {seconds:.0f} s"
        )
    answer = json.loads(line)
    if "error" in answer:
        # The library may keep a damaged file open, and take the next one for it.
        with _lock:
            _end()
        raise ValueError(answer["error"])
    return {name: np.array(values) for name, values in answer["found"].items()}


def _ask(process: "subprocess.Popen[str]", request: str, seconds: float) -> str:
    """Ask, and wait for the answer; return nothing if there is none in time."""
    assert process.stdin is not None and process.stdout is not None
    timer = Timer(seconds, process.kill)
    timer.start()
    answer = ""
    try:
        print(request, file=process.stdin, flush=True)
        answer = process.stdout.readline()
    except BrokenPipeError:
        pass
    finally:
        timer.cancel()
        # Also after Ctrl-C, when an answer to this request may still come.
        if not answer.endswith("\n"):
            answer = ""
            _end()
    return answer


def _running() -> "subprocess.Popen[str]":
    """Start the process, unless it runs."""
    global _process, _owner
    # A fork has the pipes of its parent, but must not use them.
    if _process is None or _owner != os.getpid() or _process.poll() is not None:
        _process = subprocess.Popen(
            [sys.executable, str(SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        _owner = os.getpid()
    return _process


@atexit.register
def _end() -> None:
    """End the process, if there is one."""
    global _process
    if _process is not None and _owner == os.getpid():
        _process.kill()
        _process.communicate()
    _process = None
