"""Helpers of the examples."""

import os
import re
import subprocess
import sys
from pathlib import Path


DATA = Path(__file__).parent / "data" / "structures.xyz.xz"
"""160 structures of 32 materials, computed with Quantum ESPRESSO."""


def run(*command, show="", cwd=".", **environment):
    """
    Run a command that was installed with this Python, and show its output.

    :param command: name of the command, and its arguments
    :param show: regular expression; lines without it are printed only after a failure
    :param cwd: folder to run it in
    :param environment: environment variables to set
    """
    name, *arguments = map(str, command)
    process = subprocess.Popen(
        [Path(sys.executable).with_name(name), *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONWARNINGS": "ignore::DeprecationWarning"}
        | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    lines = []
    with process:
        for line in process.stdout:
            lines.append(line)
            # Moving progress bars are for a terminal.
            if re.search(show, line) and "%|" not in line:
                print(line, end="", flush=True)
    if process.returncode:
        print("".join(lines))
        sys.exit(f"{name} failed with exit status {process.returncode}")
