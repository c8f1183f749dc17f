"""Projects of metatrain 2025.12 to 2026.2 train on, as docs/migrating.md says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import ase.io
import numpy as np
import old_project
import pytest
from helpers.training import TINY_PET


MTT = Path(sys.executable).with_name("mtt")
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def train(folder, *arguments):
    done = subprocess.run(
        [MTT, "train", "options.yaml", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout


def test_trains_as_it_is(tmp_path, tally):
    old_project.write(tmp_path, TINY_PET)
    status, log = train(tmp_path)
    assert status == 0, log
    losses = re.findall(r"training loss: (\S+)", log)
    assert len(losses) == 2 and np.isfinite([float(loss) for loss in losses]).all()
    assert "corresponds to sample_kind='system'" in log
    tally("old projects that train")


def of_atoms(folder):
    """Turn the project into one on the DOS of atoms, as it was written then."""
    old_project.write(folder, TINY_PET)
    for path in folder.glob("*.xyz"):
        frames = ase.io.read(path, ":")
        for frame in frames:
            for key in ("dos", "dos_mask"):
                frame.arrays[key] = np.tile(frame.info.pop(key), (len(frame), 1))
        ase.io.write(path, frames)
    path = folder / "options.yaml"
    path.write_text(
        path.read_text("utf-8").replace("per_atom: false", "per_atom: true")
    )
    return path


def test_masks_of_atoms_need_the_new_key(tmp_path, only_torture, tally):
    path = of_atoms(tmp_path)
    status, log = train(tmp_path)
    assert status == 1 and "Target key 'dos_mask' was not found" in log
    text = path.read_text("utf-8").replace("per_atom: true", "sample_kind: atom")
    path.write_text(text)
    status, log = train(tmp_path)
    assert status == 0, log
    tally("old projects that train")


def test_removed_option(tmp_path, only_torture):
    old_project.write(tmp_path, TINY_PET)
    bounds = "architecture.training.batch_atom_bounds=[1, 100]"
    status, log = train(tmp_path, "-r", bounds)
    assert status == 1 and "Unrecognized option 'batch_atom_bounds'" in log
    assert "Setting up training set" not in log
    key = "architecture.training"
    status, log = train(
        tmp_path,
        *("-r", f"{key}.min_atoms_per_batch=1", "-r", f"{key}.max_atoms_per_batch=100"),
    )
    assert status == 0, log


def test_numbers_of_the_old_loss(only_torture, monkeypatch, tally):
    """Equal where it is right; what docs/migrating.md says where it is wrong."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    from old_loss import compare
    from rivals import old_loss_class

    rows = {row.what: row for row in compare(old_loss_class())}
    for row in rows.values():
        # Its finite difference is in single precision.
        if row.same:
            assert row.old == pytest.approx(row.ours, rel=1e-6)
        else:
            assert abs(row.old / row.ours - 1) > 0.1
        tally("terms compared with those of metatrain 2026.2.1")
    assert rows["cumulative term, batch of 1 structure"].old == 0
    total = rows["`reduction: sum`, 4 structures"]
    assert total.old == pytest.approx(total.ours / 4, rel=1e-12)
    coarse = rows["DOS term, grid of 0.1 eV"]
    assert coarse.old == pytest.approx(coarse.ours / 2, rel=1e-12)
