"""Preparation that is killed at random points goes on where it was."""

import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from helpers.prepare import contents, copies, start, wait_for

from metatrain_dos.data.prepare import cache


def children(pid):
    try:
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:  # it has ended
        return []


def records(work):
    return set(cache.find_kept(work / "cache"))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("format", ["xyz", "zip", "memmap"])
def test_killed_at_random(tmp_path, format, amount, seed, tally, monkeypatch):
    """
    The parent, or one of its workers, is killed at any point from its first file on.

    Nothing that was read is lost, the data set is that of an undisturbed run, byte by
    byte, and nothing else is left, neither beside it nor among temporary files.
    """
    kills, number = amount(1, 7), amount(100, 200)
    rng = np.random.default_rng(seed)
    temporary, folder = tmp_path / "temporary", tmp_path / "folder"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    outputs = copies(tmp_path / "outputs", number)
    more = (outputs, "--format", format, "--workers", 2, "-o")
    whole, dos = tmp_path / "whole", folder / "dos"
    work = folder / "dos.unfinished"

    process = start(*more, whole)
    wait_for((tmp_path / "whole.unfinished").exists, process)
    began = time.monotonic()
    process.communicate()
    duration = time.monotonic() - began

    while kills:
        kept = records(work)
        process = start(*more, dos)
        wait_for(work.exists, process)
        time.sleep(duration * rng.random())
        family = [process.pid, *map(int, children(process.pid))]
        # Half of the time the parent, else one of its workers if there are any yet.
        victim = family[int(rng.integers(len(family))) * int(rng.integers(2))]
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        _, errors = process.communicate()
        if dos.exists():  # it was faster
            assert contents(dos) == contents(whole)
            shutil.rmtree(dos)
            continue
        if victim != process.pid:
            assert "a worker process died" in errors, errors
        wait_for(lambda pids=family: not any(map(is_alive, pids)))
        assert kept <= records(work)
        kills -= 1
        tally("preparations killed at random and continued")

    process = start(*more, dos)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert contents(dos) == contents(whole)
    assert list(folder.iterdir()) == [dos]
    assert not list(temporary.iterdir())


def is_alive(pid):
    return os.path.exists(f"/proc/{pid}/exe")
