"""Energies, forces and stress beside the DOS, in every format."""

import ase.io
import numpy as np
import pytest
from helpers.calculations import crystal, made_up
from helpers.prepare import prepare
from helpers.processes import mtt
from omegaconf import OmegaConf


@pytest.fixture
def frames(tmp_path):
    """Write calculations with all results, and a number of the user."""
    frames = [
        made_up(crystal(i), seed=i, results=True, band_gap=0.1 * i) for i in range(8)
    ]
    ase.io.write(tmp_path / "all.xyz", frames)
    return frames


def test_xyz_keeps_everything(tmp_path, frames):
    prepare(tmp_path / "all.xyz", "-o", tmp_path / "dos")
    found = {}
    for name in ("training", "validation", "test"):
        for atoms in ase.io.iread(tmp_path / "dos" / f"{name}.xyz"):
            found[int(atoms.info["source"].rpartition("@")[2])] = atoms
    assert sorted(found) == list(range(8))
    for i, frame in enumerate(frames):
        results, wanted = found[i].calc.results, frame.calc.results
        for key in ("energy", "forces", "stress"):
            np.testing.assert_allclose(results[key], wanted[key], atol=1e-7)
        assert found[i].info["band_gap"] == pytest.approx(0.1 * i)


def test_memmap_keeps_everything(tmp_path, frames):
    prepare(tmp_path / "all.xyz", "-o", tmp_path / "dos", "--format", "memmap")
    rows = np.genfromtxt(tmp_path / "dos" / "sources.csv", delimiter=",", dtype=str)
    chosen = [int(row[3]) for row in rows if row[0] == "training_set"]
    folder = tmp_path / "dos" / "training"
    results = {
        name: np.fromfile(folder / f"{name}.bin", np.float32)
        for name in ("energy", "forces", "stress", "band_gap")
    }
    wanted = [frames[i].calc.results for i in chosen]
    # Single precision.
    for name in ("energy", "forces"):
        values = np.concatenate([np.ravel(each[name]) for each in wanted])
        np.testing.assert_allclose(results[name], values, rtol=1e-6)
    stress = results["stress"].reshape(-1, 9)[:, [0, 4, 8, 5, 2, 1]]
    np.testing.assert_allclose(stress, [each["stress"] for each in wanted], rtol=1e-6)
    gaps = [0.1 * i for i in chosen]
    np.testing.assert_allclose(results["band_gap"], gaps, rtol=1e-6)


@pytest.mark.parametrize("format", ["xyz", "zip", "memmap"])
def test_energy_and_dos_train_together(tmp_path, frames, format):
    folder = tmp_path / "dos"
    prepare(tmp_path / "all.xyz", "-o", folder, "--format", format, "--energy")
    options = OmegaConf.load(folder / "options.yaml")
    target = options.training_set.targets.energy
    assert target.forces.key == "forces" and target.stress.key == "stress"
    options.architecture.training.num_epochs = 1
    OmegaConf.save(options, folder / "options.yaml")
    status, log = mtt("train", "options.yaml", folder=folder)
    assert status == 0, log
    assert "energy" in log and "forces" in log and "masked_dos" in log


def test_not_every_structure_has_an_energy(tmp_path, frames):
    frames[3].calc = None
    ase.io.write(tmp_path / "some.xyz", frames)
    with pytest.raises(SystemExit, match="energy: expected an energy in every struct"):
        prepare(tmp_path / "some.xyz", "-o", tmp_path / "dos", "--energy")
    prepare(tmp_path / "some.xyz", "-o", tmp_path / "dos", "--format", "memmap")
    assert not (tmp_path / "dos" / "training" / "energy.bin").exists()
