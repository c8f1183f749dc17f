"""``mtt-dos check``: what it prints, and its exit status."""

import json
import os
import subprocess
import sys
from pathlib import Path

from helpers.checks import LOSS, TRAINING, change, folder, line_of, made


__all__ = ["folder", "made"]  # fixtures

BIN = Path(sys.executable).parent


class TestCommand:
    def run(self, *arguments):
        return subprocess.run(
            [BIN / "mtt-dos", "check", *arguments],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=120,
        )

    def test_healthy(self, folder):
        done = self.run("options.yaml")
        assert done.returncode == 0 and done.stderr == ""
        assert done.stdout.count("\n") == 1 and "nothing wrong in 20" in done.stdout

    def test_a_folder(self, folder):
        done = self.run(".")
        assert done.returncode == 0 and "options.yaml: nothing wrong" in done.stdout

    def test_error(self, folder):
        change(**{f"{LOSS}.extra_targets": 300})
        done = self.run("options.yaml")
        assert done.returncode == 1 and "Traceback" not in done.stderr
        line = line_of("extra_targets: 300")
        assert f"options.yaml:{line}: error: {LOSS}.extra_targets: " in done.stdout
        assert "\n  why: " in done.stdout and "\n  fix: " in done.stdout
        assert done.stdout.splitlines()[-1].startswith("options.yaml: 2 errors in 20")

    def test_json(self, folder):
        change(**{f"{TRAINING}.best_model_metric": "mae_prod"})
        done = self.run("options.yaml", "--json")
        assert done.returncode == 0  # warnings only
        content = json.loads(done.stdout)
        assert content["structures"]["training_set"] == 12
        (found,) = content["findings"]
        assert found["severity"] == "warning"
        assert found["path"] == f"{TRAINING}.best_model_metric"
        assert found["line"] == line_of("best_model_metric")

    def test_usage(self, folder):
        assert self.run().returncode == 2
        done = self.run("nowhere.yaml")
        assert done.returncode == 2 and "Traceback" not in done.stderr
        assert self.run("options.yaml", "--jason").returncode == 2


def test_a_reader_that_has_seen_enough():
    """As in ``mtt-dos check options.yaml | head -n 1``, but closed before."""
    reading, writing = os.pipe()
    os.close(reading)
    # Without a buffer, argparse itself passes over a pipe that is closed.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        [BIN / "mtt-dos", "--help"],
        stdout=writing,
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
    )
    os.close(writing)
    assert done.returncode == 141 and done.stderr == ""
