"""Data sets that are damaged, or mean harm, for ``check`` and ``evaluate``."""

import io
import os
import pickle
import shutil
import struct
import zipfile

import numpy as np
import pytest
from ase.build import molecule
from commands import MEMORY, snapshot
from damage import damaged
from level_model import CHOICES, write_model
from test_hostile_inputs import TEXTS
from test_hostile_models import Owned

from metatrain_dos.datasets import SETS, write_dataset
from metatrain_dos.formats import FORMATS
from metatrain_dos.readers import Calculation


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
    for kind in FORMATS:
        splits = {name: [each] * 4 for name in SETS}
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
    data = f"{kind}/test{FORMATS[kind].suffix}"
    status, _, err = command(folder, "evaluate", "model.pt", data, *more)
    assert status in (0, 1), err
    if status == 1:
        assert err.startswith("mtt-dos evaluate: "), err
        assert data in err or "test" in err, err
    shutil.rmtree(folder / "report", ignore_errors=True)
    return status, err


def test_good_data(command, folder, amount):
    for kind in amount(["memmap"], FORMATS):
        _, out = check(command, folder, kind)
        assert "cannot be read" not in out, out
        status, err = evaluate(command, folder, kind)
        assert status == 0, err


@pytest.mark.parametrize("kind", FORMATS)
def test_damage(reader, folder, amount, seed, tally, kind):
    """What both commands read with survives random damage."""
    data = folder / kind / f"test{FORMATS[kind].suffix}"
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


@pytest.mark.parametrize("kind", FORMATS)
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
    """Demand of commands that they name what they cannot read."""

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


def npy(dtype, shape):
    """Write the header of an array."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": dtype, "fortran_order": False, "shape": shape}
    )
    return stream.getvalue()


def unzipped(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(members, how=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", how) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def tensor_map(members, how=zipfile.ZIP_STORED):
    """Write what metatrain has in a member: an array of the bytes of an archive."""
    content = zipped(members, how)
    return npy("|u1", (len(content),)) + content


HUGE = npy("<f8", (1, 500_000_000))
PICKLED = npy("|O", (1,)) + pickle.dumps(Owned())


def change_zip(change):
    """Make a function that changes the members of a data set, and those of a DOS."""

    def changed(content):
        members = unzipped(content)
        dos = unzipped(members["0/dos.mts"])
        change(members, dos)
        return zipped(members)

    return changed


def put(name, content):
    """Exchange an array of the DOS of the first structure."""

    def change(members, dos):
        members["0/dos.mts"] = tensor_map({**dos, name: content})

    return change_zip(change)


def bomb(members, dos):
    zeros = npy("<f8", (1, 50_000_000)) + bytes(400_000_000)
    dos = {**dos, "blocks/0/values.npy": zeros}
    members["0/dos.mts"] = tensor_map(dos, zipfile.ZIP_DEFLATED)


ZIPS = {
    "huge": put("blocks/0/values.npy", HUGE),
    "huge labels": put("blocks/0/samples.npy", npy([("a", "<i4")], (10**9,))),
    "negative": put("blocks/0/values.npy", npy("<f8", (-1, -5))),
    "objects": put("blocks/0/values.npy", PICKLED),
    "no values": put("blocks/0/values.npy", b""),
    "bomb": change_zip(bomb),
    "outer bomb": lambda content: zipped(
        unzipped(content) | {"0/dos.mts": bytes(400_000_000)}, zipfile.ZIP_DEFLATED
    ),
    "outer huge": change_zip(
        lambda m, d: m.update({"0/dos.mts": npy("|u1", (10**12,))})
    ),
    "outer objects": change_zip(lambda m, d: m.update({"0/dos.mts": PICKLED})),
    "pickle": change_zip(lambda m, d: m.update({"0/dos.mts": pickle.dumps(Owned())})),
    "huge system": change_zip(
        lambda m, d: m.update(
            {
                "0/system.mta": zipped(
                    unzipped(m["0/system.mta"]) | {"positions.npy": HUGE}
                )
            }
        )
    ),
    "pickled system": change_zip(
        lambda m, d: m.update(
            {
                "0/system.mta": zipped(
                    unzipped(m["0/system.mta"]) | {"positions.npy": PICKLED}
                )
            }
        )
    ),
    "no system": change_zip(lambda m, d: m.pop("1/system.mta")),
    "no target": change_zip(lambda m, d: m.pop("1/dos.mts")),
    "climbing": lambda content: zipped(
        {f"../../{name}": member for name, member in unzipped(content).items()}
    ),
    "absolute": lambda content: zipped(
        {f"/tmp/{name}": member for name, member in unzipped(content).items()}
    ),
    "long names": lambda content: zipped(
        unzipped(content) | {"x" * 65_000: b"", **{f"x{i}": b"" for i in range(9999)}}
    ),
    "no entries": lambda content: zipped({}),
    "no zip": lambda content: b"text",
    "encrypted": lambda content: content.replace(
        b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01"
    ),
}


def test_zip(refused, folder, amount):
    path = folder / "zip" / "test.zip"
    whole = path.read_bytes()
    for name in amount(("huge", "objects", "climbing"), ZIPS):
        path.write_bytes(ZIPS[name](whole))
        assert path.read_bytes() != whole, name
        refused("zip", name, both=name == "huge")


def saved(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


MEMMAPS = {
    "pickled ends": ("na.npy", PICKLED),
    "a pickle": ("na.npy", pickle.dumps(Owned())),
    "pickled count": ("ns.npy", npy("|O", ()) + pickle.dumps(Owned())),
    "huge ends": ("na.npy", npy("<i8", (10**12,))),
    "many atoms": ("na.npy", saved(np.array([0, 2, 4, 6, 10**12]))),
    "no structures": ("na.npy", saved(np.array([0]))),
    "backwards": ("na.npy", saved(np.array([0, 6, 4, 2, 8]))),
    "negative": ("na.npy", saved(np.array([0, -2, 4, 6, 8]))),
    "floats": ("na.npy", saved(np.array([0.0, 2, 4, np.nan, 8]))),
    "text": ("na.npy", saved(np.array(["0", "2"]))),
    "two axes": ("na.npy", saved(np.zeros((5, 1), int))),
    "other count": ("ns.npy", saved(np.array(10**12))),
    "no count": ("ns.npy", b""),
    "no atoms": ("a.bin", b""),
    "cut positions": ("x.bin", bytes(7)),
    "cut cells": ("c.bin", bytes(7)),
    "cut targets": ("dos.bin", bytes(7)),
    "empty targets": ("dos.bin", b""),
    "no elements": ("a.bin", struct.pack("<8i", *([-7] * 8))),
    "no positions": ("x.bin", struct.pack("<24f", *([float("nan")] * 24))),
}


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
    for kind in amount(["memmap"], FORMATS):
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
