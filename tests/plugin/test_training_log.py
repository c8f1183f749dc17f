"""What the log of a training says about the loss."""

import csv
import gc
import json
import logging
import re
import struct
import subprocess
import sys
from importlib.util import find_spec

import ase.io
import numpy as np
import pytest
import torch
from helpers.cases import EXTRA, HYPERS, OPTIONS, make_case, pad, tensor_map
from helpers.processes import mtt
from helpers.training import make_folder
from metatrain.utils import logging as metatrain_logging
from metatrain.utils.data import DatasetInfo
from metatrain.utils.logging import ROOT_LOGGER, CSVFileHandler, MetricLogger
from omegaconf import OmegaConf
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from metatrain_dos import MaskedDOSLoss
from metatrain_dos.loss.terms import weighted_terms
from metatrain_dos.plugin.epoch_terms import EpochTerms
from metatrain_dos.plugin.training_log import TrainingLog


NAME = "mtt::dos"
PHASES = ("training", "validation")
TERMS = ("masked term", "tail term", "gradient term", "cumulative term")
COLUMNS = (*TERMS, "shift", "shift spread", "shifts at limit")


def read_csv(path):
    """Read names, units and rows of a train.csv."""
    with open(path, newline="") as file:
        names, units, *rows = csv.reader(file)
    assert len(set(names)) == len(names)
    rows = [
        {name: float(value) for name, value in zip(names, row, strict=True)}
        for row in rows
    ]
    return names, units, rows


def check_sums(row, *targets):
    """Check that the terms of all targets add up to the loss that metatrain logs."""
    for phase in PHASES:
        terms = [
            row[f"{phase} {target} {term}"] for target in targets for term in TERMS
        ]
        assert min(terms) >= 0
        # every number has four digits
        assert sum(terms) == pytest.approx(
            row[f"{phase} loss"], abs=5e-4 * (sum(terms) + row[f"{phase} loss"])
        )


class Training:
    """metatrain's logger with the loop around it, without a model."""

    def __init__(self, path, names=PHASES):
        self.names = names
        self.csv = CSVFileHandler(filename=str(path), encoding="utf-8")
        ROOT_LOGGER.addHandler(self.csv)
        self.path = path

    def end(self):
        self.csv.close()
        for handler in list(ROOT_LOGGER.handlers):
            if handler is self.csv or isinstance(handler, TrainingLog):
                ROOT_LOGGER.removeHandler(handler)

    def run_batch(self, losses, case, training):
        """Compute losses as metatrain does, and learn from them; return the sum."""
        p, t, m = case
        p.requires_grad_()
        maps = (tensor_map(p), tensor_map(pad(t)), tensor_map(pad(m, False)))
        total = 0.0
        for loss in losses:
            names = (loss.target, loss.target, f"{loss.target}_mask")
            arguments = [{n: x} for n, x in zip(names, maps, strict=True)]
            total = total + loss.weight * loss.compute(*arguments)
        if training:
            total.backward()
        return total.item()

    def run_epoch(self, losses, cases, epoch, log=True, gradients=False):
        """Train on all cases but the last, validate on the last."""
        *train, last = cases
        sums = [sum(self.run_batch(losses, case, True) for case in train)]
        with torch.set_grad_enabled(gradients):
            sums.append(self.run_batch(losses, last, False))
        if log:
            metrics = [{"loss": value} for value in sums]
            info = DatasetInfo(length_unit="", atomic_types=[], targets={})
            logger = MetricLogger(ROOT_LOGGER, info, metrics, list(self.names))
            logger.log(metrics, epoch=epoch, rank=0, learning_rate=1e-3)


@pytest.fixture
def training(tmp_path):
    training = Training(tmp_path / "train.csv")
    yield training
    training.end()


def make_loss(name=NAME, **options):
    return MaskedDOSLoss(name, **{**HYPERS, "extra_targets": EXTRA, **options})


def make_cases(seed):
    """Make three batches of training of different sizes, and one of validation."""
    return [make_case(seed + i, samples=n) for i, n in enumerate((4, 4, 1, 3))]


def expected_row(cases, factor=lambda samples: 1 / samples):
    """Compute a row from the definition of the terms."""
    row = {}
    for phase, batches in zip(PHASES, (cases[:-1], cases[-1:]), strict=True):
        found = [weighted_terms(p.detach(), t, m, **OPTIONS) for p, t, m in batches]
        columns = np.concatenate([s for _, s in found])
        shifts = OPTIONS["grid_spacing"] * columns
        terms = sum(factor(len(x)) * x.sum(0) for x, _ in found).tolist()
        at_an_end = 100 * np.isin(columns, (0, EXTRA)).mean()
        values = (*terms, shifts.mean(), shifts.std(), at_an_end)
        row |= {f"{phase} {NAME} {c}": v for c, v in zip(COLUMNS, values, strict=True)}
    return row


def check_row(row, expected):
    # four digits, shifts to a thousandth of an eV, and tenths of a percent
    for name, value in expected.items():
        digits = 0.05 if name.endswith("at limit") else 5e-4
        assert row[name] == pytest.approx(value, rel=5e-4, abs=digits), name


class TestColumns:
    @pytest.mark.parametrize("gradients", [False, True])
    def test_every_epoch_by_itself(self, training, gradients):
        """Validation has gradients, too, where another target has forces."""
        loss = make_loss()
        for epoch in range(3):
            training.run_epoch([loss], make_cases(epoch), epoch, gradients=gradients)
        names, units, rows = read_csv(training.path)
        assert names == [
            *("Epoch", "learning rate"),
            *("training loss", *(f"training {NAME} {c}" for c in COLUMNS)),
            *("validation loss", *(f"validation {NAME} {c}" for c in COLUMNS)),
        ]
        assert [n for n, unit in zip(names, units, strict=True) if unit] == [
            f"{phase} {NAME} {c}" for phase in PHASES for c in COLUMNS[4:]
        ]
        assert set(units) == {"", "eV", "%"}
        for epoch, row in enumerate(rows):
            check_row(row, expected_row(make_cases(epoch)))
            check_sums(row, NAME)

    def test_nothing_slides(self, training):
        """All shifts are the smallest and the largest at once; nobody needs to know."""
        training.run_epoch([make_loss(extra_targets=0)], make_cases(0), 0)
        names, _, _ = read_csv(training.path)
        assert f"training {NAME} shift" in names
        assert not any("at limit" in name for name in names)

    def test_only_the_epoch_that_is_logged(self, training):
        loss = make_loss()
        for epoch in range(5):
            training.run_epoch([loss], make_cases(epoch), epoch, log=epoch % 2 == 0)
        _, _, rows = read_csv(training.path)
        assert [row["Epoch"] for row in rows] == [0, 2, 4]
        for row in rows:
            check_row(row, expected_row(make_cases(int(row["Epoch"]))))

    def test_weight_and_reduction(self, training):
        training.run_epoch([make_loss(reduction="sum", weight=0.3)], make_cases(0), 0)
        ((row,),) = read_csv(training.path)[2:]
        check_row(row, expected_row(make_cases(0), factor=lambda samples: 0.3))
        check_sums(row, NAME)

    def test_several_targets(self, training):
        """Each with its options; together they are the loss."""
        losses = [
            make_loss(),
            make_loss("mtt::other", int_weight=0.0, weight=2.0, tail_weight=0.0),
        ]
        training.run_epoch(losses, make_cases(0), 0)
        ((row,),) = read_csv(training.path)[2:]
        check_row(row, expected_row(make_cases(0)))
        check_sums(row, NAME, "mtt::other")
        assert row["training mtt::other cumulative term"] == 0

    def test_components_and_blocks(self, training):
        loss = make_loss()
        blocks = [make_case(i, samples=i + 2, components=2) for i in range(2)]
        maps = [tensor_map(*tensors) for tensors in zip(*blocks, strict=True)]
        names = (NAME, NAME, f"{NAME}_mask")
        arguments = [{n: x} for n, x in zip(names, maps, strict=True)]
        value = loss(*arguments)
        summary = loss._sums.read()["validation"]
        found = [weighted_terms(*block, **OPTIONS) for block in blocks]
        terms = torch.cat([terms for terms, _ in found]).mean(0)
        shifts = torch.cat([s for _, s in found]).double() * OPTIONS["grid_spacing"]
        trusted = torch.cat([m.flatten() for _, _, m in blocks]).double().mean()
        # the same numbers, added in another order
        assert summary.terms == pytest.approx(terms.tolist(), rel=1e-12)
        assert sum(summary.terms) == pytest.approx(value.item(), rel=1e-12)
        assert summary.shift == pytest.approx(shifts.mean().item(), rel=1e-12)
        assert summary.spread == pytest.approx(shifts.std(correction=0).item())
        assert summary.trusted == pytest.approx(trusted.item(), rel=1e-12)

    def test_without_validation(self, training):
        loss = make_loss()
        training.run_batch([loss], make_case(0), training=True)
        found = loss._sums.read()
        assert np.isfinite(found["training"].terms).all()
        assert np.isnan(found["validation"].terms).all()

    def test_no_samples(self, training):
        loss = make_loss()
        empty = [x[:0] for x in make_case(0)]
        training.run_epoch([loss], [empty, make_case(1)], 0)
        ((row,),) = read_csv(training.path)[2:]
        assert np.isnan(row[f"training {NAME} shift"])
        assert np.isfinite(row[f"validation {NAME} shift"])

    def test_the_next_training(self, training, tmp_path):
        """It shows its own losses only, the newest of a name."""
        first = [make_loss(), make_loss("mtt::first")]
        training.run_epoch(first, make_cases(0), 0)
        del first
        gc.collect()
        training.end()
        second = Training(tmp_path / "second.csv")
        losses = [make_loss(), make_loss("mtt::second")]
        second.run_epoch(losses, make_cases(1), 0)
        second.end()
        names, _, (row,) = read_csv(second.path)
        check_row(row, expected_row(make_cases(1)))
        assert not [name for name in names if "mtt::first" in name]
        assert [name for name in names if "mtt::second" in name]

    def test_said_once(self, training, caplog):
        loss = make_loss()
        with caplog.at_level(logging.INFO):
            for epoch in range(2):
                training.run_epoch([loss], make_cases(0), epoch)
        said = [r.getMessage() for r in caplog.records if "trusts" in r.getMessage()]
        masks = [m for _, _, m in make_cases(0)]
        train, validation = (
            torch.cat(masks[:-1]).double().mean(),
            masks[-1].double().mean(),
        )
        assert said == [
            f"{NAME}: the mask trusts {train:.1%} of the training points and "
            f"{validation:.1%} of the validation points; shifts are 0 to 0.84 eV"
        ]

    def test_console(self, training, caplog):
        with caplog.at_level(logging.INFO):
            training.run_epoch([make_loss()], make_cases(0), 0)
        line = caplog.records[-1].getMessage()
        names, _, (row,) = read_csv(training.path)
        cells = dict(cell.split(": ") for cell in line.split(" | "))
        assert list(cells) == names
        assert cells[f"training {NAME} shift"].endswith(" eV")
        assert {n: float(v.split()[0]) for n, v in cells.items()} == row


class TestDistributed:
    def test_share_of_the_first_process(self, training):
        """metatrain adds the losses of all processes, so the terms are scaled."""
        from torch.testing._internal.distributed.fake_pg import FakeStore

        loss = make_loss()
        torch.distributed.init_process_group(
            "fake", store=FakeStore(), rank=0, world_size=3
        )
        try:
            training.run_epoch([loss], make_cases(0), 0)
        finally:
            torch.distributed.destroy_process_group()
        ((row,),) = read_csv(training.path)[2:]
        expected = expected_row(make_cases(0))
        scaled = {n: v * (3 if n.endswith("term") else 1) for n, v in expected.items()}
        check_row(row, scaled)


class TestOff:
    def test_where_nobody_writes(self):
        assert make_loss()._sums is None

    def test_switched_off(self, training, monkeypatch):
        monkeypatch.setenv("METATRAIN_DOS_LOG", "0")
        loss = make_loss()
        assert loss._sums is None
        training.run_epoch([loss], make_cases(0), 0)
        names, _, _ = read_csv(training.path)
        assert names == ["Epoch", "learning rate", "training loss", "validation loss"]

    def test_after_a_training(self, training):
        assert make_loss()._sums is not None
        training.end()
        assert make_loss()._sums is None

    def test_changes_no_loss(self, training):
        watched, plain = make_loss(), make_loss()
        plain._sums = None
        results = []
        for loss in (watched, plain):
            p, t, m = make_case(0)
            value = loss(
                {NAME: tensor_map(p.requires_grad_())},
                {NAME: tensor_map(t)},
                {f"{NAME}_mask": tensor_map(m)},
            )
            value.backward()
            results.append((value, p.grad))
        for a, b in zip(*results, strict=True):
            assert torch.equal(a, b)


class TestChangedLogger:
    @pytest.mark.parametrize(
        ("owner", "attribute"),
        [
            (CSVFileHandler, "emit_data"),
            (metatrain_logging.CustomLogger, "data"),
            (metatrain_logging, "ROOT_LOGGER"),
        ],
    )
    def test_other_names(self, monkeypatch, owner, attribute):
        monkeypatch.delattr(owner, attribute)
        with pytest.warns(
            RuntimeWarning, match="the training goes on, but its"
        ) as said:
            loss = make_loss()
        (warning,) = said
        assert f"has no attribute '{attribute}'" in str(warning.message)
        assert "install a newer metatrain-dos" in str(warning.message)
        assert loss._sums is None

    def test_no_module(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "metatrain.utils.logging", None)
        with pytest.warns(RuntimeWarning, match="import of metatrain.utils.logging"):
            assert make_loss()._sums is None

    def test_other_columns(self, tmp_path):
        training = Training(tmp_path / "train.csv", names=("train", "valid"))
        try:
            loss = make_loss()
            with pytest.warns(
                RuntimeWarning, match="'training loss' is not in"
            ) as said:
                for epoch in range(3):
                    training.run_epoch([loss], make_cases(epoch), epoch)
        finally:
            training.end()
        assert len(said) == 1
        names, _, rows = read_csv(training.path)
        assert names == ["Epoch", "learning rate", "train loss", "valid loss"]
        assert len(rows) == 3

    def test_the_training_goes_on(self, tmp_path):
        make_folder(tmp_path, "pet")
        code = (
            "import metatrain.utils.logging as logging\n"
            "del logging.CSVFileHandler.emit_data\n"
            "from metatrain.__main__ import main\n"
            "main()\n"
        )
        done = subprocess.run(
            [
                *(sys.executable, "-c", code, "train", "options.yaml"),
                *("-r", "architecture.training.num_epochs=1"),
            ],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout
        assert done.stdout.count("the training goes on, but its log does not") == 1
        assert re.search(r"Epoch: +0 \| .* \| training loss: ", done.stdout)
        assert f"{NAME} shift" not in done.stdout


def test_nothing_waits_for_the_device():
    """Fake tensors have shapes and no numbers, so whatever reads a number fails."""
    with FakeTensorMode(allow_non_fake_inputs=False):
        sums = EpochTerms(NAME, TERMS, 0.05, EXTRA)
        for phase in ("training", "training", "validation", "training"):
            p = torch.rand(4, 2, 42, requires_grad=True)
            t, m = torch.rand(4, 2, 30), torch.ones(4, 2, 30, dtype=torch.bool)
            terms, shift = weighted_terms(p, t, m, **OPTIONS)
            loss = terms.sum(-1).mean()
            sums.add(loss, [(terms.detach(), shift, m)], 0.25)
            if phase == "training":
                loss.backward()
        with pytest.raises(DataDependentOutputException):
            sums.read()


def read_wandb(folder):
    """Read what was logged offline: records in the framing of LevelDB's log files."""
    from wandb.proto.wandb_internal_pb2 import Record

    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    content = path.read_bytes()
    header, block, whole = 7, 2**15, (1, 4)
    position, record, rows = header, b"", []
    while position < len(content):
        left = block - position % block
        if left < header:
            position += left
            continue
        _, length, kind = struct.unpack_from("<IHB", content, position)
        position += header
        record += content[position : position + length]
        position += length
        if kind in whole:
            message, record = Record.FromString(record), b""
            if message.WhichOneof("record_type") == "history":
                items = message.history.item
                rows.append(
                    {
                        ".".join(i.nested_key) or i.key: json.loads(i.value_json)
                        for i in items
                    }
                )
    return rows


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Train on two DOS and on forces, and log every second epoch."""
    folder = tmp_path_factory.mktemp("mixed")
    make_folder(folder, "pet")
    options = OmegaConf.load(folder / "options.yaml")
    for name in ("training_set", "validation_set", "test_set"):
        section = options[name]
        section.targets["mtt::second"] = {**section.targets[NAME], "key": "second"}
        section.extra_data["mtt::second_mask"] = section.extra_data["mtt::dos_mask"]
        section.targets.energy = {"key": "energy", "unit": "eV", "forces": True}
        path = folder / section.systems.read_from
        frames = ase.io.read(path, ":")
        for frame in frames:
            frame.info["second"] = 0.5 * np.roll(frame.info["dos"], 10)
            frame.info["energy"] = float(len(frame))
            frame.arrays["forces"] = np.zeros((len(frame), 3))
        ase.io.write(path, frames)
    training = options.architecture.training
    training.loss[NAME].weight = 0.5
    training.loss["mtt::second"] = {"type": "masked_dos", "reduction": "sum"}
    # It takes part, but adds nothing to the loss, so that what is left is ours.
    training.loss.energy = {
        "type": "mse",
        "weight": 0.0,
        "gradients": {"positions": {"type": "mse", "weight": 0.0}},
    }
    training.atomic_baseline = {NAME: 0.0, "mtt::second": 0.0, "energy": 0.0}
    training.num_epochs, training.log_interval = 4, 2
    if find_spec("wandb"):
        options.wandb = {"mode": "offline", "project": "dos"}
    OmegaConf.save(options, folder / "options.yaml")
    status, log = mtt("train", "options.yaml", folder=folder)
    assert status == 0, log
    return folder, log


class TestMixedTraining:
    def test_terms_add_up(self, mixed):
        folder, log = mixed
        (path,) = folder.glob("outputs/*/*/train.csv")
        _, _, rows = read_csv(path)
        assert [row["Epoch"] for row in rows] == [0, 2]
        for row in rows:
            check_sums(row, NAME, "mtt::second")
        assert "the training goes on" not in log

    @pytest.mark.skipif(not find_spec("wandb"), reason="needs wandb")
    def test_weights_and_biases(self, mixed):
        folder, _ = mixed
        (path,) = folder.glob("outputs/*/*/train.csv")
        names, units, rows = read_csv(path)
        logged = read_wandb(folder)
        assert [each["_step"] for each in logged] == [0, 2]
        for each, row in zip(logged, rows, strict=True):
            for name, unit in zip(names[1:], units[1:], strict=True):
                key = re.sub(f"^({'|'.join(PHASES)}) ", r"\1/", name)
                key += f" [{unit.replace('/', ' per ')}]" if unit else ""
                assert each[key] == row[name]
