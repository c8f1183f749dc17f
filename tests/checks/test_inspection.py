"""Widths, masks and values of targets: one is wrong, and has to be found."""

from pathlib import Path

import numpy as np
import pytest
from helpers.checks import (
    EXTRA,
    LOSS,
    SPLITS,
    TARGET,
    change,
    change_frames,
    findings,
    line_of,
    only,
    where,
)
from omegaconf import OmegaConf


class TestMask:
    def test_missing(self, folder):
        change(**{f"{split}_set.extra_data": None for split in SPLITS})
        found = only("warning", "in training_set, validation_set, test_set, and")
        assert found.line == line_of("training_set:")

    def test_missing_in_validation(self, folder):
        change(**{"validation_set.extra_data": None})
        found = only("error", "validation_set has no 'mtt::dos_mask', but the training")
        assert found.line == line_of("validation_set:")

    def test_all_false(self, folder):
        def clear(position, info):
            if position in (3, 7):
                info["dos_mask"] = 0 * info["dos_mask"]

        change_frames("training", clear)
        found = only("error", "no column of 'mtt::dos' counts")
        assert where(found) == [("training_set", [3, 7])]
        assert "(training_set, in 2 structures, 3, 7)" in found.text("options.yaml")

    def test_true_in_the_padding(self, folder):
        """One wrong ``extra_targets``, and one broken mask."""
        change(**{f"{LOSS}.extra_targets": 300})
        Path("grid.json").unlink()
        found = only("error", "is true inside the first 300 columns")
        assert "so extra_targets: 200" in found.found
        assert found.line == line_of("extra_targets: 300")
        assert [each.count for each in found.occurrences] == [12, 4, 4]

        change(**{f"{LOSS}.extra_targets": EXTRA})

        def extend(position, info):
            if position == 1:
                info["dos_mask"][150:] = 1

        change_frames("test", extend)
        found = only("error", "is true inside the first 200 columns")
        assert where(found) == [("test_set", [1])]

    def test_padding_behind_the_target(self, folder):
        for split in SPLITS:

            def turn(_, info):
                info["dos"] = np.roll(info["dos"], -EXTRA)
                info["dos_mask"] = np.roll(info["dos_mask"], -EXTRA)

            change_frames(split, turn)
        found = next(each for each in findings() if "inside the first" in each.found)
        assert found.severity == "error"
        assert "padding seems to be behind the targets" in found.found

    def test_padding_wider_than_extra_targets(self, folder):
        change(**{f"{LOSS}.extra_targets": 150})
        Path("grid.json").unlink()
        found = only("warning", "no mask of 'mtt::dos' is true before column 200")
        assert found.fix.startswith("set extra_targets: 200")

    @pytest.mark.parametrize("value", [0.5, np.nan])
    def test_no_booleans(self, folder, value):
        def soften(position, info):
            if position == 2:
                info["dos_mask"][-1] = value

        change_frames("training", soften)
        found = only("error", "values other than 0 and 1")
        assert where(found) == [("training_set", [2])]
        assert found.line == line_of("mtt::dos_mask")


class TestValues:
    def break_one(self, function, split="training"):
        """Break the target of structure 1."""

        def change_one(position, info):
            if position == 1:
                function(info["dos"])

        change_frames(split, change_one)

    @pytest.mark.parametrize(
        ("value", "text"),
        [(np.nan, "is NaN where its mask"), (np.inf, "is infinite where its mask")],
    )
    def test_not_finite(self, folder, value, text):
        self.break_one(lambda dos: dos.__setitem__(EXTRA + 30, value))
        found = only("error", text)
        assert where(found) == [("training_set", [1])]
        assert found.line == line_of("mtt::dos:", 2)

    @pytest.mark.parametrize("value", [np.nan, np.inf, -3.0])
    def test_what_is_masked_does_not_matter(self, folder, value):
        self.break_one(lambda dos: dos.__setitem__(-1, value))
        assert findings() == []

    def test_negative(self, folder):
        self.break_one(lambda dos: dos.__setitem__(EXTRA + 30, -0.25), "validation")
        found = only("warning", "down to -0.25")
        assert where(found) == [("validation_set", [1])]

    def test_states_at_the_first_column(self, folder):
        self.break_one(lambda dos: dos.__setitem__(EXTRA, 0.125))
        only("warning", "behind the padding is not zero, but up to 0.125")

    def test_states_in_the_padding(self, folder):
        self.break_one(lambda dos: dos.__setitem__(EXTRA - 5, 0.5))
        only("error", "up to 0.025 states of 'mtt::dos' are in its first 200 columns")

    def test_no_states(self, folder):
        self.break_one(lambda dos: dos.fill(0))
        only("warning", "is zero wherever its mask is true")

    def test_columns_that_nobody_trusts(self, folder):
        for split in SPLITS:
            change_frames(split, lambda _, info: info["dos_mask"][-100:].fill(0))
        assert "columns of 'mtt::dos' are trusted in no" in only("note", "column").found


class TestEnergyZeros:
    def test_spread(self, folder):
        """Move two of the three crystals of silicon 6 eV apart each way."""

        def move(position, info):
            shift = {0: 60, 1: -60}.get(position, 0)
            dos = np.roll(info["dos"][EXTRA:], shift)
            info["dos"][EXTRA:] = np.where(np.arange(len(dos)) < 60, 0, dos)

        # The grid begins at the deep states of N2, far below silicon.
        change_frames("training", move)
        assert findings() == []
        for split in SPLITS:

            def cut(_, info):
                for key in ("dos", "dos_mask"):
                    info[key] = info[key][150:]

            change_frames(split, cut)
        columns = OmegaConf.load("options.yaml").training_set.targets[TARGET]
        change(
            **{
                f"{split}_set.{kind}.num_subtargets": columns.num_subtargets - 150
                for split in SPLITS
                for kind in (f"targets.{TARGET}", f"extra_data.{TARGET}_mask")
            },
            **{f"{LOSS}.extra_targets": 50},
        )
        Path("grid.json").unlink()
        found = only("warning", "eV apart in structures of the same composition and d")
        assert "(1 of training_set and 0 of training_set)" in found.found
        assert "can slide by only 2.5 eV" in found.found
        spread = float(found.found.split("seem to be ")[1].split(" eV")[0])
        # 6 eV were added; strain and disorder move these crystals by less than 1.6 eV.
        assert spread == pytest.approx(6.0, abs=1.6)
        assert found.line == line_of("extra_targets")
