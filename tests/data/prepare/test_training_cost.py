"""The memory that a report promises is the memory that metatrain takes."""

import subprocess
import sys

import ase
import numpy as np
import pytest

from metatrain_dos import EnergyGrid
from metatrain_dos.data.calculation import Calculation
from metatrain_dos.data.dataset import write_dataset
from metatrain_dos.data.prepare import training_cost
from metatrain_dos.data.target_spec import TargetSpec


OPEN = """
import gc, os, sys
from pathlib import Path
from metatrain.utils.data import get_dataset
from metatrain.utils.omegaconf import expand_dataset_config
from omegaconf import OmegaConf

def open_data(folder):
    section = OmegaConf.load(Path(folder) / "options.yaml").training_set
    section.systems.read_from = str(Path(folder) / section.systems.read_from)
    return get_dataset(expand_dataset_config(section)[0])[0]

def memory():
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")

few = open_data(sys.argv[1])
before = memory()
many = open_data(sys.argv[2])
print(memory() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory(tmp_path):
    rng = np.random.default_rng(0)
    calculation = Calculation(
        ase.Atoms("Si20", 9 * rng.random((20, 3)), cell=[9, 9, 9], pbc=True),
        rng.uniform(-10, 10, (1, 4, 20)),
        np.full(4, 0.5),
    )
    spec = TargetSpec(EnergyGrid(-12.0, 0.05, 1300), extra_targets=200)
    for name, number in (("few", 20), ("many", 300)):
        write_dataset(tmp_path / name, {"training_set": [calculation] * number}, spec)
    done = subprocess.run(
        [sys.executable, "-c", OPEN, tmp_path / "few", tmp_path / "many"],
        capture_output=True,
        text=True,
        check=True,
    )
    promised = training_cost.memory(300, atoms=300 * 20, numbers=300 * 2 * spec.columns)
    # As the report says it; what Python keeps for later makes some percent.
    assert promised == pytest.approx(int(done.stdout), rel=0.2)
