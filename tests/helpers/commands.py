"""Run commands and readers with limits of memory and time, quickly and often."""

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path


ZYGOTE = Path(__file__).parents[1] / "torture" / "zygote.py"
READING = Path(__file__).parents[1] / "torture" / "reading.py"
# On top of the interpreter with everything imported. Inputs have a few kB.
MEMORY = 300 * 2**20


class Command:
    """Run ``mtt-dos`` in a folder; return its exit status and output."""

    def __init__(self, process, folder):
        self.process = process
        self.idle = self.ask(folder, "--version")["memory"]

    def ask(self, folder, *arguments):
        request = {"arguments": arguments, "folder": str(folder), "memory": 4 * MEMORY}
        print(json.dumps(request), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def __call__(self, folder, *arguments):
        answer = self.ask(folder, *arguments)
        out, err = (folder / "stdout", folder / "stderr")
        printed = [path.read_text("utf-8", "surrogateescape") for path in (out, err)]
        out.unlink()
        err.unlink()
        assert "Traceback" not in "".join(printed), printed[1]
        assert answer["memory"] < self.idle + MEMORY
        return answer["status"], *printed


@contextmanager
def running(folder):
    """Start the process that runs commands, in a folder of its own."""
    with _server(ZYGOTE) as process:
        yield Command(process, folder)


@contextmanager
def reading():
    """Start the process that reads files and reports the results."""
    with _server(READING) as process:

        def read(path, data=False):
            print(json.dumps([str(path), data]), file=process.stdin, flush=True)
            return json.loads(process.stdout.readline())

        yield read


def _server(script):
    """Start a process that answers lines with lines."""
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, str(script)], stdin=pipe, stdout=pipe, text=True
    )


def snapshot(folder):
    """Record every file below a folder, with its content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        is_plain = path.is_file() and not path.is_symlink()
        found[path] = path.read_bytes() if is_plain else path.lstat().st_mode
    return found
