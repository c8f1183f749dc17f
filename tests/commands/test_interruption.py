"""Data sets whose making is interrupted, or shared among machines."""

import os
import resource
import signal
import subprocess
import sys

import pytest
from helpers.prepare import contents, copies, prepare, report, start, wait_for
from helpers.processes import BIN, LIMIT

from metatrain_dos.data.prepare import cache


def records(work):
    """Count the sources that have been read."""
    return len(cache.find_kept(work / "cache"))


class TestInterrupted:
    @pytest.mark.parametrize(
        ("when", "format"),
        [
            ("reading", "xyz"),
            ("writing", "xyz"),
            ("writing", "zip"),
            ("writing", "memmap"),
        ],
    )
    def test_killed_and_run_again(self, tmp_path, when, format):
        outputs = copies(tmp_path / "outputs", 300)
        more = ("--format", format, "--workers", 2)
        prepare(outputs, "-o", tmp_path / "whole", *more)

        work = tmp_path / "dos.unfinished"
        process = start(outputs, "-o", tmp_path / "dos", *more)
        if when == "reading":
            wait_for(lambda: records(work) > 50, process)
        else:
            wait_for(lambda: any((work / "dos").glob("training*")), process)
        process.kill()
        process.communicate()
        assert not (tmp_path / "dos").exists()
        kept = records(work)
        assert kept == 300 if when == "writing" else 50 < kept < 300

        prepare(outputs, "-o", tmp_path / "dos", *more)
        assert contents(tmp_path / "dos") == contents(tmp_path / "whole")
        assert not work.exists()

    def test_interrupt_key(self, tmp_path):
        outputs = copies(tmp_path / "outputs", 600)
        work = tmp_path / "dos.unfinished"
        # As a terminal does, to all processes of the group.
        process = start(outputs, "-o", tmp_path / "dos", start_new_session=True)
        wait_for(lambda: records(work) > 50, process)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=LIMIT)
        assert process.returncode == 130
        assert "the same command goes on where it was" in errors
        assert "Traceback" not in errors
        assert not (tmp_path / "dos").exists() and work.exists()

    def test_what_has_been_read_is_not_read_again(self, tmp_path, monkeypatch):
        outputs = copies(tmp_path / "outputs", 5)
        with pytest.raises(SystemExit, match="group_by"):
            prepare(outputs, "-o", tmp_path / "dos", "--group-by", "nothing")

        read = []

        def note(path):
            read.append(path)
            return original(path)

        original = cache.read_calculations
        monkeypatch.setattr(cache, "read_calculations", note)
        copies(outputs, 1, "hydrogen-lsda")
        os.utime(outputs / "silicon-00002.xml", (0, 0))
        prepare(outputs, "-o", tmp_path / "dos")
        assert sorted(read) == [
            str(outputs / "hydrogen-lsda-00000.xml"),
            str(outputs / "silicon-00002.xml"),
        ]

    def test_workers_end_with_their_parent(self, tmp_path):
        outputs = copies(tmp_path / "outputs", 600)
        process = start(outputs, "-o", tmp_path / "dos", "--workers", 2)
        wait_for(lambda: records(tmp_path / "dos.unfinished") > 20, process)
        children = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(process.pid)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        assert len(children) >= 2
        process.kill()
        process.communicate()
        wait_for(
            lambda: not any(os.path.exists(f"/proc/{pid}/exe") for pid in children)
        )

    def test_disk_is_full(self, tmp_path):
        """A limit on the size of files is refused as a full disk is: while writing."""
        outputs = copies(tmp_path / "outputs", 60)

        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

        process = start(
            *(outputs, "-o", tmp_path / "dos", "--workers", 1), preexec_fn=limit
        )
        _, errors = process.communicate(timeout=LIMIT)
        assert process.returncode == 1 and "Traceback" not in errors, errors
        assert "File too large" in errors
        assert not (tmp_path / "dos").exists()
        prepare(outputs, "-o", tmp_path / "dos")
        assert report(tmp_path / "dos")["structures"] == 60

    def test_one_run_at_a_time(self, tmp_path):
        outputs = copies(tmp_path / "outputs", 600)
        process = start(outputs, "-o", tmp_path / "dos")
        wait_for(lambda: records(tmp_path / "dos.unfinished") > 5, process)
        with pytest.raises(SystemExit, match="another process writes to"):
            prepare(outputs, "-o", tmp_path / "dos")
        process.kill()
        process.communicate()


PEAK = """
import resource, sys
from metatrain_dos.commands.main import main
main(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_memory_is_bounded(tmp_path):
    """Four times the calculations take the same memory, but for 100 bytes of each."""
    peaks = []
    for number in (400, 1600):
        outputs = copies(tmp_path / "outputs", number)
        done = subprocess.run(
            [
                *(sys.executable, "-c", PEAK, "prepare", outputs, "--workers", "1"),
                *("--format", "memmap", "-o", tmp_path / f"dos-{number}"),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        peaks.append(int(done.stdout.split()[-1]))
    # 1200 more calculations and their DOS would take 30 MB; MB are what is noisy here.
    assert peaks[1] < peaks[0] + 10, peaks


CLUSTER = """
import os, sys
from distributed import LocalCluster
if __name__ == "__main__":
    cluster = LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    )
    print(cluster.scheduler_address, flush=True)
    sys.stdin.read()
    cluster.close()
"""


class TestCluster:
    @pytest.fixture
    def cluster(self, tmp_path):
        """Start a real cluster with two worker processes."""
        pytest.importorskip("distributed")
        script = tmp_path / "cluster.py"
        script.write_text(CLUSTER)
        process = subprocess.Popen(
            [sys.executable, script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=tmp_path,
        )
        yield process.stdout.readline().strip(), process
        process.communicate()

    def test_a_worker_is_killed_half_way(self, tmp_path, cluster):
        from distributed import Client

        address, _ = cluster
        outputs = copies(tmp_path / "outputs", 800)
        prepare(outputs, "-o", tmp_path / "whole")
        with Client(address, set_as_default=False) as client:
            workers = client.run(os.getpid)
            assert len(workers) == 2
            process = start(outputs, "-o", tmp_path / "dos", "--scheduler", address)
            work = tmp_path / "dos.unfinished"
            wait_for(lambda: records(work) > 300, process)
            os.kill(next(iter(workers.values())), signal.SIGKILL)
            assert records(work) < 800
            output, errors = process.communicate(timeout=LIMIT)
        assert process.returncode == 0, errors
        assert "structures    800 (" in output
        assert contents(tmp_path / "dos") == contents(tmp_path / "whole")

    def test_the_scheduler_is_killed_half_way(self, tmp_path, cluster):
        address, scheduler = cluster
        outputs = copies(tmp_path / "outputs", 800)
        process = start(outputs, "-o", tmp_path / "dos", "--scheduler", address)
        wait_for(lambda: records(tmp_path / "dos.unfinished") > 100, process)
        scheduler.kill()
        _, errors = process.communicate(timeout=LIMIT)
        assert process.returncode == 1
        assert "scheduler: expected answers until all is done" in errors
        assert not (tmp_path / "dos").exists()
        prepare(outputs, "-o", tmp_path / "dos")
        assert report(tmp_path / "dos")["structures"] == 800

    def test_no_scheduler(self, tmp_path):
        pytest.importorskip("distributed")
        outputs = copies(tmp_path / "outputs", 3)
        # Port 9 discards what it gets, where it is served at all.
        process = start(
            outputs, "-o", tmp_path / "dos", "--scheduler", "tcp://127.0.0.1:9"
        )
        _, errors = process.communicate(timeout=LIMIT)
        assert process.returncode == 1
        assert "expected the address of a running Dask scheduler" in errors


def test_the_command_is_the_same_from_outside(tmp_path):
    done = subprocess.run(
        [BIN / "mtt-dos", "prepare", "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0 and "--stratify-by" in done.stdout
