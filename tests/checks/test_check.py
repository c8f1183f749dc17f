"""``mtt-dos check``: one thing is broken in each test, and has to be found."""

import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from helpers.paths import STRUCTURES
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatomic.torch import systems_to_torch
from metatrain.utils.data.writers import DiskDatasetWriter
from omegaconf import OmegaConf

from metatrain_dos.checks.energy_zeros import ReferenceSpread, level_energies
from metatrain_dos.checks.run import diagnose
from metatrain_dos.commands.check import check
from metatrain_dos.data.dataset import TargetSpec, write_dataset
from metatrain_dos.data.options_file import OptionsFile, UnusableOptionsError
from metatrain_dos.data.readers import read_extxyz
from metatrain_dos.data.samples import Sample


BIN = Path(sys.executable).parent
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


class TestHealthy:
    def test_nothing_is_found(self, folder, capsys):
        assert check("options.yaml") == 0
        assert capsys.readouterr().out == (
            "options.yaml: nothing wrong in 20 structures "
            "(training_set 12, validation_set 4, test_set 4)\n"
        )

    @pytest.mark.parametrize("loss", ["masked_dos", {TARGET: "masked_dos"}])
    def test_shorthands_of_the_loss(self, folder, loss):
        change(**{f"{TRAINING}.loss": loss})
        only("note", "int_weight is 2, the default")
        change(**{f"{TRAINING}.scale_targets": True})
        assert {each.severity for each in findings()} == {"note", "error"}

    def test_fractions_and_lists_and_indices(self, folder):
        options = OmegaConf.load("options.yaml")
        options.training_set = [options[f"{split}_set"] for split in SPLITS]
        options.validation_set = 0.1
        Path("some.txt").write_text("0\n2\n")
        options.training_set[1].indices = "some.txt"
        options.test_set = 0.0
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


class TestOptions:
    def test_wrong_options_have_a_line_each(self, folder):
        change(**{f"{LOSS}.int_wieght": 1, f"{LOSS}.grad_weight": -1})
        first, second = findings()
        assert first.severity == second.severity == "error"
        assert "(did you mean 'int_weight'?)" in first.found
        assert "'grad_weight' must be a finite number >= 0, got -1" in second.found
        assert first.line == line_of("int_wieght")
        assert second.line == line_of("grad_weight")

    @pytest.mark.parametrize(("weight", "count"), [(0.0, 0), (0.1, 0), (2.0, 1)])
    def test_heavy_cumulative_term(self, folder, weight, count):
        change(**{f"{LOSS}.int_weight": weight})
        found = findings()
        assert [each.severity for each in found] == ["note"] * count
        assert [each.line for each in found] == [line_of("int_weight")] * count

    def test_unknown_target(self, folder):
        light = {"type": "masked_dos", "int_weight": 0.0}
        change(**{f"{TRAINING}.loss": {"mtt::ods": "masked_dos", TARGET: light}})
        found = only("error", "'mtt::ods' is no target of the training set")
        assert found.line == line_of("mtt::ods") and "'mtt::dos'" in found.fix

    def test_mistyped_loss(self, folder):
        change(**{f"{LOSS}.type": "maskd_dos"})
        found = only("error", "Unknown loss 'maskd_dos', did you mean 'masked_dos'?")
        assert found.line == line_of("loss:")

    @pytest.mark.parametrize("architecture", ["pet", "soap_bpnn"])
    @pytest.mark.parametrize(
        ("option", "severity", "text"),
        [
            ("scale_targets", "error", "scale_targets is true, the default of"),
            ("atomic_baseline", "error", "is not 0.0 but fitted, the default of"),
            ("best_model_metric", "warning", "e_prod, the default of"),
        ],
    )
    def test_defaults(self, folder, architecture, option, severity, text):
        change(**{f"{TRAINING}.{option}": None, "architecture.name": architecture})
        found = only(severity, text)
        assert found.path.startswith(f"{TRAINING}.{option}")
        assert found.line == line_of("  training:")

    @pytest.mark.parametrize(
        ("option", "value", "severity", "text"),
        [
            ("scale_targets", True, "error", "scale_targets is true"),
            ("atomic_baseline", {TARGET: 1.5}, "error", "is not 0.0 but 1.5"),
            ("atomic_baseline", {"other": 0.0}, "error", "is not 0.0 but fitted"),
            ("best_model_metric", "mae_prod", "warning", "best_model_metric is mae_pr"),
            ("per_structure_targets", [TARGET], "note", "is in per_structure_targets"),
        ],
    )
    def test_choices(self, folder, option, value, severity, text):
        change(**{f"{TRAINING}.{option}": value})
        assert only(severity, text).line >= line_of(option)

    def test_what_metatrain_refuses(self, folder):
        change(**{f"{TRAINING}.batch_sice": 3})
        assert only("error", "Extra inputs").line == line_of("batch_sice")

    def test_unknown_architecture(self, folder):
        change(**{"architecture.name": "pett"})
        assert only("error", "'pett'").line == line_of("name: pett")

    def test_what_metatrain_refuses_of_the_outline(self, folder):
        change(seeed=3)
        assert only("error", "Extra inputs").line == line_of("seeed")
        change(seeed=None, **{"validation_set.systems.lenght_unit": "angstrom"})
        found = only("error", "Extra inputs")
        assert found.path == "validation_set.systems.lenght_unit"
        assert found.line == line_of("lenght_unit")


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
        found = only("error", "is to be compared nowhere")
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
        found = only("error", "other numbers than 0 and 1")
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
        only(
            "warning", "not zero at its first column behind the padding, but up to 0.1"
        )

    def test_states_in_the_padding(self, folder):
        self.break_one(lambda dos: dos.__setitem__(EXTRA - 5, 0.5))
        only("warning", "is up to 0.5 inside the first 200 columns")

    def test_no_states(self, folder):
        self.break_one(lambda dos: dos.fill(0))
        only("warning", "is zero wherever it is to be compared")

    def test_columns_that_nobody_trusts(self, folder):
        for split in SPLITS:
            change_frames(split, lambda _, info: info["dos_mask"][-100:].fill(0))
        assert "columns of 'mtt::dos' are trusted in no" in only("note", "column").found


class TestReferences:
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
        assert "can slide by 2.5 eV only" in found.found
        spread = float(found.found.split("seem to be ")[1].split(" eV")[0])
        # 6 eV were added; strain and disorder move these crystals by less than 1.6 eV.
        assert spread == pytest.approx(6.0, abs=1.6)
        assert found.line == line_of("extra_targets")

    def test_levels(self):
        """A flat DOS of 2 states per eV and atom from 1 eV on."""
        energies = 0.05 * np.arange(201)
        dos = np.where(energies > 1, 2.0, 0.0)
        levels = level_energies(dos, energies <= 4, 0.05)
        # 0.25 states are there at 1.125 eV, 6 at 4 eV, where trust ends
        assert levels[0] == pytest.approx(1.125, abs=0.01)
        assert np.isfinite(levels[:23]).all() and np.isnan(levels[24:]).all()

    def test_a_rigid_shift_is_measured_exactly(self):
        energies = 0.1 * np.arange(400)
        trusted = np.ones(400, dtype=bool)
        spread = ReferenceSpread()
        for position, shift in enumerate((0.0, 3.2, -1.1)):
            dos = 3 * np.exp(-0.5 * (energies - 15 - shift) ** 2)
            spread.add(f"{position}", "X", 0.05, dos, trusted, 0.1)
        widest = spread.widest()
        # a sum stands for the integral, so a tenth of a column
        assert widest.spread == pytest.approx(4.3, abs=0.01)
        assert (widest.lowest_name, widest.highest_name) == ("2", "1")

    def test_kinds_are_not_mixed(self):
        spread = ReferenceSpread()
        dos = np.exp(-0.5 * (np.arange(200) - 50.0) ** 2)
        trusted = np.ones(200, dtype=bool)
        spread.add("a", "X", 0.05, dos, trusted, 0.1)
        spread.add("b", "Y", 0.05, np.roll(dos, 90), trusted, 0.1)
        spread.add("c", "X", 0.08, np.roll(dos, 90), trusted, 0.1)
        spread.add("d", "X", 0.0, np.roll(dos, 90), trusted, 0.1)
        assert spread.widest().spread == 0
        spread.add("e", "X", 0.07, np.roll(dos, 50), trusted, 0.1)
        assert spread.widest().spread == pytest.approx(5, abs=0.01)

    def test_composition_and_density(self):
        def sample(numbers, volume):
            atoms = ase.Atoms(numbers, cell=[volume, 1.0, 1.0] if volume else None)
            return Sample(0, atoms, np.zeros((1, 1)), None)

        assert sample([14] * 8, 160.0).composition == ((14, 1),)
        assert sample([1, 8, 1] * 2, 50.0).composition == ((1, 2), (8, 1))
        assert sample([14] * 8, 160.0).density == pytest.approx(0.05)
        assert sample([14] * 8, 0.0).density == 0


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
        change(validation_set={"indices": [0, 11, 12]})
        found = only("error", "1 of 3 indices are beyond the end")
        assert found.line == line_of("indices")

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


# A list of ten, ten of these, ten of these...
ALIASES = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 10)}]\n"
    for old, new in zip("abcdefghi", "bcdefghij", strict=True)
)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "expected an options file, got No such file"),
        ("a: [1", "expected YAML, got line"),
        ("a: 1\na: 2\n", "expected YAML, got line 2"),
        ("- 1\n", "got a sequence"),
        ("nothing but text", "got a scalar"),
        ("", "got nothing"),
        (b"\xff\xfe\xfa", "expected YAML, got"),
        ("a: 1\n".encode("utf-16"), "expected YAML, got"),
        ("a: \0\n", "expected YAML, got"),
        ("a: !!python/object/apply:os.system ['touch owned']", "expected YAML, got"),
        ("a: " + "9" * 5000, "expected YAML, got"),
        ("a: " + "[" * 5000 + "]" * 5000, "expected YAML, got"),
        ("a: &a [*a]\n", "an alias inside of what it stands for"),
        (ALIASES, "expected at most 100000 entries, got more"),
        ("".join(f"k{i}: 1\n" for i in range(60_000)), "at most 100000 entries"),
    ],
    # Some are too long to be names.
    ids=lambda value: repr(value)[:20],
)
def test_unusable_options(tmp_path, capsys, content, text):
    path = tmp_path / "options.yaml"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UnusableOptionsError, match=text):
        OptionsFile.read(path)
    assert check(str(path)) == 2
    assert text in capsys.readouterr().err
    assert check(str(path), as_json=True) == 2
    (found,) = json.loads(capsys.readouterr().out)["findings"]
    assert found["severity"] == "error" and text in found["found"]


def test_options_that_have_no_end(tmp_path, no_waiting):
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    for name in ("pipe.yaml", "zero.yaml"):
        with pytest.raises(UnusableOptionsError, match=rf"{name}: .*got a pipe or"):
            OptionsFile.read(tmp_path / name)


def test_options_that_are_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr("metatrain_dos.utils.files.LARGEST_TEXT", 3)
    path = tmp_path / "options.yaml"
    path.write_text("a: 1\n")
    with pytest.raises(UnusableOptionsError, match="got more than 3 letters; correct"):
        OptionsFile.read(path)


def test_options_without_anything(tmp_path):
    path = tmp_path / "options.yaml"
    path.write_text("seed: 1\n")
    assert {each.severity for each in findings(path)} == {"error"}


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
