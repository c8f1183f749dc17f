"""Calculations of the same structure, and near relatives, in a data set."""

import ase.io
import pytest
from helpers.calculations import crystal, made_up, rattled
from helpers.prepare import prepare, report


def splits(folder):
    """Source -> its sets, in the order of the structures."""
    found = {}
    for row in report(folder)["trusted_ranges"]:
        found.setdefault(row["source"].rpartition("/")[2], []).append(row["split"])
    return found


def write(path, *frames):
    ase.io.write(path, frames)
    return path


@pytest.fixture
def runs(tmp_path):
    """Make a folder of twelve different calculations."""
    folder = tmp_path / "runs"
    folder.mkdir()
    for i in range(12):
        write(folder / f"{i:02d}.xyz", made_up(crystal(i), seed=i, run=f"r{i}"))
    return folder


class TestSameStructure:
    def test_the_best_is_kept(self, tmp_path, runs, capsys):
        twin = crystal(3)[::-1]
        twin.positions += twin.cell.array[0]
        write(runs / "aa-dense.xyz", made_up(twin, mesh=27))
        write(runs / "zz-bands.xyz", made_up(twin, mesh=27, bands=9))
        write(runs / "zz-coarse.xyz", made_up(twin, mesh=2))
        write(runs / "zz-copy.xyz", made_up(crystal(5), seed=5))
        prepare(runs, "-o", tmp_path / "dos")
        summary = report(tmp_path / "dos")
        assert summary["structures"] == 12
        kept = splits(tmp_path / "dos")
        assert {"zz-bands.xyz", "zz-copy.xyz"} <= set(kept)
        twins = {
            each["source"].rpartition("/")[2]: each["same_as"]["source"]
            for each in summary["duplicates"]
        }
        assert set(twins) == {"03.xyz", "aa-dense.xyz", "zz-coarse.xyz", "05.xyz"}
        assert twins["03.xyz"] == str(runs / "zz-bands.xyz")
        assert twins["05.xyz"] == str(runs / "zz-copy.xyz")
        printed = capsys.readouterr().out
        assert "4 the same structure as another one, and not used" in printed
        assert f"same structure as {runs / 'zz-copy.xyz'}, structure 0" in printed

    @pytest.mark.parametrize("by", ["family", "none", "run"])
    def test_twins_that_are_kept_are_in_one_split(self, tmp_path, runs, by):
        for i in range(12):
            again = made_up(crystal(i), seed=i, run=f"again{i}")
            write(runs / f"again-{i}.xyz", again)
        prepare(
            *(runs, "-o", tmp_path / "dos", "--keep-duplicates"),
            *("--group-by", by, "--split", "0.5,0.25,0.25"),
        )
        rows = report(tmp_path / "dos")["trusted_ranges"]
        assert len(rows) == 24
        by_family = {}
        for row in rows:
            by_family.setdefault(row["family"], set()).add(row["split"])
        assert len(by_family) == 12
        assert all(len(found) == 1 for found in by_family.values())


class TestRelatives:
    def test_stay_together(self, tmp_path, runs, capsys):
        frames = [made_up(rattled(crystal(77), i), seed=i) for i in range(10)]
        write(runs / "trajectory.xyz", *frames[:8])
        write(runs / "a-static.xyz", frames[8])
        write(runs / "z-relax.xyz", frames[9])
        prepare(runs, "-o", tmp_path / "dos", "--split", "0.5,0.25,0.25")
        found = splits(tmp_path / "dos")
        together = [
            *found["trajectory.xyz"],
            *found["a-static.xyz"],
            *found["z-relax.xyz"],
        ]
        assert len(together) == 10 and len(set(together)) == 1
        split = report(tmp_path / "dos")["split"]
        assert split["families"] == 13 and split["leaked"] == 0
        # A held-out structure of the family has nine relatives, each in training with
        # a probability of one half; the others have none.
        expected = 10 / 22 * (1 - 0.5**9)
        assert split["leaked_at_random"] == pytest.approx(expected, abs=1e-3)
        assert "near relatives stay together" in capsys.readouterr().out

    def test_a_leak_is_told(self, tmp_path, capsys):
        frames = [made_up(rattled(crystal(77), i), seed=i) for i in range(30)]
        path = write(tmp_path / "trajectory.xyz", *frames)
        with pytest.raises(SystemExit, match="none of 30 structures in 1 groups"):
            prepare(path, "-o", tmp_path / "dos")
        prepare(path, "-o", tmp_path / "dos", "--group-by", "none")
        held_out = report(tmp_path / "dos")["splits"]
        number = held_out["validation_set"] + held_out["test_set"]
        assert number > 0
        assert f"warning: {number} in validation or test with a near" in (
            capsys.readouterr().out
        )


class TestExtended:
    def test_structures_stay_where_they_were(self, tmp_path, runs):
        prepare(runs, "-o", tmp_path / "old", "--energy-range", -20, 12)
        for i in range(12, 36):
            write(runs / f"{i:02d}.xyz", made_up(crystal(i), seed=i))
        write(runs / "relative.xyz", made_up(rattled(crystal(4), 0), seed=99))
        prepare(runs, "-o", tmp_path / "new", "--like", tmp_path / "old", "--seed", 8)
        old, new = splits(tmp_path / "old"), splits(tmp_path / "new")
        assert {name: new[name] for name in old} == old
        assert new["relative.xyz"] == old["04.xyz"]
        assert {row[0] for row in old.values()} == {
            "training_set",
            "validation_set",
            "test_set",
        }

    def test_without_the_old_one_most_stay(self, tmp_path, runs):
        """Only a set that had to be filled with the nearest structure may change."""
        found = {}
        for name, number in (("old", 12), ("new", 24)):
            for i in range(12, number):
                write(runs / f"{i:02d}.xyz", made_up(crystal(i), seed=i))
            prepare(
                *(runs, "-o", tmp_path / name, "--energy-range", -20, 12),
                *("--split", "0.4,0.3,0.3"),
            )
            found[name] = splits(tmp_path / name)
        assert {name: found["new"][name] for name in found["old"]} == found["old"]

    def test_headroom(self, tmp_path, runs):
        prepare(runs, "-o", tmp_path / "old", "--energy-range", -20, 12)
        grid = report(tmp_path / "old")["grid"]
        assert (grid["first"], grid["last"]) == pytest.approx((-20, 12))
        prepare(runs, "-o", tmp_path / "small", "--energy-range", -13.4, 12)
        left_out = report(tmp_path / "small")["left_out"]
        assert left_out
        assert (
            "(the lowest state less 5 smearings), and the grid at -13.40 eV"
            in (left_out[0]["reason"])
        )
