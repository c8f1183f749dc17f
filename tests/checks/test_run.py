"""All checks of an options file and its data."""

import shutil
import warnings
from pathlib import Path

import ase.io
import numpy as np
import pytest
from helpers.checks import (
    EXTRA,
    SPLITS,
    TARGET,
    TRAINING,
    change,
    change_frames,
    findings,
    line_of,
    only,
    write_memmap,
    write_zip,
)
from omegaconf import OmegaConf

from metatrain_dos.checks.run import diagnose
from metatrain_dos.data.options_file import OptionsFile


class TestHealthy:
    @pytest.mark.parametrize("loss", ["masked_dos", {TARGET: "masked_dos"}])
    def test_shorthands_of_the_loss(self, folder, loss):
        change(**{f"{TRAINING}.loss": loss})
        assert findings() == []
        change(**{f"{TRAINING}.scale_targets": True})
        assert {each.severity for each in findings()} == {"error"}

    def test_fractions_and_lists_and_indices(self, folder):
        options = OmegaConf.load("options.yaml")
        options.training_set = [options[f"{split}_set"] for split in SPLITS]
        options.validation_set = 0.1
        Path("some.txt").write_text("0\n2\n")
        options.training_set[1].indices = "some.txt"
        options.test_set = 0.0
        options.architecture.training.batch_size = 2
        OmegaConf.save(options, "options.yaml")
        diagnosis = diagnose(OptionsFile.read("options.yaml"))
        assert diagnosis.findings == []
        counts = {"training_set[0]": 12, "training_set[1]": 2, "training_set[2]": 4}
        assert diagnosis.structures == counts

    def test_other_losses_are_not_looked_at(self, folder):
        change(**{f"{TRAINING}.loss": {TARGET: "mse"}})
        change(**{f"{TRAINING}.scale_targets": True})
        only("note", "no target has the loss 'masked_dos'")

    def test_nan_is_a_mask(self, folder):
        for split in SPLITS:

            def mask(_, info):
                info["dos"] = np.where(info["dos_mask"] == 0, np.nan, info["dos"])

            change_frames(split, mask)
        change(**{f"{split}_set.extra_data": None for split in SPLITS})
        assert findings() == []


class TestFiles:
    def test_missing(self, folder):
        Path("test.xyz").unlink()
        found = only("error", "cannot be read: there is no test.xyz")
        assert found.line == line_of("read_from: test")

    def test_missing_file_of_another_target(self, folder):
        change(validation_set="nowhere.xyz")
        found = findings()
        assert "cannot be read: there is no nowhere.xyz" in found[0].found
        assert found[0].line == line_of("nowhere.xyz")

    def test_truncated(self, folder):
        text = Path("training.xyz").read_text("utf-8")
        Path("training.xyz").write_text(text[: len(text) // 2], "utf-8")
        found = [each for each in findings() if "cannot be read" in each.found]
        assert [each.line for each in found] == [line_of("read_from: training")]

    def test_wrong_key(self, folder):
        change(**{f"training_set.targets.{TARGET}.key": "pdos"})
        only("error", "structure 0: no 'pdos' in its info")

    def test_unknown_kind_of_file(self, folder):
        Path("training.xyz").rename("training.dat")
        change(**{"training_set.systems.read_from": "training.dat"})
        only("error", "File extension '.dat'")

    def test_indices_beyond_the_end(self, folder):
        change(**{"training_set.indices": list(range(1, 11))})
        change(validation_set={"indices": [0, 11, 12]})
        found = only("error", "1 of 3 indices are beyond the end")
        assert found.line == line_of("indices", 1)

    def test_from_another_folder(self, folder, monkeypatch):
        monkeypatch.chdir(folder.parent)
        found = findings(f"{folder.name}/options.yaml")
        assert {each.severity for each in found} == {"note"}
        assert all(f"`mtt train` in {folder.name}" in each.fix for each in found)

    def test_validation_without_the_target(self, folder):
        target = OmegaConf.load("options.yaml").validation_set.targets[TARGET]
        change(**{"validation_set.targets": {"mtt::other": target}})
        assert findings()[0].severity == "error"
        assert findings()[0].found == "validation_set has no 'mtt::dos'"
        assert findings()[0].line == line_of("  targets:", 1)


def test_options_without_anything(tmp_path):
    path = tmp_path / "options.yaml"
    path.write_text("seed: 1\n")
    assert {each.severity for each in findings(path)} == {"error"}


@pytest.mark.parametrize(
    ("suffix", "write"),
    [(".zip", write_zip), ("", write_memmap)],
    ids=["zip", "memmap"],
)
class TestLargeFormats:
    def make(self, suffix, write, change=lambda frames: None):
        for split in SPLITS:
            frames = ase.io.read(f"{split}.xyz", ":")
            change(frames)
            write(Path(f"{split}{suffix}"), frames)
            Path(f"{split}.xyz").unlink()
            options = OmegaConf.load("options.yaml")
            options[f"{split}_set"].systems.read_from = f"{split}{suffix}"
            OmegaConf.save(options, "options.yaml")

    def test_healthy(self, folder, suffix, write):
        self.make(suffix, write)
        diagnosis = diagnose(OptionsFile.read("options.yaml"))
        assert diagnosis.findings == []
        assert sum(diagnosis.structures.values()) == 20

    def test_width(self, folder, suffix, write):
        self.make(suffix, write)
        key = f"training_set.targets.{TARGET}.num_subtargets"
        columns = OmegaConf.load("options.yaml").training_set.targets[TARGET]
        change(**{key: columns.num_subtargets - 1})
        # metatrain goes by the file if it is a zip file
        found = only("warning" if suffix else "error", "columns in training")
        assert f"has {columns.num_subtargets} columns" in found.found
        assert found.occurrences[0].count == 12

    def test_values(self, folder, suffix, write):
        def spoil(frames):
            frames[2].info["dos"][EXTRA + 30] = np.nan

        self.make(suffix, write, spoil)
        found = findings()
        assert len(found) == 3  # one data set each
        for each in found:
            assert "is NaN where its mask is true" in each.found
            assert [of.structures for of in each.occurrences] == [[2]]

    def test_wrong_key(self, folder, suffix, write):
        self.make(suffix, write)
        change(**{f"training_set.targets.{TARGET}.key": "pdos"})
        assert "pdos" in only("error", "cannot be read: ").found


def test_targets_in_a_file_of_their_own(folder):
    """Whatever else metatrain reads is read by metatrain."""
    shutil.copy("training.xyz", "targets.xyz")
    change(**{f"training_set.targets.{TARGET}.read_from": "targets.xyz"})
    assert findings() == []
    change(**{f"training_set.targets.{TARGET}.key": "pdos"})
    only("error", "Target key 'pdos' was not found")


def test_what_corrupts_a_training_in_metatrain(folder):
    """
    A data set that is too narrow in the options is read askew, without a word.

    This is why a check of the files is needed: metatrain itself opens them.
    """
    from metatrain.utils.data.dataset import MemmapDataset

    frames = ase.io.read("training.xyz", ":")
    write_memmap(folder / "memmap", frames)
    columns = len(frames[0].info["dos"])
    options = OmegaConf.load("options.yaml").training_set.targets
    options[TARGET].num_subtargets = columns - 5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        second = MemmapDataset("memmap", options)[1][TARGET].block().values[0].numpy()
    expected = np.concatenate([frames[0].info["dos"][-5:], frames[1].info["dos"]])
    np.testing.assert_allclose(second, expected[: columns - 5], rtol=1e-6)
