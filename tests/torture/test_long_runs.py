"""Long training runs: leaks, kills, restarts, and other machines."""

import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import old_project
import pytest
import torch
from helpers.cases import OPTIONS, make_case

from metatrain_dos.loss import cpu, dispatch


MTT = Path(sys.executable).with_name("mtt")
PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0


def resident_bytes():
    """Read how much memory this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
@pytest.mark.parametrize("numba", [True, False], ids=["compiled", "plain"])
def test_memory_does_not_grow(numba, monkeypatch, amount, tally):
    """
    A tensor per step would be 240 MB in the share, 40 bytes per step 4 MB in torture.
    """
    if not numba:
        monkeypatch.setattr(cpu, "can_run", lambda _: False)
    steps, points = amount((500, 3000), (100_000, 30))
    case = make_case(0, samples=4, points=points, extra=12)
    model = torch.nn.Parameter(case[0])
    optimizer = torch.optim.SGD([model], lr=1e-6)

    def run(number):
        for _ in range(number):
            optimizer.zero_grad()
            dispatch.masked_dos(
                model * 1.0, *case[1:], **OPTIONS
            ).loss.mean().backward()
            optimizer.step()

    run(steps // 10)
    before = resident_bytes()
    run(steps)
    assert resident_bytes() - before < 4e6
    assert model.isfinite().all()
    tally("steps of the loss without growing memory", steps)


def test_the_same_twice(amount, tally):
    """Loss and gradient of the same batch are the same, to the last bit."""
    number = amount(20, 2000)
    case = make_case(1, samples=6, points=300, extra=60, dtype=torch.float32)
    results = set()
    for _ in range(number):
        leaf = case[0].clone().requires_grad_()
        loss = dispatch.masked_dos(leaf, *case[1:], **OPTIONS).loss.mean()
        loss.backward()
        results.add((loss.item(), leaf.grad.numpy().tobytes()))
    assert len(results) == 1
    tally("repetitions with the same bits", number)


# ------------------------------------------------------------------------- mtt train

EPOCHS = 16
KILLED_AFTER = 4
RATE = 1e-3
LOSSES = re.compile(
    r"Epoch: +(\d+) .*training loss: (\S+) .*validation loss: (\S+) ", re.MULTILINE
)


# metatrain makes the scheduler after it has restored the optimizer, which sets the
# learning rate to that of step 0, and then restores the scheduler, which does not set
# it. So one step is taken with that rate. This is `mtt` without that flaw.
MENDED_MTT = """
import sys
from metatrain.__main__ import main
from torch.optim.lr_scheduler import LambdaLR

def load_state_dict(self, state, load=LambdaLR.load_state_dict):
    load(self, state)
    for group, rate in zip(self.optimizer.param_groups, self.get_last_lr()):
        group["lr"] = rate

LambdaLR.load_state_dict = load_state_dict
sys.argv[0] = "mtt"
main()
"""


def make_project(folder, loss):
    """
    Write a project without chance.

    metatrain seeds its generators at each start, a restart, too, so that a training
    goes on with other batches and rotations than it would have had. So here all is in
    one batch, and the model sees no rotations. Another order within that batch changes
    float64 numbers too little to be seen in a log.
    """
    old_project.write(folder)
    path = folder / "options.yaml"
    text = path.read_text("utf-8").replace("name: pet", "name: soap_bpnn")
    if loss != "masked_dos":
        text = re.sub(r"    loss:\n(      .*\n)+", f"    loss: {loss}\n", text)
    path.write_text(text)
    return folder


def command(folder, *more, mtt=(MTT,)):
    changes = {
        "training.num_epochs": EPOCHS,
        "training.batch_size": old_project.STRUCTURES,
        "training.checkpoint_interval": 1,
        "training.learning_rate": RATE,
        "training.warmup_fraction": 0.0,
        "model.bpnn.num_neurons_per_layer": 8,
    }
    overrides = [f"architecture.{key}={value}" for key, value in changes.items()]
    overrides.append("base_precision=64")
    arguments = [word for change in overrides for word in ("-r", change)]
    return {
        "args": [*mtt, "train", "options.yaml", *arguments, *more],
        "cwd": folder,
        "env": {**os.environ, "OMP_NUM_THREADS": "1"},
        "stdout": subprocess.PIPE,
        "stderr": subprocess.STDOUT,
        "text": True,
    }


def losses(log):
    """Read training and validation loss of each epoch."""
    return {int(epoch): (float(a), float(b)) for epoch, a, b in LOSSES.findall(log)}


@pytest.fixture(scope="module", params=["masked_dos", "mse"])
def uninterrupted(request, only_torture, tmp_path_factory):
    """Train to the end; ``mse`` is the control."""
    folder = make_project(tmp_path_factory.mktemp(request.param), request.param)
    done = subprocess.run(**command(folder))
    assert done.returncode == 0, done.stdout
    found = losses(done.stdout)
    assert list(found) == list(range(EPOCHS))
    return request.param, folder, found


def kill_in_the_middle(folder):
    """Start a training run and kill it with SIGKILL; return its log."""
    process = subprocess.Popen(**command(folder))
    deadline = time.monotonic() + 600
    while not list(folder.glob(f"outputs/*/*/model_{KILLED_AFTER}.ckpt")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    log, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL
    # What was being written at that moment is of no use to anybody.
    for path in folder.glob("outputs/*/*/*.ckpt"):
        if not zipfile.is_zipfile(path):
            path.unlink()
    return log


def restart(folder, mtt=(MTT,)):
    """Train on; return the losses, and the learning rate of the first step."""
    done = subprocess.run(**command(folder, "--restart", "auto", mtt=mtt))
    assert done.returncode == 0, done.stdout
    assert "Restarting training from 'outputs" in done.stdout
    (rate,) = re.findall(r"Initial learning rate: (\S+)", done.stdout)
    return losses(done.stdout), float(rate)


def test_killed_and_restarted(uninterrupted, tmp_path, tally):
    loss, _, expected = uninterrupted
    folder = make_project(tmp_path / "killed", loss)
    first = losses(kill_in_the_middle(folder))
    copy = shutil.copytree(folder, tmp_path / "copy")
    # The same seed: what came before the kill is the same to the last printed digit.
    assert all(expected[epoch] == values for epoch, values in first.items())
    assert expected[EPOCHS - 1][0] < expected[0][0]  # it learns

    mended, rate = restart(copy, mtt=(sys.executable, "-c", MENDED_MTT))
    start = min(mended)
    assert list(mended) == list(range(start, EPOCHS)) and start >= KILLED_AFTER
    assert rate == pytest.approx(RATE * (1 + math.cos(math.pi * start / EPOCHS)) / 2)
    # All else is restored, so the rest is the same to the last printed digit.
    assert mended == {epoch: expected[epoch] for epoch in mended}

    found, rate = restart(folder)
    assert rate == RATE  # of step 0: the one difference that is left
    assert list(found) == list(mended)
    assert found[start][0] == expected[start][0]  # before that step
    assert found[EPOCHS - 1][0] < expected[0][0]
    pairs = [(found[epoch][0], expected[epoch][0]) for epoch in found]
    print(f"largest difference: {max(abs(a / b - 1) for a, b in pairs):.2%}")
    tally("training runs killed and restarted", 2)


def test_checkpoints_need_no_plugin(uninterrupted, tally):
    """Without it they load, export and evaluate; only training on asks for it."""
    loss, folder, _ = uninterrupted
    if loss != "masked_dos":
        pytest.skip("needs no plugin")
    for path in folder.glob("**/*.ckpt"):
        with zipfile.ZipFile(path) as content:
            (pickle,) = (n for n in content.namelist() if n.endswith("data.pkl"))
            assert b"metatrain_dos" not in content.read(pickle)
        tally("checkpoints that name no module of ours")
    without = {**os.environ, "METATRAIN_DOS_AUTOLOAD": "0", "OMP_NUM_THREADS": "1"}

    def mtt(*arguments):
        return subprocess.run(
            [MTT, *arguments], cwd=folder, env=without, capture_output=True, text=True
        )

    exported = mtt("export", "model.ckpt", "-o", "again.pt", "-e", "extensions")
    assert exported.returncode == 0, exported.stderr
    (folder / "eval.yaml").write_text("systems: test.xyz\n")
    evaluated = mtt("eval", "again.pt", "eval.yaml", "-e", "extensions")
    assert evaluated.returncode == 0, evaluated.stderr
    trained = mtt("train", "options.yaml", "--restart", "model.ckpt")
    assert trained.returncode == 1
    assert "Unknown loss 'masked_dos'. Valid types: mse" in trained.stdout
