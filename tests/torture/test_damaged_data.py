"""Data sets that are damaged, or mean harm, for ``check`` and ``evaluate``."""

import os
import shutil

import pytest
from ase.build import molecule
from damage import damaged
from helpers.commands import MEMORY, snapshot
from helpers.level_model import CHOICES, write_model
from hostile_data import MEMMAPS, ZIPS
from hostile_texts import TEXTS

from metatrain_dos.data.dataset import SPLITS, write_dataset
from metatrain_dos.data.readers import Calculation
from metatrain_dos.data.writers import DATASET_FORMATS


MEMBERS = {
    "xyz": ["test.xyz"],
    "zip": ["test.zip"],
    "memmap": [f"test/{name}" for name in ("na.npy", "ns.npy", "a.bin", "dos.bin")],
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Write a data set in each format, and a model that knows its elements."""
    folder = tmp_path_factory.mktemp("made")
    each = Calculation(
        molecule("H2"), [[[-5.0, 1.0, 1.0, 2.0]]], [2.0], n_electrons=2.0
    )
    for kind in DATASET_FORMATS:
        splits = {name: [each] * 4 for name in SPLITS}
        write_dataset(folder / kind, splits, CHOICES, format=kind)
    write_model(folder)
    return folder


@pytest.fixture
def folder(tmp_path, made):
    """Copy all, so that whatever a command changes is seen."""
    shutil.copytree(made, tmp_path / "work")
    return tmp_path / "work"


def check(command, folder, kind):
    """Check a data set; give its exit status and its message about data."""
    status, out, err = command(folder, "check", f"{kind}/options.yaml")
    assert status in (0, 1) and not err, err
    return status, out


def evaluate(command, folder, kind):
    """Evaluate a data set; give its exit status and its message."""
    more = ("-o", "report", "--device", "cpu", "--grid", f"{kind}/grid.json")
    data = f"{kind}/test{DATASET_FORMATS[kind].suffix}"
    status, _, err = command(folder, "evaluate", "model.pt", data, *more)
    assert status in (0, 1), err
    if status == 1:
        assert err.startswith("mtt-dos evaluate: "), err
        assert data in err or "test" in err, err
    shutil.rmtree(folder / "report", ignore_errors=True)
    return status, err


def test_good_data(command, folder, amount):
    for kind in amount(["memmap"], DATASET_FORMATS):
        _, out = check(command, folder, kind)
        assert "cannot be read" not in out, out
        status, err = evaluate(command, folder, kind)
        assert status == 0, err


@pytest.mark.parametrize("kind", DATASET_FORMATS)
def test_damage(reader, folder, amount, seed, tally, kind):
    """What both commands read with survives random damage."""
    data = folder / kind / f"test{DATASET_FORMATS[kind].suffix}"
    before = snapshot(folder)
    whole = reader(data, True)
    assert whole["count"] == 4
    for member in MEMBERS[kind]:
        path = folder / kind / member
        content = path.read_bytes()
        cases = amount(20, 1000) // len(MEMBERS[kind])
        refused = 0
        for number in range(cases):
            changed, done = damaged(content, seed, member, number)
            path.write_bytes(changed)
            answer = reader(data, True)
            case = f"case {number} of {member} ({done}): {answer}"
            assert answer["status"] == 0, case
            assert answer["memory"] < whole["memory"] + MEMORY, case
            assert answer["count"] > 0 or "message" in answer, case
            refused += "message" in answer
        path.write_bytes(content)
        tally("damaged data sets", cases)
        tally("damaged data sets that were refused", refused)
    assert snapshot(folder) == before


@pytest.mark.parametrize("kind", DATASET_FORMATS)
def test_damage_for_commands(command, folder, amount, seed, tally, kind):
    """And so do the commands, which end with an exit status."""
    path = folder / kind / MEMBERS[kind][0]
    content = path.read_bytes()
    for number in range(amount(1, 30)):
        changed, _ = damaged(content, seed, kind, number)
        path.write_bytes(changed)
        before = snapshot(folder)
        (check if number % 3 else evaluate)(command, folder, kind)
        assert snapshot(folder) == before
        tally("damaged data sets for `check` or `evaluate`")


# ------------------------------------------------------------------------------- harm


@pytest.fixture
def refused(command, folder, amount, tally):
    """Require that commands name the file that they cannot read."""

    def refused(kind, name, both=False):
        before = snapshot(folder)
        status, err = evaluate(command, folder, kind)
        assert status == 1 and len(err) < 1500, (name, err)
        # In the share only some, because this one takes long to begin.
        if both or amount(False, True):
            status, out = check(command, folder, kind)
            assert status == 1, name
            known = f"cannot be read: {kind}/test" in out or "there is no" in out
            assert known and len(out) < 4000, (name, out)
        assert snapshot(folder) == before, name
        tally("hostile data sets for `check` and `evaluate`")

    return refused


def test_zip(refused, folder, amount):
    path = folder / "zip" / "test.zip"
    whole = path.read_bytes()
    for name in amount(("no values", "objects", "climbing"), ZIPS):
        path.write_bytes(ZIPS[name](whole))
        assert path.read_bytes() != whole, name
        refused("zip", name, both=name == "no values")


def test_memmap(refused, folder, amount):
    for name in amount(("pickled ends", "many atoms", "no positions"), MEMMAPS):
        member, content = MEMMAPS[name]
        path = folder / "memmap" / "test" / member
        whole = path.read_bytes()
        path.write_bytes(content)
        refused("memmap", name, both=name == "pickled ends")
        path.write_bytes(whole)


def test_xyz(refused, folder, amount):
    more = ("endless-count.xyz", "negative.xyz", "array.xyz")
    for name in ("count.xyz", "columns.xyz", *amount((), more)):
        (folder / "xyz" / "test.xyz").write_text(TEXTS[name])
        refused("xyz", name)


def test_what_is_no_file(refused, folder, amount):
    for kind in amount(["memmap"], DATASET_FORMATS):
        for member in amount(MEMBERS[kind][2:3], MEMBERS[kind]):
            path = folder / kind / member
            whole = path.read_bytes()
            path.unlink()
            refused(kind, member)
            os.mkfifo(path)
            refused(kind, member, both=True)
            path.unlink()
            path.symlink_to("/dev/zero")
            refused(kind, member)
            path.unlink()
            path.write_bytes(whole)
