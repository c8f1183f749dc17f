"""The command that makes data sets, on real outputs, whatever happens to it."""

import re
from dataclasses import replace
from pathlib import Path

import ase.io
import matplotlib.figure
import numpy as np
import pytest
from helpers.calculations import crystal, made_up
from helpers.paths import STRUCTURES
from helpers.prepare import contents, copies, prepare, report
from helpers.processes import mtt
from omegaconf import OmegaConf

from metatrain_dos.data.dataset import TargetSpec
from metatrain_dos.data.readers import read_extxyz


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """Make a data set of the shipped structures."""
    folder = tmp_path_factory.mktemp("shipped") / "dos"
    prepare(STRUCTURES, "-o", folder, "--stratify-by", "material")
    return folder


class TestDataSet:
    def test_files(self, shipped):
        assert sorted(contents(shipped)) == [
            "grid.json",
            "options.yaml",
            "report.json",
            "sources.csv",
            "test.xyz",
            "training.xyz",
            "trusted-ranges.png",
            "validation.xyz",
        ]
        assert not shipped.with_name("dos.unfinished").exists()

    def test_is_what_the_calculations_say(self, shipped):
        calculations = list(read_extxyz(STRUCTURES))
        made = TargetSpec.read(shipped / "grid.json")
        wanted = TargetSpec.covering(calculations, reference="neutral")
        assert replace(made, valences=None) == wanted

        front, rows = made.extra_targets, report(shipped)["trusted_ranges"]
        frames = {
            f"{name}_set": iter(ase.io.iread(shipped / f"{name}.xyz"))
            for name in ("training", "validation", "test")
        }
        assert len(rows) == len(calculations)
        for calculation, row in zip(calculations, rows, strict=True):
            frame = next(frames[row["split"]])
            np.testing.assert_allclose(
                frame.positions,
                calculation.atoms.positions,
                atol=1e-7,  # decimals of the file
            )
            dos, mask = made.dos_and_mask(calculation)
            np.testing.assert_allclose(frame.info["dos"][front:], dos, atol=1e-6)
            np.testing.assert_array_equal(frame.info["dos_mask"][front:], mask)
            assert row["material"] == calculation.atoms.info["material"]
            assert frame.info["source"] == f"{STRUCTURES}@{row['number']}"
            last = made.grid.energies[mask][-1]
            assert last <= row["trusted_limit"] < last + made.grid.spacing

    def test_stratified(self, shipped):
        rows = report(shipped)["trusted_ranges"]
        for split in ("validation_set", "test_set"):
            held_out = [row["material"] for row in rows if row["split"] == split]
            assert len(held_out) == len(set(held_out)) == 32

    def test_report(self, shipped):
        told = report(shipped)
        assert told["structures"] == 224 and told["atoms"] == 602
        assert told["elements"][:3] == ["H", "Li", "Be"] and len(told["elements"]) == 20
        assert told["electrons"]["checked"] == 224 and not told["electrons"]["off"]
        # test_training_cost.py compares this with a measurement
        assert told["memory"] > 224 * 2 * 1370 * 8
        assert not told["unreadable"] and not told["left_out"]

    def test_groups_stay_together(self, tmp_path):
        prepare(STRUCTURES, "-o", tmp_path / "dos", "--group-by", "material")
        rows = report(tmp_path / "dos")["trusted_ranges"]
        splits = {}
        for row in rows:
            splits.setdefault(row["material"], set()).add(row["split"])
        assert all(len(found) == 1 for found in splits.values())
        assert set.union(*splits.values()) == {
            "training_set",
            "validation_set",
            "test_set",
        }

    def test_seed(self, tmp_path):
        made = {}
        for name, seed in (("a", 0), ("b", 0), ("c", 1)):
            prepare(STRUCTURES, "-o", tmp_path / name, "--seed", seed)
            made[name] = contents(tmp_path / name)
        assert made["a"] == made["b"] != made["c"]

    def test_workers_change_nothing(self, tmp_path, shipped):
        prepare(
            *(STRUCTURES, "-o", tmp_path / "dos", "--stratify-by", "material"),
            *("--workers", 2),
        )
        assert contents(tmp_path / "dos") == contents(shipped)

    @pytest.mark.parametrize("reference", ["fermi", "vbm"])
    def test_reference(self, tmp_path, reference):
        folder = tmp_path / "dos"
        prepare(STRUCTURES, "-o", folder, "--reference", reference)
        made = TargetSpec.read(folder / "grid.json")
        calculations = list(read_extxyz(STRUCTURES))
        wanted = TargetSpec.covering(calculations, reference=reference)
        assert replace(made, valences=None) == wanted
        frames = ase.io.read(folder / "training.xyz", ":")
        if reference == "vbm":
            assert {frame.info["highest_occupied"] for frame in frames} == {0.0}
        else:
            assert max(frame.info["highest_occupied"] for frame in frames) < 1e-3


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), (0.05, 0.9, 200)),
        (("--smearing", "0.5"), (0.05, 1.5, 200)),
        (("--smearing", "0.04"), (0.02, 0.12, 500)),
        (("--smearing", "0.1", "--grid-spacing", "0.1"), (0.1, 0.3, 100)),
        (("--trust-margin", "0.2", "--extra-targets", "7"), (0.05, 0.2, 7)),
    ],
)
def test_grid_follows_the_smearing(tmp_path, options, expected):
    ase.io.write(tmp_path / "all.xyz", [made_up(crystal(i), seed=i) for i in range(8)])
    prepare(tmp_path / "all.xyz", "-o", tmp_path / "dos", *options)
    spec = TargetSpec.read(tmp_path / "dos" / "grid.json")
    assert (spec.grid.spacing, spec.trust_margin, spec.extra_targets) == expected


class TestTraining:
    def test_network_and_length_suit_the_data(self, shipped):
        architecture = OmegaConf.load(shipped / "options.yaml").architecture
        assert architecture.name == "soap_bpnn" and not architecture.model.legacy
        assert architecture.training.num_epochs == 150  # 3000 steps
        told = report(shipped)
        assert architecture.training.loss["mtt::dos"].int_weight == 0.01
        assert told["training"]["architecture"] == "soap_bpnn"
        assert 60 < told["training"]["seconds"] < 600

    def test_another_network(self, tmp_path, capsys):
        outputs = copies(tmp_path / "outputs", 10)
        prepare(outputs, "-o", tmp_path / "dos", "--architecture", "pet")
        architecture = OmegaConf.load(tmp_path / "dos" / "options.yaml").architecture
        assert architecture.name == "pet" and architecture.model.d_pet == 64
        printed = capsys.readouterr().out
        assert re.search(r"training +pet, \d+ epochs in batches of 2: about ", printed)

    @pytest.mark.parametrize(
        ("format", "more"),
        [
            ("xyz", []),
            ("zip", []),
            ("memmap", []),
            ("memmap", ["--spin-resolved"]),
        ],
    )
    def test_trains_as_it_stands(self, tmp_path, format, more):
        copies(tmp_path / "outputs", 6)
        copies(tmp_path / "outputs", 4, "hydrogen-lsda")
        folder = tmp_path / "dos"
        # With this seed no set has single atoms only, which memmap cannot hold.
        more = ("--format", format, "--seed", 4, *more)
        prepare(tmp_path / "outputs", "-o", folder, *more)
        options = OmegaConf.load(folder / "options.yaml")
        options.architecture.training.num_epochs = 1
        OmegaConf.save(options, folder / "options.yaml")
        status, log = mtt("train", "options.yaml", folder=folder)
        assert status == 0, log
        assert (folder / "model.pt").exists()
        assert "masked_dos" in log


class TestDefaultFormat:
    @pytest.fixture
    def limit(self, monkeypatch):
        """Call what takes 100 kB large, for 12 structures to be enough."""
        for module in ("commands.prepare", "data.prepare.report_lines"):
            monkeypatch.setattr(f"metatrain_dos.{module}.LARGE_MEMORY", 1e5)

    @pytest.mark.parametrize(
        ("name", "format"), [("silicon", "memmap"), ("aluminium", "zip")]
    )
    def test_large_sets_are_read_from_disk(self, tmp_path, capsys, limit, name, format):
        outputs = copies(tmp_path / "outputs", 12, f"espresso-{name}")
        prepare(outputs, "-o", tmp_path / "dos", "--group-by", "none")
        told = report(tmp_path / "dos")
        assert told["memory"] == 0 and told["structures"] == 12
        assert f"MB of {format}; in training: read from" in capsys.readouterr().out
        options = OmegaConf.load(tmp_path / "dos" / "options.yaml")
        ending = {"memmap": "", "zip": ".zip"}[format]
        assert options.training_set.systems.read_from == f"training{ending}"

    def test_unless_told_otherwise(self, tmp_path, capsys, limit):
        outputs = copies(tmp_path / "outputs", 12, "espresso-silicon")
        prepare(outputs, "-o", tmp_path / "dos", "--format", "xyz")
        assert report(tmp_path / "dos")["memory"] > 1e5
        printed = capsys.readouterr().out
        assert "mtt train will hold 0 MB in memory; --format memmap takes" in printed

    def test_small_sets_can_be_read_by_people(self, tmp_path):
        prepare(copies(tmp_path / "outputs", 12), "-o", tmp_path / "dos")
        assert (tmp_path / "dos" / "training.xyz").exists()


class TestMistakes:
    def test_what_cannot_be_read_is_reported(self, tmp_path, capsys):
        outputs = copies(tmp_path / "outputs", 12)
        whole = (outputs / "silicon-00000.xml").read_text()
        (outputs / "silicon-00003.xml").write_text(whole[: len(whole) // 2])
        (outputs / "silicon-00005.xml").write_text("")
        (outputs / "empty.xyz").write_text("")
        prepare(outputs, "-o", tmp_path / "dos")
        told = report(tmp_path / "dos")
        assert told["structures"] == 10
        assert [Path(each["source"]).name for each in told["unreadable"]] == [
            "empty.xyz",
            "silicon-00003.xml",
            "silicon-00005.xml",
        ]
        assert all(each["reason"] for each in told["unreadable"])
        printed = capsys.readouterr().out
        assert re.search(
            r"in training: 0.\d MB of memory, and about \d s to read", printed
        )
        assert "warning: 3 cannot be read" in printed
        assert "silicon-00003.xml: " in printed

    def test_rest_of_a_file_is_reported(self, tmp_path):
        text = STRUCTURES.read_text()
        (tmp_path / "cut.xyz").write_text(text[: len(text) // 2])
        prepare(tmp_path / "cut.xyz", "-o", tmp_path / "dos")
        told = report(tmp_path / "dos")
        assert 80 < told["structures"] < 90  # later ones have more eigenvalues
        (problem,) = told["unreadable"]
        assert problem["reason"].startswith(f"structure {told['structures']}: expected")

    def test_strict(self, tmp_path):
        outputs = copies(tmp_path / "outputs", 12)
        whole = (outputs / "silicon-00003.xml").read_text()
        (outputs / "silicon-00003.xml").write_text("")
        with pytest.raises(SystemExit, match=r"silicon-00003\.xml: expected"):
            prepare(outputs, "-o", tmp_path / "dos", "--strict")
        assert not (tmp_path / "dos").exists()
        # It goes on where it was, once the file is mended.
        (outputs / "silicon-00003.xml").write_text(whole)
        prepare(outputs, "-o", tmp_path / "dos", "--strict")
        assert report(tmp_path / "dos")["structures"] == 12

    def test_nothing_can_be_read(self, tmp_path):
        (tmp_path / "empty.xyz").write_text("")
        with pytest.raises(SystemExit, match="got none of 1 files; the first says"):
            prepare(tmp_path, "-o", tmp_path / "dos")

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            (".", "none of 1 files"),
            ("nowhere", "found nothing"),
            ("@nowhere", "a text file with one source"),
            ("empty", "files whose names fit"),
        ],
    )
    def test_nothing_is_left_where_nothing_was_read(
        self, tmp_path, monkeypatch, source, message
    ):
        monkeypatch.chdir(tmp_path)
        Path("empty").mkdir()
        Path("broken.xyz").touch()
        before = sorted(Path().rglob("*"))
        with pytest.raises(SystemExit, match=message):
            prepare(source, "-o", "new/sets/dos")
        assert sorted(Path().rglob("*")) == before

    def test_a_data_set_is_not_written_over(self, tmp_path, shipped):
        before = contents(shipped)
        with pytest.raises(SystemExit, match="dos already exists; remove it"):
            prepare(STRUCTURES, "-o", shipped)
        assert contents(shipped) == before

    @pytest.mark.parametrize("fractions", ["0.8", "0.8,0.1", "1,0,0", "a,b", "2,-1,0"])
    def test_fractions(self, tmp_path, fractions):
        with pytest.raises(SystemExit, match="split: expected fractions"):
            prepare(STRUCTURES, "-o", tmp_path / "dos", f"--split={fractions}")

    @pytest.mark.parametrize(
        ("option", "value", "message"),
        [
            (
                "--grid-spacing",
                "1e-12",
                "smearing: .*; take a larger spacing",
            ),
            ("--grid-spacing", "1e-6", "size: expected 1 to 1000000 energies"),
            ("--grid-spacing", "nan", "spacing: expected"),
            ("--smearing", "1e12", "smearing: expected"),
            ("--smearing", "0", "smearing: expected an energy > 0"),
            ("--smearing", "nan", "smearing: expected an energy > 0"),
            ("--extra-targets", "1000000000000", "extra_targets: expected"),
            ("--extra-targets", "-1", "extra_targets: expected"),
            ("--trust-margin", "nan", "expected an energy >= 0"),
            ("--seed", "-1", "seed: expected a number >= 0, got -1"),
            ("--tolerance", "nan", "tolerance: expected a number >= 0, got nan"),
            ("--workers", "0", "workers: expected at least one process, got 0"),
        ],
    )
    def test_impossible_options(self, tmp_path, option, value, message):
        outputs = copies(tmp_path / "outputs", 2)
        with pytest.raises(SystemExit, match=message):
            prepare(outputs, "-o", tmp_path / "dos", option, value)
        assert not (tmp_path / "dos").exists()

    def test_an_eigenvalue_that_is_too_far(self, tmp_path):
        outputs = copies(tmp_path / "outputs", 2)
        path = outputs / "silicon-00001.xml"
        text = path.read_text()
        path.write_text(
            re.sub(r"(<eigenvalues[^>]*>\s*)\S+", r"\1-1e30", text, count=1)
        )
        with pytest.raises(SystemExit, match=r"the farthest are .*silicon-00001\.xml"):
            prepare(outputs, "-o", tmp_path / "dos")

    @pytest.mark.parametrize("output", ["link", "outputs", "."])
    def test_outputs_that_are_something_else(self, tmp_path, monkeypatch, output):
        copies(tmp_path / "outputs", 2)
        (tmp_path / "link").symlink_to("nothing")
        monkeypatch.chdir(tmp_path)
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(SystemExit, match=r"output: .* already exists"):
            prepare("outputs", "-o", output)
        assert sorted(tmp_path.rglob("*")) == before

    def test_too_few(self, tmp_path):
        with pytest.raises(SystemExit, match="got none of 1 structures in 1 groups"):
            prepare(copies(tmp_path / "outputs", 1), "-o", tmp_path / "dos")

    def test_group_that_is_not_there(self, tmp_path):
        outputs = copies(tmp_path / "outputs", 3)
        with pytest.raises(SystemExit, match=r"group_by: expected 'molecule' in the"):
            prepare(outputs, "-o", tmp_path / "dos", "--group-by", "molecule")

    def test_reference_that_is_not_there(self, tmp_path):
        frames = ase.io.read(STRUCTURES, ":10")
        del frames[4].info["fermi_level"]
        ase.io.write(tmp_path / "some.xyz", frames)
        prepare(
            *(tmp_path / "some.xyz", "-o", tmp_path / "dos", "--reference", "fermi")
        )
        told = report(tmp_path / "dos")
        assert told["structures"] == 9
        assert told["left_out"][0]["number"] == 4
        assert "use the reference 'raw'" in told["left_out"][0]["reason"]
        assert told["electrons"]["cannot_be_checked"] == 0

    def test_every_structure_has_the_best_zero_that_is_known(self, tmp_path, capsys):
        frames = ase.io.read(STRUCTURES, ":10")
        for i in (4, 6):
            del frames[i].info["n_electrons"]
        del frames[6].info["fermi_level"]
        ase.io.write(tmp_path / "some.xyz", frames)
        prepare(tmp_path / "some.xyz", "-o", tmp_path / "dos", "--split", "0.5,0.5")
        told = report(tmp_path / "dos")
        assert told["structures"] == 10 and told["grid"]["reference"] == "neutral"
        rows = told["trusted_ranges"]
        lowest = min(frames[4].info["eigenvalues"]) - frames[4].info["fermi_level"]
        assert rows[4]["lowest_state"] == pytest.approx(lowest, abs=1e-6)
        # the sixth agrees with its like: a distorted cell shifts its bands a little
        assert -12.8 < rows[6]["lowest_state"] < -11.8
        printed = capsys.readouterr().out
        assert "warning: 2 without a number of electrons" in printed
        assert "1 of them without a Fermi level, too; 1 moved" in printed

    @pytest.mark.parametrize("more", [(), ("--format", "zip"), ("--workers", "2")])
    def test_zeros_that_only_the_dos_can_tell(self, tmp_path, more):
        frames, truth = ase.io.read(STRUCTURES, ":10"), []
        for i, frame in enumerate(frames):
            truth.append(min(frame.info["eigenvalues"]) - frame.info["fermi_level"])
            frame.info["eigenvalues"] = frame.info["eigenvalues"] + 1.7 * (i % 4)
            del frame.info["n_electrons"], frame.info["fermi_level"]
        ase.io.write(tmp_path / "some.xyz", frames)
        output = tmp_path / "dos"
        prepare(tmp_path / "some.xyz", "-o", output, "--split", "0.5,0.5", *more)
        rows = report(output)["trusted_ranges"]
        off = np.array([row["lowest_state"] for row in rows]) - truth
        assert np.ptp(off) < 0.6  # of 5.1 before; the Fermi level moves in the gap
        if more[:1] == ("--format",):
            return
        # targets are where the report says
        spec = TargetSpec.read(output / "grid.json")
        written = ase.io.read(output / "training.xyz", ":")
        here = [row for row in rows if row["split"] == "training_set"]
        for frame, row in zip(written, here, strict=True):
            first = spec.energies[np.flatnonzero(frame.info["dos"])[0]]
            assert row["lowest_state"] - 2.0 < first < row["lowest_state"] - 1.0

    def test_states_that_are_too_far_to_be_aligned(self, tmp_path):
        frames = ase.io.read(STRUCTURES, ":10")
        for frame in frames:
            del frame.info["n_electrons"], frame.info["fermi_level"]
        frames[3].info["eigenvalues"][0] = -1e9
        ase.io.write(tmp_path / "some.xyz", frames)
        with pytest.raises(SystemExit, match=r"farthest .*some\.xyz, structure 3"):
            prepare(tmp_path / "some.xyz", "-o", tmp_path / "dos")

    def test_zeros_of_the_code_on_request(self, tmp_path):
        frames = ase.io.read(STRUCTURES, ":10")
        for i, frame in enumerate(frames):
            frame.info["eigenvalues"] = frame.info["eigenvalues"] + 1.7 * (i % 4)
            del frame.info["n_electrons"], frame.info["fermi_level"]
        ase.io.write(tmp_path / "some.xyz", frames)
        prepare(tmp_path / "some.xyz", "-o", tmp_path / "dos", "--reference", "raw")
        for frame, row in zip(
            frames, report(tmp_path / "dos")["trusted_ranges"], strict=True
        ):
            lowest = min(frame.info["eigenvalues"])
            assert row["lowest_state"] == pytest.approx(lowest, abs=1e-6)

    def test_electrons(self, tmp_path, capsys):
        frames = ase.io.read(STRUCTURES, ":10")
        frames[3].info["n_electrons"] = 6.0
        frames[5].info["fermi_level"] += 4.0  # now above states that are empty
        del frames[7].info["n_electrons"]
        ase.io.write(tmp_path / "some.xyz", frames)
        prepare(tmp_path / "some.xyz", "-o", tmp_path / "dos")
        electrons = report(tmp_path / "dos")["electrons"]
        assert [each["number"] for each in electrons["off"]] == [3, 5]
        assert electrons["checked"] == 9 and electrons["cannot_be_checked"] == 1
        printed = capsys.readouterr().out
        assert "for 6 electrons" in printed and "valences      Si 4" in printed
        assert electrons["valences"] == {"Si": 4}
        (odd,) = electrons["disagree"]
        assert (odd["number"], odd["electrons"], odd["expected"]) == (3, 6, 8)
        assert TargetSpec.read(tmp_path / "dos" / "grid.json").valences == {"Si": 4}

    def test_spinors_have_no_channels(self, tmp_path):
        copies(tmp_path / "outputs", 3)
        copies(tmp_path / "outputs", 1, "hydrogen-noncollinear")
        prepare(tmp_path / "outputs", "-o", tmp_path / "dos", "--spin-resolved")
        (problem,) = report(tmp_path / "dos")["left_out"]
        assert "hydrogen-noncollinear" in problem["source"]
        assert "spinors" in problem["reason"]


class TestLike:
    def test_reuses_the_grid(self, tmp_path, shipped):
        frames = ase.io.read(STRUCTURES, "::9")
        ase.io.write(tmp_path / "later.xyz", frames)
        prepare(tmp_path / "later.xyz", "-o", tmp_path / "dos", "--like", shipped)
        name = "grid.json"
        assert (tmp_path / "dos" / name).read_bytes() == (shipped / name).read_bytes()

    def test_what_does_not_fit_is_left_out(self, tmp_path):
        frames = ase.io.read(STRUCTURES, ":14")
        ase.io.write(tmp_path / "first.xyz", frames)
        prepare(tmp_path / "first.xyz", "-o", tmp_path / "first")
        prepare(STRUCTURES, "-o", tmp_path / "later", "--like", tmp_path / "first")
        told = report(tmp_path / "later")
        assert told["structures"] < 224 and told["trusted_beyond_grid"] > 0
        assert told["structures"] + len(told["left_out"]) == 224
        reason = told["left_out"][0]["reason"]
        assert re.search(r"begins at -\d+\.\d\d eV \(.*, and the grid at -", reason)
        with pytest.raises(SystemExit, match="its DOS begins at"):
            prepare(
                *(STRUCTURES, "-o", tmp_path / "strict", "--strict"),
                *("--like", tmp_path / "first"),
            )

    def test_contradiction(self, tmp_path, shipped):
        with pytest.raises(SystemExit, match=r"--smearing: expected to come from the"):
            prepare(
                *(STRUCTURES, "-o", tmp_path / "dos", "--like", shipped),
                *("--smearing", "0.2"),
            )

    def test_not_there(self, tmp_path):
        with pytest.raises(SystemExit, match="--like: expected a data set with a grid"):
            prepare(STRUCTURES, "-o", tmp_path / "dos", "--like", tmp_path / "no")


class TestFigure:
    def test_settings_of_the_user_do_not_matter(self, tmp_path):
        """Without LaTeX, and maybe without its fonts, `usetex` fails."""
        outputs = copies(tmp_path / "outputs", 3)
        prepare(outputs, "-o", tmp_path / "plain")
        with matplotlib.rc_context({"text.usetex": True, "figure.dpi": 30}):
            prepare(outputs, "-o", tmp_path / "dos")
        name = "trusted-ranges.png"
        plain, made = ((tmp_path / each / name) for each in ("plain", "dos"))
        assert made.read_bytes() == plain.read_bytes()
        assert not report(tmp_path / "dos")["warnings"]

    def test_a_figure_that_fails_is_a_warning(self, tmp_path, monkeypatch, capsys):
        def fail(*arguments, **more):
            raise RuntimeError("no fonts")

        monkeypatch.setattr(matplotlib.figure.Figure, "savefig", fail)
        prepare(copies(tmp_path / "outputs", 3), "-o", tmp_path / "dos")
        assert "warning: trusted-ranges.png is missing: no fonts" in (
            capsys.readouterr().out
        )
        assert (tmp_path / "dos" / "options.yaml").exists()
