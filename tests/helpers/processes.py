"""Run Python and commands in processes of their own, without waiting for imports."""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path


BIN = Path(sys.executable).parent

# Importing torch and metatrain takes longer than most runs here, so it is done once:
# processes are forks of one that has imported them and has run the start-up file. Where
# there is no fork, every process imports for itself.
CAN_FORK = "forkserver" in multiprocessing.get_all_start_methods()
PROCESSES = multiprocessing.get_context("forkserver" if CAN_FORK else "spawn")
if CAN_FORK:
    PROCESSES.set_forkserver_preload(["metatrain.__main__", "metatrain.pet.trainer"])

LIMIT = 300
"""Seconds after which something is wrong."""


def in_process(function, *arguments, folder):
    """
    Call a function in a process of its own; return exit status and all it printed.

    :param function: what to call, at the top level of a module
    :param arguments: its arguments
    :param folder: where to call it
    """
    with tempfile.TemporaryDirectory() as temporary:
        printed = Path(temporary, "printed")
        process = PROCESSES.Process(
            target=_call, args=(function, arguments, folder, printed)
        )
        process.start()
        process.join(LIMIT)
        process.kill()  # unless it has ended
        process.join()
        return process.exitcode, printed.read_text("utf-8")


def mtt(*arguments, folder, command="mtt", **environment):
    """
    Run ``mtt`` as a user does; return its exit status and all it printed.

    :param arguments: the command line after ``mtt``
    :param folder: where to run it
    :param command: ``mtt-dos`` for the same with explicit registration
    :param environment: variables to set; commands that get any start from nothing, as
        the start-up file may read them
    """
    if not environment and command == "mtt":
        return in_process(_mtt, *map(str, arguments), folder=folder)
    done = subprocess.run(
        [BIN / command, *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT,
    )
    return done.returncode, done.stdout


def run_python(code, *, folder):
    """Run a script; return its exit status and all it printed."""
    return in_process(exec, code, {"__name__": "__main__"}, folder=folder)


def _call(function, arguments, folder, printed):
    os.chdir(folder)
    with printed.open("w") as stream:
        for standard in (1, 2):
            os.dup2(stream.fileno(), standard)
    import torch

    torch.set_num_threads(1)
    function(*arguments)


def _mtt(*arguments):
    from metatrain.__main__ import main

    sys.argv = ["mtt", *arguments]
    main()
