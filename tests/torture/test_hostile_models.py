"""Models, structures and outputs of ``evaluate`` and ``predict`` that mean harm."""

import os
import pickle

import ase.io
import pytest
from ase.build import molecule
from damage import damaged
from helpers.commands import snapshot
from helpers.level_model import CHOICES, write_model
from hostile_models import ELECTRONS, MODELS, STRUCTURES

from metatrain_dos.data.dataset import write_dataset
from metatrain_dos.data.readers import Calculation


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Make a model, its grid, and data for both commands."""
    folder = tmp_path_factory.mktemp("good")
    write_model(folder)
    hydrogen = molecule("H2")
    levels = [-5.0, 1.0]
    each = Calculation(hydrogen, [[levels + levels]], [2.0], n_electrons=2.0)
    write_dataset(folder / "data", {"test_set": [each] * 3}, CHOICES)
    ase.io.write(folder / "structures.xyz", [hydrogen] * 3)
    return folder


@pytest.fixture
def folder(tmp_path, good):
    """Copy them, so that whatever a command changes is seen."""
    for name in ("model.pt", "grid.json", "structures.xyz"):
        (tmp_path / name).write_bytes((good / name).read_bytes())
    (tmp_path / "test.xyz").write_bytes((good / "data" / "test.xyz").read_bytes())
    return tmp_path


def evaluate(command, folder, model="model.pt", data="test.xyz", output="report"):
    more = ("--device", "cpu", "--grid", "grid.json")
    return command(folder, "evaluate", model, data, "-o", output, *more)


def predict(command, folder, model="model.pt", data="structures.xyz", output="a.xyz"):
    more = ("--device", "cpu", "--electrons", "2", "--grid", "grid.json")
    return command(folder, "predict", model, data, "-o", output, *more)


COMMANDS = {"evaluate": evaluate, "predict": predict}


def refused(run, command, folder, **arguments):
    """Run a command that must fail with one message, and leave nothing behind."""
    before = snapshot(folder)
    status, out, err = run(command, folder, **arguments)
    assert status == 1, out
    assert err.startswith(f"mtt-dos {run.__name__}: "), err
    assert len(err) < 1500, err
    assert snapshot(folder) == before
    return err


def test_both_work(command, folder, amount):
    for name in amount(["predict"], COMMANDS):
        status, _, err = COMMANDS[name](command, folder)
        assert status == 0, err


# ---------------------------------------------------------------------------- models


def test_models(command, folder, amount, tally):
    for model in amount(("zip.pt", "pickle.pt", "torch.pt", "cut.ckpt"), MODELS):
        (folder / model).write_bytes(MODELS[model])
        for name in amount(["predict"], COMMANDS):
            err = refused(COMMANDS[name], command, folder, model=model)
            assert err.startswith(f"mtt-dos {name}: model: expected") and model in err
            tally("hostile models for `evaluate` and `predict`")


def test_owned_is_noticed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pickle.loads(MODELS["pickle.pt"]).close()
    assert (tmp_path / "owned").exists()


def test_models_that_are_no_files(command, folder, amount, tally):
    os.mkfifo(folder / "pipe.pt")
    (folder / "zero.pt").symlink_to("/dev/zero")
    (folder / "loop.ckpt").symlink_to("loop.ckpt")
    (folder / "folder.pt").mkdir()
    for model in ("pipe.pt", "zero.pt", "loop.ckpt", "folder.pt", "missing.pt", ""):
        for name in amount(["predict"], COMMANDS):
            err = refused(COMMANDS[name], command, folder, model=model)
            assert "expected " in err and ".pt or .ckpt" in err and model in err
            tally("hostile models for `evaluate` and `predict`")


def test_damaged_models(command, folder, amount, seed, tally):
    whole = (folder / "model.pt").read_bytes()
    cases = amount(5, 200)
    for number in range(cases):
        changed, done = damaged(whole, seed, "model.pt", number)
        (folder / "model.pt").write_bytes(changed)
        (folder / "a.xyz").unlink(missing_ok=True)
        before = snapshot(folder)
        status, _, err = predict(command, folder)
        case = f"case {number} ({done}): {err}"
        assert status in (0, 1), case
        if status == 1:
            assert err.startswith("mtt-dos predict: model: expected"), case
            assert "model.pt" in err and len(err) < 1500, case
            assert snapshot(folder) == before, case
    tally("damaged exported models", cases)


# ------------------------------------------------------------------------ structures


def test_structures(command, folder, amount, tally):
    for name in amount(("count.xyz", "columns.xyz", "nan.xyz"), STRUCTURES):
        (folder / name).write_text(STRUCTURES[name])
        err = refused(predict, command, folder, data=name)
        assert name in err or "structure 0" in err
        tally("hostile structures for `predict`")


def test_structures_that_are_no_files(command, folder, tally):
    os.mkfifo(folder / "pipe.xyz")
    (folder / "zero.xyz").symlink_to("/dev/zero")
    (folder / "zero.cif").symlink_to("/dev/zero")
    (folder / "loop.xyz").symlink_to("loop.xyz")
    (folder / "folder.xyz").mkdir()
    names = (
        "pipe.xyz",
        "zero.xyz",
        "zero.cif",
        "loop.xyz",
        "folder.xyz",
        "missing.xyz",
    )
    for name in names:
        assert name in refused(predict, command, folder, data=name)
        tally("hostile structures for `predict`")


def test_valences(command, folder, amount, tally):
    def predict(command, folder, name):
        more = ("--valences", name, "--grid", "grid.json", "-o", "a.xyz")
        return command(folder, "predict", "model.pt", "structures.xyz", *more)

    for name in amount(("bomb.yaml",), ELECTRONS):
        (folder / name).write_text(ELECTRONS[name], errors="surrogateescape")
        err = refused(predict, command, folder, name=name)
        assert "valences: expected" in err, name
        tally("hostile options of `evaluate` and `predict`")


OPTIONS = (
    ("--grid", "deep.json", "deep.json: expected"),
    ("--grid", "large.json", "size: expected 1 to"),
    ("--grid", "pipe.json", "grid: expected a grid.json"),
    ("--device", "cpu:99999", "device: expected"),
    ("--device", "cpu:x", "device: expected"),
    ("--batch-size", "0", "batch_size: expected"),
    ("--batch-size", "-1", "batch_size: expected"),
    ("--target", "../x", "target: expected"),
    ("--extra-targets", "1000000000000", "extra_targets: expected"),
    ("--grid-spacing", "nan", "spacing: expected"),
)


def test_options(command, folder, amount, tally):
    os.mkfifo(folder / "pipe.json")
    (folder / "deep.json").write_text("[" * 100_000)
    grid = '{"grid": {"origin": 0, "spacing": 0.05, "size": 1000000000000}}'
    (folder / "large.json").write_text(grid)

    def evaluate(command, folder, option, value):
        more = ("-o", "report", option, value)
        return command(folder, "evaluate", "model.pt", "test.xyz", *more)

    def predict(command, folder, option, value):
        more = ("-o", "a.xyz", option, value)
        return command(folder, "predict", "model.pt", "structures.xyz", *more)

    for option, value, message in OPTIONS[: amount(4, None)]:
        for run in amount([predict], [evaluate, predict]):
            err = refused(run, command, folder, option=option, value=value)
            assert message in err, err
            tally("hostile options of `evaluate` and `predict`")


# ----------------------------------------------------------------------------- output


REPORTS = ("full", "file", "", ".", "/", "x" * 300, "file/a")
FILES = ("full", "file.xyz", "", ".", "/", "x" * 300 + ".xyz", "no/a.xyz", "file.xyz/a")


def test_reports(command, folder, amount, tally):
    (folder / "full").mkdir()
    (folder / "full" / "mine").write_text("to be kept")
    (folder / "file").write_text("to be kept")
    for output in REPORTS[: amount(2, None)]:
        refused(evaluate, command, folder, output=output)
        tally("outputs of `evaluate` and `predict`")


def test_predictions(command, folder, amount, tally):
    (folder / "full").mkdir()
    (folder / "file.xyz").write_text("to be kept")
    for output in FILES[: amount(2, None)]:
        err = refused(predict, command, folder, output=output)
        reasons = ("output: expected", "exists", "too long", "directory")
        assert any(reason in err for reason in reasons)
        tally("outputs of `evaluate` and `predict`")


def test_outputs_that_are_links(command, folder, only_torture):
    """A dangling link is replaced; its destination is not created."""
    outside = folder / "outside"
    outside.mkdir()
    (folder / "report").symlink_to("outside/report")
    (folder / "a.xyz").symlink_to("outside/a.xyz")
    predict(command, folder)
    evaluate(command, folder)
    assert list(outside.iterdir()) == []
