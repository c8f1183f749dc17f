"""Data sets that do not fit each other, the options, or the loss."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.checks import (
    LOSS,
    SPLITS,
    TARGET,
    change,
    change_frames,
    findings,
    line_of,
    only,
)
from omegaconf import OmegaConf


class TestWidths:
    def test_target(self, folder):
        columns = OmegaConf.load("options.yaml").training_set.targets[TARGET]
        change(
            **{
                f"{split}_set.{kind}.num_subtargets": columns.num_subtargets - 5
                for split in SPLITS
                for kind in (f"targets.{TARGET}", f"extra_data.{TARGET}_mask")
            }
        )
        found = findings()
        assert [each.severity for each in found] == ["error"] * 3
        text = f"but '{TARGET}' has {columns.num_subtargets} columns in training.xyz"
        assert text in found[0].found
        assert found[0].line == line_of("num_subtargets")
        assert found[0].occurrences[0].count == 12

    def test_mask(self, folder):
        key = f"training_set.extra_data.{TARGET}_mask.num_subtargets"
        change(**{key: 900})
        found = only("error", "columns in training.xyz, but num_subtargets is 900")
        assert found.line == line_of("num_subtargets: 900")

    def test_between_data_sets(self, folder):
        for kind in ("dos", "dos_mask"):

            def cut(_, info, kind=kind):
                info[kind] = info[kind][:-7]

            change_frames("validation", cut)
        columns = OmegaConf.load("options.yaml").training_set.targets[TARGET]
        change(
            **{
                f"validation_set.{kind}.num_subtargets": columns.num_subtargets - 7
                for kind in (f"targets.{TARGET}", f"extra_data.{TARGET}_mask")
            }
        )
        found = only("error", "in validation_set and")
        assert found.line == line_of("num_subtargets", 2)

    def test_nothing_behind_the_padding(self, folder):
        columns = OmegaConf.load("options.yaml").training_set.targets[TARGET]
        change(**{f"{LOSS}.extra_targets": columns.num_subtargets})
        Path("grid.json").unlink()
        only("error", f"and extra_targets is {columns.num_subtargets}")


class TestGrid:
    @pytest.mark.parametrize(
        ("option", "value"), [("grid_spacing", 0.1), ("extra_targets", 150)]
    )
    def test_disagrees_with_the_loss(self, folder, option, value):
        change(**{f"{LOSS}.{option}": value})
        text = f"{option} is {value}, but the data were written with"
        (found,) = (each for each in findings() if text in each.found)
        assert found.severity == "error" and "grid.json" in found.found
        assert found.line == line_of(f"{option}: {value}")

    def test_default_spacing_counts(self, folder):
        written = json.loads(Path("grid.json").read_text("utf-8"))
        written["grid"]["spacing"] = 0.1
        Path("grid.json").write_text(json.dumps(written), "utf-8")
        change(**{f"{LOSS}.grid_spacing": None})
        found = only(
            "error", "grid_spacing is 0.05, but the data were written with 0.1"
        )
        assert found.line == line_of("loss:") + 1

    def test_broken_file(self, folder):
        Path("grid.json").write_text("{}", "utf-8")
        only("warning", "grid.json: expected the choices of a data set")


class TestSpinChannels:
    @pytest.fixture
    def two_channels(self, folder):
        """Put half of each target into each of two channels."""
        columns = OmegaConf.load("options.yaml").training_set.targets[TARGET]
        for split in SPLITS:

            def double(_, info):
                info["dos"] = np.tile(np.asarray(info["dos"]) / 2, 2)
                info["dos_mask"] = np.tile(info["dos_mask"], 2)

            change_frames(split, double)
        width = 2 * columns.num_subtargets
        keys = [
            f"{split}_set.{kind}.num_subtargets"
            for split in SPLITS
            for kind in (f"targets.{TARGET}", f"extra_data.{TARGET}_mask")
        ]
        change(**dict.fromkeys(keys, width), **{f"{LOSS}.spin_channels": 2})
        grid = json.loads(Path("grid.json").read_text())
        Path("grid.json").write_text(json.dumps({**grid, "spin_resolved": True}))
        return keys

    def test_as_it_should_be(self, two_channels):
        assert findings() == []

    def test_the_loss_does_not_know(self, two_channels):
        change(**{f"{LOSS}.spin_channels": None})
        found = next(each for each in findings() if "spin_channels" in each.found)
        assert found.severity == "error"
        assert found.found.startswith("spin_channels is 1, but the data were written")

    def test_padding_of_the_second_channel(self, two_channels):
        def trust(_, info):
            info["dos_mask"][len(info["dos_mask"]) // 2] = 1

        change_frames("training", trust)
        assert any("padding" in each.found + each.why for each in findings())

    def test_columns_that_cannot_be_divided(self, two_channels):
        change(**dict.fromkeys(two_channels, 1001))
        found = next(each for each in findings() if "spin_channels is 2" in each.found)
        assert found.severity == "error" and found.fix.endswith("of spin_channels")
