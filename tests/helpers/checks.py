"""A small real data set, changed in one thing, and its findings."""

import shutil
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatomic.torch import systems_to_torch
from metatrain.utils.data.writers import DiskDatasetWriter
from omegaconf import OmegaConf

from metatrain_dos.checks.run import diagnose
from metatrain_dos.data.dataset import TargetSpec, write_dataset
from metatrain_dos.data.options_file import OptionsFile
from metatrain_dos.data.readers import read_extxyz

from .paths import STRUCTURES


EXTRA = 200
TARGET = "mtt::dos"
TRAINING = "architecture.training"
LOSS = f"{TRAINING}.loss.{TARGET}"
SPLITS = ("training", "validation", "test")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Write a small real data set: 4 materials, 5 structures of each."""
    folder = tmp_path_factory.mktemp("made")
    everything = list(read_extxyz(STRUCTURES))
    materials = ("Si-diamond", "NaCl", "Al-fcc", "N2")
    splits = {f"{name}_set": [] for name in SPLITS}
    for material in materials:
        same = [c for c in everything if c.atoms.info["material"] == material]
        splits["training_set"] += same[:3]
        splits["validation_set"] += same[3:4]
        splits["test_set"] += same[4:5]
    chosen = [each for split in splits.values() for each in split]
    write_dataset(folder, splits, TargetSpec.covering(chosen))
    options = OmegaConf.load(folder / "options.yaml")
    options.architecture.training.batch_size = 4
    OmegaConf.save(options, folder / "options.yaml")
    return folder


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    """Work in a copy of the data set, as a user does."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def change(**options):
    """Change options, given with their path; ``None`` removes one."""
    content = OmegaConf.load("options.yaml")
    for keys, value in options.items():
        *outer, last = keys.split(".")
        section = content
        for key in outer:
            section = section[int(key) if key.isdigit() else key]
        if value is None:
            del section[last]
        else:
            section[last] = value
    OmegaConf.save(content, "options.yaml")


def change_frames(split, function):
    """Change the structures of one file."""
    frames = ase.io.read(f"{split}.xyz", ":")
    for position, atoms in enumerate(frames):
        atoms.info["dos_mask"] = np.asarray(atoms.info["dos_mask"], dtype=float)
        function(position, atoms.info)
    ase.io.write(f"{split}.xyz", frames, format="extxyz")


def findings(path="options.yaml"):
    return diagnose(OptionsFile.read(path)).findings


def only(severity, text):
    """Expect one finding, and return it."""
    found = findings()
    assert [(each.severity, text in each.found) for each in found] == [
        (severity, True)
    ], found
    assert found[0].why and found[0].fix
    return found[0]


def line_of(text, number=0):
    """Find the line of the options file that holds a text, for the nth time."""
    lines = Path("options.yaml").read_text("utf-8").splitlines()
    return [n for n, line in enumerate(lines, start=1) if text in line][number]


def where(finding):
    return [(each.where, each.structures) for each in finding.occurrences]


def tensor_map(name, values):
    columns = torch.arange(len(values)).reshape(-1, 1)
    return TensorMap(
        Labels.single(),
        [
            TensorBlock(
                torch.tensor(values, dtype=torch.float64).reshape(1, -1),
                Labels(["system"], torch.tensor([[0]])),
                [],
                Labels([name], columns),
            )
        ],
    )


def write_zip(path, frames):
    writer = DiskDatasetWriter(path)
    for system, atoms in zip(systems_to_torch(frames), frames, strict=True):
        info = {key: np.asarray(atoms.info[key], float) for key in ("dos", "dos_mask")}
        maps = {key: tensor_map(key, values) for key, values in info.items()}
        writer.write([system.to(torch.float64)], maps)
    writer.finish()


def write_memmap(path, frames):
    path.mkdir()
    atoms = np.cumsum([0, *(len(each) for each in frames)])
    np.save(path / "ns.npy", len(frames))
    np.save(path / "na.npy", atoms.astype(np.int64))
    numbers = np.concatenate([each.numbers for each in frames])
    positions = np.concatenate([each.positions for each in frames])
    numbers.astype("int32").tofile(path / "a.bin")
    positions.astype("float32").tofile(path / "x.bin")
    cells = np.array([each.cell.array for each in frames])
    cells.astype("float32").tofile(path / "c.bin")
    for key in ("dos", "dos_mask"):
        values = np.array([each.info[key] for each in frames])
        values.astype("float32").tofile(path / f"{key}.bin")
