"""``mtt-dos evaluate``: a small real model, from its file to the report."""

import csv
import html.parser
import json
import re
import shutil
from dataclasses import replace
from itertools import chain

import ase
import ase.io
import numpy as np
import pytest
import reference
from helpers.cases import make_case
from helpers.level_model import CHOICES, LEVELS, write_model
from helpers.paths import STRUCTURES
from helpers.training import losses
from omegaconf import OmegaConf

from metatrain_dos import EnergyGrid, density_of_states
from metatrain_dos.commands.main import main
from metatrain_dos.data.dataset import write_dataset
from metatrain_dos.data.readers import read_extxyz
from metatrain_dos.data.samples import Sample
from metatrain_dos.data.target_spec import TargetSpec
from metatrain_dos.figures.report_figures import draw
from metatrain_dos.figures.report_page import MOST_ROWS, render_page
from metatrain_dos.models.comparison import Batch, RowId
from metatrain_dos.models.error_columns import COLUMNS
from metatrain_dos.models.error_table import ErrorTable, grouped_median
from metatrain_dos.models.errors import align
from metatrain_dos.models.model import DOSModel
from metatrain_dos.models.selection import CANDIDATES, MOST_ATOMS, Selection


# Models run in float32; batches of another size add up in another order. A shift is a
# whole number of columns all the same.
ROUNDING = 1e-4


@pytest.fixture(scope="module")
def trained(train):
    folder, log, spec = train("pet")
    return folder, log, spec


@pytest.fixture(scope="module")
def run(trained, tmp_path_factory):
    """Evaluate data with a trained model; return the report folder and its rows."""
    model_folder = trained[0]
    made = {}

    def run(data, *options, model="model.pt"):
        key = (str(data), options, model)
        if key not in made:
            output = tmp_path_factory.mktemp("report") / "report"
            arguments = ["evaluate", model_folder / model, data, "-o", output, *options]
            main([str(each) for each in arguments])
            made[key] = output
        with (made[key] / "errors.csv").open(newline="") as file:
            return made[key], list(csv.DictReader(file))

    return run


@pytest.fixture(scope="module")
def test_set(trained):
    return trained[0] / "test.xyz"


def column(rows, name):
    return np.array([float(row[name] or "nan") for row in rows])


def assert_same_numbers(rows, others):
    assert len(rows) == len(others)
    for name in COLUMNS:
        if name != "loss":  # known of a checkpoint without its options file
            np.testing.assert_allclose(
                column(rows, name), column(others, name), rtol=ROUNDING, atol=1e-6
            )


class TestNumbers:
    def test_against_brute_force(self, trained, run, test_set):
        folder, _, spec = trained
        _, rows = run(test_set)
        frames = ase.io.read(test_set, ":")
        predictions = DOSModel.load(folder / "model.pt").predict(frames)
        for row, frame, p in zip(rows, frames, predictions, strict=True):
            extra = spec.extra_targets
            t = np.array([frame.info["dos"]])[:, extra:]
            m = np.array([frame.info["dos_mask"]], dtype=bool)[:, extra:]
            p, n, h = p[None], len(frame), spec.grid.spacing
            shift = reference.best_shift(p, t, m, h, 1.0)
            error = np.where(m, p[:, shift : shift + t.shape[-1]] - t, 0.0)[0]
            excess = np.array(reference.running_integral(error, h))[m[0, 1:]]
            rmse = np.sqrt((error**2).sum() / m.sum())
            expected = {
                "structure": rows.index(row),
                "atoms": n,
                "trusted": m.sum() * h,
                "rmse_per_atom": rmse / n,
                "mae_per_atom": np.abs(error).sum() / m.sum() / n,
                "relative_rmse": rmse / np.sqrt((t[m] ** 2).mean()),
                "relative_mae": np.abs(error).sum() / np.abs(t[m]).sum(),
                "cumulative_rmse_per_atom": np.sqrt(np.mean(excess**2)) / n,
                "cumulative_max_per_atom": np.abs(excess).max() / n,
                "shift": shift * h,
                "loss_masked": reference.masked_term(p / n, t / n, m, shift, h),
                "loss_tail": reference.front_tail_term(p / n, shift, h),
                "loss_gradient": reference.gradient_term(p / n, m, shift, h),
                "loss_cumulative": reference.cumulative_term(p / n, t / n, m, shift, h),
            }
            for name, value in expected.items():
                assert float(row[name]) == pytest.approx(value, rel=ROUNDING), name
            assert row["material"] == frame.info["material"]

    @pytest.mark.parametrize("model", ["model.pt", "model.ckpt"])
    def test_the_loss_is_that_of_the_log(self, trained, run, model):
        folder, log, _ = trained
        _, rows = run(folder / "validation.xyz", model=model)
        best = min(epoch[1] for epoch in losses(log))
        # The log prints four digits.
        assert column(rows, "loss").mean() == pytest.approx(best, rel=2e-3)

    def test_file_and_checkpoint_are_the_same(self, run, test_set):
        _, rows = run(test_set)
        _, others = run(test_set, "--batch-size", "1", model="model.ckpt")
        assert_same_numbers(rows, others)

    @pytest.mark.parametrize("kind", ["zip", "memmap"])
    def test_formats(self, trained, run, test_set, kind, tmp_path):
        calculations = list(read_extxyz(STRUCTURES))[::14][13:]
        splits = {"test_set": calculations}
        options = write_dataset(tmp_path, splits, trained[2], format=kind)
        sources = [f"test_set,{i},made.out,{i}\n" for i in range(len(calculations))]
        table = "".join(["split,index,source,number\n", *sources])
        (tmp_path / "sources.csv").write_text(table)
        _, expected = run(test_set)
        for data in (options, next(tmp_path.glob("test*"))):
            _, rows = run(data)
            assert_same_numbers(rows, expected)
            assert [row["source"] for row in rows[:2]] == ["made.out@0", "made.out@1"]

    def test_the_test_set_of_a_folder(self, trained, run, test_set):
        _, rows = run(trained[0])
        assert_same_numbers(rows, run(test_set)[1])
        assert {row["data"] for row in rows} == {"test_set"}

    def test_options_of_the_alignment(self, trained, run, test_set):
        _, rows = run(test_set, "--tail-weight", "1000")
        _, usual = run(test_set)
        assert (column(rows, "loss_tail") <= column(usual, "loss_tail")).all()
        assert (column(rows, "loss_masked") >= column(usual, "loss_masked")).all()

    def test_targets_of_atoms(self, trained, run, test_set, tmp_path):
        frames = ase.io.read(test_set, ":")
        for frame in frames:
            for key in ("dos", "dos_mask"):
                rows = np.tile(frame.info.pop(key), (len(frame), 1))
                frame.arrays[key] = rows.astype(float) / (
                    len(frame) if key == "dos" else 1
                )
        ase.io.write(tmp_path / "atoms.xyz", frames)
        shutil.copy(trained[0] / "grid.json", tmp_path)
        folder, rows = run(tmp_path / "atoms.xyz", "--structures", "1")
        assert [(row["structure"], row["atom"]) for row in rows] == [
            (str(i), str(j))
            for i, frame in enumerate(frames)
            for j in range(len(frame))
        ]
        model = DOSModel.load(trained[0] / "model.pt")
        aligned = align(
            np.concatenate(list(model.predict(frames, per_atom=True))),
            np.concatenate([frame.arrays["dos"] for frame in frames]),
            np.concatenate([frame.arrays["dos_mask"] for frame in frames]),
            grid_spacing=0.05,
            extra_targets=trained[2].extra_targets,
        )
        np.testing.assert_allclose(
            column(rows, "rmse_per_atom"), aligned.rmse, rtol=ROUNDING
        )
        assert "structure 1, atom 0:" in (folder / "report.html").read_text("utf-8")

    def test_what_is_trusted_nowhere_is_counted(
        self, trained, test_set, tmp_path, capsys
    ):
        frames = ase.io.read(test_set, ":")
        frames[1].info["dos_mask"] = np.zeros(len(frames[1].info["dos"]), dtype=bool)
        ase.io.write(tmp_path / "test.xyz", frames)
        arguments = [trained[0] / "model.pt", tmp_path / "test.xyz"]
        arguments += ["-o", tmp_path / "report", "--structures", "1"]
        main(["evaluate", *map(str, arguments)])
        printed = capsys.readouterr().out
        assert f"1 of {len(frames)} structures are trusted nowhere" in printed
        assert "asked for, but trusted nowhere: 1" in printed
        content = json.loads((tmp_path / "report" / "errors.json").read_text("utf-8"))
        row = content["rows"][1]
        assert row["trusted"] == 0
        assert all(row[name] is None for name in COLUMNS if name != "trusted")
        errors = [row["rmse_per_atom"] for row in content["rows"]]
        known = [error for error in errors if error is not None]
        median = content["summary"]["rmse_per_atom"]["median"]
        assert median == pytest.approx(np.median(known))


class TestReport:
    def test_terminal(self, trained, test_set, tmp_path, capsys):
        arguments = [trained[0] / "model.pt", test_set, "-o", tmp_path / "report"]
        main(["evaluate", *map(str, arguments)])
        printed = capsys.readouterr().out
        rows = ase.io.read(test_set, ":")
        assert re.search(rf"^{len(rows)} structures +median +mean", printed, re.M)
        assert re.search(r"^RMSE, states/eV/atom( +[\d.]+){4}$", printed, re.M)
        assert re.search(r"^RMSE, %( +[\d.]+%){4}$", printed, re.M)
        for frame in rows:
            assert re.search(rf"^{frame.info['material']} ", printed, re.M)
        assert printed.endswith(f"report: {tmp_path / 'report' / 'report.html'}\n")

    def test_materials(self, run, test_set):
        folder, rows = run(test_set)
        content = json.loads((folder / "errors.json").read_text("utf-8"))
        errors = [each["relative_rmse"] for each in content["materials"]]
        assert errors == sorted(errors, reverse=True)
        assert {each["material"] for each in content["materials"]} == {
            row["material"] for row in rows
        }
        assert [each["structure"] for each in content["rows"]] == list(range(len(rows)))

    def test_page_needs_nothing_else(self, run, test_set):
        folder, rows = run(test_set, "--structures", "2", "0")
        page = Page(folder)
        assert page.text.count("<svg") == len(list((folder / "figures").iterdir()))
        assert {path.name for path in (folder / "figures").iterdir()} >= {
            *("errors-by-material.svg", "shifts.svg", "best-1.svg"),
            *("asked-for-1.svg", "asked-for-2.svg"),
        }
        assert len(page.table_rows) == len(rows)
        for row, cells in zip(rows, page.table_rows, strict=True):
            assert row["material"] in cells
            assert f"{float(row['relative_rmse']):.1%}" in cells

    def test_names_are_text(self, trained, test_set, tmp_path):
        frames = ase.io.read(test_set, ":")
        name = '<script>"&$version'
        for frame in frames:
            frame.info["material"] = name
        ase.io.write(tmp_path / "test.xyz", frames)
        arguments = [trained[0] / "model.pt", tmp_path / "test.xyz"]
        main(["evaluate", *map(str, arguments), "-o", str(tmp_path / "report")])
        page = Page(tmp_path / "report")
        assert [name in cells for cells in page.table_rows] == [True] * len(frames)

    def test_older_reports_are_replaced_and_nothing_else(
        self, trained, test_set, tmp_path
    ):
        arguments = ["evaluate", str(trained[0] / "model.pt"), str(test_set), "-o"]
        (tmp_path / "empty").mkdir()
        main([*arguments, str(tmp_path / "empty"), "--structures", "0"])
        assert (tmp_path / "empty" / "figures" / "asked-for-1.svg").exists()
        main([*arguments, str(tmp_path / "empty")])
        assert not (tmp_path / "empty" / "figures" / "asked-for-1.svg").exists()
        (tmp_path / "empty" / "mine.txt").write_text("mine")
        with pytest.raises(SystemExit, match=r"output: .*empty already exists; remove"):
            main([*arguments, str(tmp_path / "empty")])
        assert (tmp_path / "empty" / "mine.txt").exists()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["empty"]

    def test_a_failure_leaves_nothing(self, trained, test_set, tmp_path):
        with pytest.raises(SystemExit, match="target: expected 'mtt::x' among"):
            arguments = [trained[0] / "model.pt", test_set, "-o", tmp_path / "report"]
            main(["evaluate", *map(str, arguments), "--target", "mtt::x"])
        assert list(tmp_path.iterdir()) == []


class TestSpinChannels:
    """In the columns of one target, with one shift for both."""

    @pytest.fixture
    def evaluate(self, tmp_path, monkeypatch):
        """Evaluate models of channels; return rows and overall numbers."""
        monkeypatch.chdir(tmp_path)

        def evaluate(*splittings, padded=True):
            """Compare models with some splittings with targets with that of 1 eV."""
            names = [f"{i}.pt" for i in range(len(splittings))]
            write_model(tmp_path, "target.pt", splitting=1.0)
            for name, splitting in zip(names, splittings, strict=True):
                write_model(tmp_path, name, moved=-0.5, splitting=splitting)
            frames = [ase.Atoms("C"), ase.Atoms("Na2", [[0, 0, 0], [0, 0, 9]])]
            extra, width = CHOICES.extra_targets, CHOICES.columns
            keep = np.tile(np.arange(width) >= extra, 2)
            rows = DOSModel.load("target.pt").predict(frames)
            for atoms, row, electrons in zip(frames, rows, (4, 2), strict=True):
                atoms.info = {
                    "dos": row if padded else row[keep],
                    "dos_mask": keep if padded else keep[keep],
                    "n_electrons": electrons,
                }
            ase.io.write("test.xyz", frames)
            main(["evaluate", *names, "test.xyz", "-o", "report"])
            content = json.loads((tmp_path / "report" / "errors.json").read_text())
            return content["rows"], content["overall"]

        return evaluate

    @pytest.mark.parametrize("padded", [True, False])
    def test_one_shift_for_both(self, evaluate, padded):
        for row in evaluate(1.0, padded=padded)[0]:
            # moved by -0.5 eV, and found again; the model is in double precision
            assert row["shift"] == pytest.approx(1.5)
            for name in ("rmse_per_atom", "rmse_up_per_atom", "rmse_down_per_atom"):
                assert row[name] < 1e-3
            assert row["fermi_level_error"] == pytest.approx(0.0, abs=1e-3)

    def test_the_splitting_counts(self, evaluate):
        """Two shifts would make up for it, and so would the sum of its halves."""
        frames, _ = evaluate(0.4)
        axis = CHOICES.grid
        for row, (levels, electrons) in zip(
            frames, (LEVELS[6], LEVELS[11]), strict=True
        ):
            up, down = (
                np.array(
                    [
                        density_of_states(
                            np.reshape(levels, (-1, 1)) + sign * 0.5 * splitting,
                            np.array(electrons) / 2,
                            axis,
                            CHOICES.smearing,
                        )
                        for splitting in (0.4, 1.0)
                    ]
                )
                for sign in (-1, 1)
            )
            for name, (predicted, computed) in (
                ("rmse_up_per_atom", up),
                ("rmse_down_per_atom", down),
                ("rmse_per_atom", up + down),
            ):
                expected = np.sqrt(np.mean((predicted - computed) ** 2))
                assert row[name] == pytest.approx(expected, rel=0.02), name

    def test_a_committee(self, evaluate):
        rows, overall = evaluate(1.0, 1.2)
        for row in rows:
            assert row["spread_per_atom"] > 0
        assert overall["error_to_spread"] is not None

    def test_padding_of_the_second_channel(self, evaluate):
        evaluate(1.0)
        frames = ase.io.read("test.xyz", ":")
        frames[1].info["dos_mask"][CHOICES.columns] = True
        ase.io.write("test.xyz", frames)
        with pytest.raises(SystemExit, match="structure 1: expected 40 columns of pad"):
            main(["evaluate", "0.pt", "test.xyz", "-o", "report"])


class TestLevels:
    """Of a model whose levels are known, which needs no training."""

    @pytest.fixture
    def evaluate(self, tmp_path, capsys):
        """Evaluate a model whose levels are stretched; return report and terminal."""
        electrons = {"C": 4.0, "C2": 8.0, "Na": 1.0}
        grid = CHOICES.grid

        def evaluate(name, *options, stretched=1.0, counted=True):
            frames = []
            for formula, number in electrons.items():
                atoms = ase.Atoms(formula)
                atoms.positions[:, 2] = 2.0 * np.arange(len(atoms))
                target = sum(
                    density_of_states(
                        np.reshape(LEVELS[z][0], (-1, 1)),
                        np.array(LEVELS[z][1]),
                        grid,
                        CHOICES.smearing,
                    )
                    for z in atoms.numbers
                )
                atoms.info = {"dos": target, "source": f"{formula}.out"}
                if counted:
                    atoms.info["n_electrons"] = number
                frames.append(atoms)
            ase.io.write(tmp_path / "test.xyz", frames)
            (tmp_path / name).mkdir()
            write_model(tmp_path / name, moved=-0.7, stretched=stretched)
            arguments = [tmp_path / name / "model.pt", tmp_path / "test.xyz", "-o"]
            report = tmp_path / f"{name}-report"
            main(["evaluate", *map(str, [*arguments, report, *options])])
            return report, capsys.readouterr().out

        return evaluate

    def test_errors_of_levels(self, evaluate):
        report, printed = evaluate("stretched", stretched=1.02)
        content = json.loads((report / "errors.json").read_text("utf-8"))
        carbon, two, sodium = content["rows"]
        for row in (carbon, two):
            # the levels -5.5 and 1.5 eV; half a column is the limit of the alignment
            assert row["gap"] == pytest.approx(7.0, abs=0.02)
            assert row["gap_error"] == pytest.approx(0.02 * 7.0, abs=0.03)
        # Both sums are over 2 states at -9 and at -5.5 eV, less the shift.
        assert carbon["band_energy_error"] == pytest.approx(
            0.02 * 2 * (-9.0 - 5.5) + 4 * (-0.7 + 2.0 - carbon["shift"]), abs=0.05
        )
        assert two["band_energy_error"] == pytest.approx(
            carbon["band_energy_error"], abs=1e-3
        )
        assert sodium["gap"] == 0 and sodium["gap_error"] == 0
        assert content["levels"] == "of 3, from their number of electrons"
        assert [row["source"] for row in content["rows"]] == [
            "C.out",
            "C2.out",
            "Na.out",
        ]
        assert re.search(r"^gap, eV( +[\d.]+){4}$", printed, re.M)
        assert "all, RMSE of the spread, %" in printed
        page = Page(report)
        assert "(computed 7.00) eV" in page.text
        assert "C2.out" in page.table_rows[1]

    def test_without_electrons(self, evaluate):
        report, printed = evaluate("bare", counted=False)
        assert "levels not compared without a number of electrons" in " ".join(
            printed.split()
        )
        content = json.loads((report / "errors.json").read_text("utf-8"))
        assert content["rows"][0]["gap_error"] is None
        report, _ = evaluate("given", "--valences", "C=4 Na=1", counted=False)
        content = json.loads((report / "errors.json").read_text("utf-8"))
        # The same levels, but settings that allow for noise in predictions
        assert content["rows"][0]["gap_error"] == pytest.approx(0.0, abs=0.02)

    def test_two_models(self, evaluate, tmp_path):
        worse, _ = evaluate("worse", stretched=1.05)
        better, printed = evaluate("better", "--compare", worse, stretched=1.01)
        changes = json.loads((better / "errors.json").read_text("utf-8"))["changes"]
        assert changes["relative_rmse"]["smaller"] == 1
        assert changes["relative_rmse"]["now"] < changes["relative_rmse"]["before"]
        assert re.search(
            r"^medians of two models +earlier +this +smaller$", printed, re.M
        )
        assert re.search(r"^RMSE, %( +[\d.]+%){3}$", printed, re.M)
        page = Page(better)
        assert "Compared with the earlier model" in page.text
        assert (better / "figures" / "compared.svg").exists()
        with pytest.raises(SystemExit, match="compare: expected the folder of"):
            evaluate("none", "--compare", tmp_path / "nowhere")


class TestMistakes:
    @pytest.fixture
    def refused(self, trained, tmp_path):
        """Evaluate what cannot be evaluated; return what is said."""

        def refused(data, *options):
            arguments = [trained[0] / "model.pt", data, "-o", tmp_path / "report"]
            grid = [] if options else ["--like", trained[0]]
            with pytest.raises(SystemExit) as caught:
                main(["evaluate", *map(str, [*arguments, *grid, *options])])
            assert str(caught.value).startswith("mtt-dos evaluate: ")
            return str(caught.value)

        return refused

    def test_paths(self, refused, tmp_path):
        assert "does not exist; check the path" in refused(tmp_path / "x.xyz")
        (tmp_path / "x.txt").write_text("")
        assert "expected .xyz, .zip, a memory-mapped" in refused(tmp_path / "x.txt")
        (tmp_path / "folder").mkdir()
        assert "a folder with an options.yaml, got" in refused(tmp_path / "folder")

    def test_options_files(self, trained, refused, tmp_path):
        options = OmegaConf.load(trained[0] / "options.yaml")
        path = tmp_path / "options.yaml"
        options.test_set.systems.read_from = "nowhere.xyz"
        OmegaConf.save(options, path)
        assert "nowhere.xyz does not exist" in refused(path)
        options.test_set = 0.1
        OmegaConf.save(options, path)
        assert "to name the data of its test_set" in refused(path)
        options = OmegaConf.load(trained[0] / "options.yaml")
        options.test_set.targets = {"mtt::ldos": options.test_set.targets["mtt::dos"]}
        OmegaConf.save(options, path)
        assert "expected 'mtt::dos' in test_set of" in refused(path)
        path.write_text("[]")
        assert "expected a mapping" in refused(path)

    def test_targets(self, trained, refused, test_set, tmp_path):
        frames = ase.io.read(test_set, ":")
        path = tmp_path / "test.xyz"

        def changed(change):
            copies = [frame.copy() for frame in frames]
            change(copies[1].info)
            ase.io.write(path, copies)
            return path

        ase.io.write(path, [ase.Atoms("Si")])
        assert "expected targets called 'dos' in" in refused(path)
        path.write_text("")
        assert "expected targets called 'dos' in" in refused(path)
        path.write_text("two\n")
        assert "expected a .xyz file with targets, but" in refused(path)
        short = refused(changed(lambda info: info.update(dos=info["dos"][:30])))
        assert "test.xyz, structure 1: expected a target of shape" in short
        assert "got (1, 30); give data that were made for this model" in short
        short = refused(changed(lambda info: info.update(dos_mask=[1.0] * 30)))
        assert "structure 1: expected a mask of shape" in short
        gone = refused(changed(lambda info: info.pop("dos")))
        assert "cannot be read after structure 0 (no 'dos' in its info)" in gone

    def test_another_grid(self, trained, refused, test_set):
        said = refused(test_set, "--extra-targets", "300", "--grid-spacing", "0.05")
        assert "expected 300 columns of padding, but its mask is true" in said
        assert "the extra_targets of these data with --extra-targets" in said

    def test_numbers(self, refused, test_set):
        said = refused(test_set, "--tail-weight", "nan")
        assert "'tail_weight' must be a finite number >= 0, got nan" in said
        said = refused(test_set, "--batch-size", "0")
        assert "batch_size: expected a number > 0, got 0" in said


def batch_of(number, untrusted=(), first=0):
    """Make up predictions, worse from batch to batch, and targets."""
    p, t, m = make_case(first, samples=number)
    p = p * (1 + first)
    m[list(untrusted)] = False
    row_ids = [RowId("data", first + i) for i in range(number)]
    samples = [
        Sample(first + i, ase.Atoms("Si"), row[None], None)
        for i, row in enumerate(t.numpy())
    ]
    aligned = align(p, t, m, grid_spacing=0.1)
    return Batch(row_ids, samples, aligned, [None] * number, np.full(number, np.nan))


def table_of(*batches):
    table = ErrorTable()
    for batch in batches:
        table.add(batch)
    return table


def select(batches, asked=()):
    """Select from batches; return the rows of each rank, and the missing."""
    selection = Selection(asked)
    for batch in batches:
        selection.add(batch)
    median = table_of(*batches).statistics()["relative_rmse"]["median"]
    ranks, missing = selection.ranked(median or 0.0)
    return {rank: [s.row for s in chosen] for rank, chosen in ranks.items()}, missing


class TestSelection:
    def test_best_middle_and_worst(self):
        batch = batch_of(40, untrusted=[5, 6])
        ranks, missing = select([batch], [7, 5, 7, 99])
        errors = batch.aligned.relative_rmse
        order = [i for i in np.argsort(errors) if i not in (5, 6)]
        assert ranks["best"] == order[:3]
        assert ranks["worst"] == order[:-4:-1]
        assert ranks["asked for"] == [7]
        distance = np.abs(errors - np.nanmedian(errors))
        assert set(ranks["median"]) == set(np.argsort(distance)[:3])
        assert missing == [5, 99]

    def test_some_atoms_of_a_structure(self):
        batch = batch_of(3 * MOST_ATOMS, untrusted=[1])
        ids = [RowId("data", i // 30, i % 30) for i in range(3 * MOST_ATOMS)]
        ranks, _ = select([replace(batch, row_ids=ids)], [0])
        assert ranks["asked for"] == [0, *range(2, MOST_ATOMS + 1)]

    @pytest.mark.parametrize("number", range(1, 10))
    def test_few_are_drawn_once(self, number):
        ranks, _ = select([batch_of(number)])
        assert sorted(chain(*ranks.values())) == list(range(number))

    def test_memory_is_bounded(self):
        batches = [batch_of(25, first=25 * i) for i in range(40)]
        selection = Selection([990])
        for batch in batches:
            selection.add(batch)
            assert len(selection._kept) <= CANDIDATES + 2 * 3 + 1
        errors = table_of(*batches)["relative_rmse"]
        order = np.argsort(errors)
        ranks, _ = selection.ranked(float(np.median(errors)))
        assert [s.row for s in ranks["best"]] == list(order[:3])
        assert [s.row for s in ranks["worst"]] == list(order[:-4:-1])
        # Of 200 among 1000, the nearest three are within a few percent of the middle.
        for selected in ranks["median"]:
            assert 450 < np.flatnonzero(order == selected.row)[0] < 550
        for selected in chain(*ranks.values()):
            row = selected.row
            own = batches[row // 25].aligned.sample(row % 25)
            np.testing.assert_array_equal(selected.aligned.targets, own.targets)
            np.testing.assert_array_equal(selected.aligned.predictions, own.predictions)
            assert selected.sample.index == row
            # A view would keep all of its batch.
            assert selected.aligned.targets.base is None


def test_long_tables_show_the_worst():
    table = table_of(batch_of(MOST_ROWS + 200))
    text = render_page("title", {}, [], table, {}, {})
    body = text[text.index('<table class="sortable">') :]
    shown = re.findall(r'<td class="text">(\d+)</td><td class="text">Si', body)
    worst = np.argsort(-table["relative_rmse"])[:MOST_ROWS]
    assert {*map(int, shown)} == {*worst.tolist()} and len(shown) == MOST_ROWS
    assert f"The {MOST_ROWS} of {MOST_ROWS + 200} with the largest" in text


def test_a_report_without_any_number(tmp_path):
    batch = batch_of(3, untrusted=[0, 1, 2])
    ranks, missing = select([batch], [1])
    assert (set().union(*ranks.values()), missing) == (set(), [1])
    axis = TargetSpec(EnergyGrid(0.0, 0.1, 30), extra_targets=12)
    figures = draw(tmp_path, table_of(batch), axis, {})
    text = render_page("title", {}, [], table_of(batch), figures, {})
    (tmp_path / "report.html").write_text(text, "utf-8")
    assert len(Page(tmp_path).table_rows) == 3


def test_medians_of_materials():
    rng = np.random.default_rng(3)
    values, groups = rng.normal(size=500), rng.integers(0, 40, 500)
    values[rng.random(500) < 0.3] = np.nan
    values[groups == 39] = np.nan
    expected = [
        np.nanmedian(values[groups == i]) if i < 39 else np.nan for i in range(40)
    ]
    np.testing.assert_array_equal(grouped_median(values, groups), expected)


class Page(html.parser.HTMLParser):
    """Read a page; refuse tags that do not match, and anything from outside."""

    EMPTY = ("meta", "link", "br", "img", "input")

    def __init__(self, folder):
        super().__init__()
        self.text = (folder / "report.html").read_text("utf-8")
        self.open, self.ids, self.uses = [], [], []
        self.table_rows, self.cells = [], None
        self.feed(self.text)
        self.close()
        assert self.open == []
        assert len(self.ids) == len(set(self.ids))
        assert set(self.uses) <= set(self.ids)
        outside = r"@import|<link|<img|<iframe|\bsrc=|url\((?!#)|fetch\("
        assert not re.search(outside, self.text)
        assert '<meta name="viewport" content="width=device-width' in self.text
        assert "prefers-color-scheme: dark" in self.text

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if "id" in given:
            self.ids.append(given["id"])
        for name, value in attributes:
            if name.endswith("href"):
                assert value.startswith("#"), value
                self.uses.append(value[1:])
            self.uses += re.findall(r"url\(#([^)]*)\)", value or "")
        if tag == "svg":
            assert given["role"] == "img" and given["aria-label"]
        if tag == "table":
            self.sortable = given.get("class") == "sortable"
        if tag == "tr" and "tbody" in self.open and self.sortable:
            self.table_rows.append([])
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.EMPTY:
            self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] == "td" and self.sortable:
            self.table_rows[-1].append(data)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
