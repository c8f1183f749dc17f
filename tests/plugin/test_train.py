"""metatrain itself, from options file to predictions, on real data."""

import csv
import re

import ase.io
import metatensor.torch as mts
import numpy as np
import pytest
import torch
from helpers.processes import mtt
from helpers.training import MODELS, extensions, losses, make_folder
from omegaconf import OmegaConf

from metatrain_dos.loss.terms import weighted_terms


BEFORE_DATA = "Setting up training set"

TERMS = ("masked", "tail", "gradient", "cumulative")


def training_log(folder):
    """Read the newest train.csv: one dictionary of numbers for each epoch."""
    path = max(folder.glob("outputs/*/*/train.csv"), key=lambda p: p.stat().st_mtime)
    with open(path, newline="") as file:
        names, _, *rows = csv.reader(file)
    return [dict(zip(names, map(float, row), strict=True)) for row in rows]


def trains_after(folder, change_section, change_frame):
    """Change every data set, in the options file and in its own, and train on them."""
    make_folder(folder, "pet")
    options = OmegaConf.load(folder / "options.yaml")
    for name in ("training_set", "validation_set", "test_set"):
        change_section(options[name])
        path = folder / options[name].systems.read_from
        frames = ase.io.read(path, ":")
        for frame in frames:
            change_frame(frame)
        ase.io.write(path, frames)
    OmegaConf.save(options, folder / "options.yaml")
    status, log = mtt("train", "options.yaml", folder=folder)
    assert status == 0, log
    assert np.isfinite(losses(log)).all()


@pytest.fixture(scope="module", params=list(MODELS))
def trained(request, train):
    return train(request.param)


class TestTraining:
    def test_trains_with_the_options_of_the_paper(self, trained):
        _, log, _ = trained
        assert "'type': 'masked_dos'" in log
        path = "architecture.training.loss.mtt::dos.int_weight"
        warning = rf"\[WARNING\] - {path}: int_weight is 2; .* `int_weight: 0\.01`"
        assert len(re.findall(warning, log)) == 1
        assert log.count("Recommended: ") == 1
        epochs = losses(log)
        assert len(epochs) == 2 and all(len(epoch) == 2 for epoch in epochs)
        assert np.isfinite(epochs).all()

    def test_logged_loss_is_the_loss(self, trained):
        """The validation loss of the best model, once more from its predictions."""
        folder, _, spec = trained
        (folder / "validate.yaml").write_text("systems: validation.xyz\n")
        status, output = mtt(
            *("eval", "model.pt", "validate.yaml", "-o", "validation.mts"),
            *extensions(folder),
            folder=folder,
        )
        assert status == 0, output
        written = next(folder.glob("validation*.mts"))
        block = mts.load(str(written)).block()
        frames = ase.io.read(folder / "validation.xyz", ":")
        atoms = torch.tensor([len(frame) for frame in frames], dtype=torch.float64)

        # Without targets, metatrain may write atoms; a system is their sum.
        systems = block.samples.column("system").long()
        values = torch.zeros(len(frames), spec.columns, dtype=torch.float64)
        values.index_add_(0, systems, block.values.to(torch.float64))

        extra = spec.extra_targets
        targets = torch.tensor(np.array([f.info["dos"] for f in frames]))[:, extra:]
        mask = torch.tensor(np.array([f.info["dos_mask"] for f in frames]))[:, extra:]
        terms, shift = weighted_terms(
            values / atoms[:, None],
            targets / atoms[:, None],
            mask.bool(),
            {"grad_weight": 1e-4, "int_weight": 2.0, "tail_weight": 1.0},
            grid_spacing=0.05,
        )
        best = min(training_log(folder), key=lambda row: row["validation loss"])
        # One batch; the log prints four digits, and models run in float32.
        tolerance = {"rel": 2e-3}
        loss = terms.sum(-1).mean().item()
        assert loss == pytest.approx(best["validation loss"], **tolerance)
        logged = [best[f"validation mtt::dos {name} term"] for name in TERMS]
        # slopes are differences of numbers that have seven digits
        assert logged == pytest.approx(terms.mean(0).tolist(), rel=1e-2)
        # to a thousandth of an eV
        shift = 0.05 * shift.double()
        found = [best["validation mtt::dos shift"]]
        found += [best["validation mtt::dos shift spread"]]
        expected = [shift.mean().item(), shift.std(correction=0).item()]
        assert found == pytest.approx(expected, abs=5e-4)

    def test_logged_terms_add_up(self, trained):
        """Over batches of different sizes, as metatrain adds up the loss."""
        folder, log, _ = trained
        rows = training_log(folder)
        assert [row["Epoch"] for row in rows] == [0, 1]
        for row in rows:
            for phase in ("training", "validation"):
                terms = [row[f"{phase} mtt::dos {name} term"] for name in TERMS]
                # each number has four digits
                expected = pytest.approx(sum(terms), rel=1e-3)
                assert row[f"{phase} loss"] == expected
                assert 0 <= row[f"{phase} mtt::dos shift"] <= 10
        assert log.count("mtt::dos: the mask trusts ") == 1

    def test_restart(self, trained):
        folder, _, _ = trained
        status, log = mtt(
            *("train", "options.yaml", "--restart", "model.ckpt", "-o", "more.pt"),
            *("-r", "architecture.training.num_epochs=4"),
            folder=folder,
        )
        assert status == 0, log
        assert "Restarting training from 'model.ckpt'" in log
        assert np.isfinite(losses(log)).all() and len(losses(log)) >= 1
        assert (folder / "more.pt").exists()
        rows = training_log(folder)
        assert [row["Epoch"] for row in rows][-1] == 3
        assert "training mtt::dos cumulative term" in rows[0]

    def test_export_and_eval_with_targets(self, trained):
        folder, _, _ = trained
        status, log = mtt(
            *("export", "model.ckpt", "-o", "exported.pt"),
            *extensions(folder),
            folder=folder,
        )
        assert status == 0, log
        options = OmegaConf.load(folder / "options.yaml")
        OmegaConf.save(options.test_set, folder / "eval.yaml")
        status, log = mtt(
            *("eval", "exported.pt", "eval.yaml", *extensions(folder)), folder=folder
        )
        assert status == 0, log
        assert "mtt::dos RMSE" in log


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("options")
    make_folder(folder, "pet")
    return folder


class TestOptionsFile:
    @pytest.mark.parametrize(
        "loss", ["loss: masked_dos", "loss: {mtt::dos: masked_dos}"]
    )
    def test_shorthand(self, tmp_path, loss):
        make_folder(tmp_path, "pet", loss)
        status, log = mtt(
            *("train", "options.yaml", "-r", "architecture.training.num_epochs=1"),
            folder=tmp_path,
        )
        assert status == 0, log
        assert "'type': 'masked_dos'" in log

    @pytest.mark.parametrize(
        ("override", "message"),
        [
            (
                "int_weight=-1",
                "'int_weight' must be a finite number >= 0, got -1 (int)",
            ),
            ("extra_targets=2.5", "'extra_targets' must be a whole number"),
            ("grad_weight=.nan", "'grad_weight' must be a finite number >= 0"),
            ("grad_weight=heavy", "'grad_weight' must be a finite number >= 0"),
            (
                "int_wieght=1",
                "unknown option 'int_wieght' (did you mean 'int_weight'?)",
            ),
            ("reduction=none", "'reduction' must be 'mean' or 'sum', because tra"),
            (
                "reduction=median",
                "'reduction' must be 'mean', 'sum' or 'none', got",
            ),
            ("weight=much", "'weight' must be a finite number, got 'much' (str)"),
            ("type=maskd_dos", "Unknown loss 'maskd_dos', did you mean 'masked_dos'?"),
        ],
    )
    def test_mistakes_end_it_before_data_is_read(self, folder, override, message):
        key = "architecture.training.loss.mtt::dos"
        status, log = mtt(
            "train", "options.yaml", "-r", f"{key}.{override}", folder=folder
        )
        assert status == 1
        assert BEFORE_DATA not in log and "Traceback" not in log
        # what metatrain says to every error, then one line of ours
        (said,) = [line for line in log.split("Thank you!")[1].splitlines() if line]
        assert message in said
        assert "of target 'mtt::dos'" in said or "Unknown loss" in said

    def test_mistyped_shorthand(self, folder):
        status, log = mtt(
            *("train", "options.yaml"),
            *("-r", "architecture.training.loss={mtt::dos: maskeddos}"),
            folder=folder,
        )
        assert status == 1 and BEFORE_DATA not in log
        assert "Unknown loss 'maskeddos', did you mean 'masked_dos'?" in log

    def test_nan_in_the_target_is_a_mask(self, tmp_path):
        def change_section(section):
            del section.extra_data

        def change_frame(frame):
            trusted = np.array(frame.info.pop("dos_mask"), dtype=bool)
            frame.info["dos"][~trusted] = np.nan

        trains_after(tmp_path, change_section, change_frame)

    def test_dos_of_atoms(self, tmp_path):
        def change_section(section):
            section.targets["mtt::dos"].sample_kind = "atom"
            section.extra_data["mtt::dos_mask"].sample_kind = "atom"

        def change_frame(frame):
            for key in ("dos", "dos_mask"):
                rows = np.tile(frame.info.pop(key), (len(frame), 1))
                frame.arrays[key] = rows.astype(float) / len(frame)

        trains_after(tmp_path, change_section, change_frame)

    def test_other_losses_are_left_alone(self, folder):
        status, log = mtt(
            *("train", "options.yaml", "-r", "architecture.training.num_epochs=1"),
            *("-r", "architecture.training.loss={mtt::dos: masked_mse}"),
            folder=folder,
        )
        assert status == 0, log
        assert "'type': 'masked_mse'" in log

    def test_explicit_command_where_start_up_is_switched_off(self, folder):
        arguments = (
            "train",
            "options.yaml",
            "-r",
            "architecture.training.num_epochs=1",
        )
        status, log = mtt(*arguments, folder=folder, METATRAIN_DOS_AUTOLOAD="0")
        assert status == 1 and "Unknown loss 'masked_dos'" in log
        status, log = mtt(
            *arguments, folder=folder, command="mtt-dos", METATRAIN_DOS_AUTOLOAD="0"
        )
        assert status == 0, log
