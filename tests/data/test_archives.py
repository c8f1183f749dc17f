"""Data sets that announce more than they hold, or are none."""

import io
import os
import zipfile

import numpy as np
import pytest
from helpers.archives import npy, zipped

from metatrain_dos.data.archives import check_archive, check_dataset
from metatrain_dos.data.samples import samples
from metatrain_dos.data.sections import Section
from metatrain_dos.models.evaluation_data import find_data


GOOD = {"values.npy": npy("<f8", (2, 3)) + bytes(48)}


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (
            {"values.npy": npy("<f8", (1, 500_000_000))},
            r"values\.npy to hold what it ann",
        ),
        (
            {"values.npy": npy("<f8", (2**40, 2**40))},
            r"values\.npy to hold what it announ",
        ),
        ({"values.npy": npy("|O", (2,)) + b"pickle"}, r"got object of shape \(2,\)"),
        (
            {"more.mts": zipped({"a.npy": npy("<f8", (99,))})},
            r"a\.npy to hold what it ann",
        ),
        (
            {"more.mts": zipped(GOOD, zipfile.ZIP_DEFLATED)},
            "nothing that is compressed",
        ),
        ({"values.npy": b"no array"}, "magic string"),
    ],
)
def test_archives(members, message):
    check_archive(io.BytesIO(b"in front" + zipped(GOOD)))
    with pytest.raises(ValueError, match=message):
        check_archive(io.BytesIO(zipped(GOOD | members)))


def test_data_sets(tmp_path):
    path = tmp_path / "a.zip"
    good, bad = zipped(GOOD), zipped({"values.npy": npy("<f8", (999,))})
    path.write_bytes(zipped({"0/dos.mts": good, "0/other.mts": bad}))
    check_dataset(path, {"system", "dos"})
    with pytest.raises(ValueError, match=r"0/other\.mts: expected values\.npy to hold"):
        check_dataset(path, {"other"})
    path.write_bytes(zipped({"0/dos.mts": good}, zipfile.ZIP_DEFLATED))
    with pytest.raises(ValueError, match=r"0/dos\.mts: expected nothing that is compr"):
        check_dataset(path, {"dos"})
    # 65,000 letters for every name would be 650 MB for 10,000 names.
    path.write_bytes(zipped({"x" * 65_000: b""}))
    with pytest.raises(ValueError, match="names of at most 255 letters, got 65000"):
        check_dataset(path, {"dos"})


def test_finding_what_cannot_be_read(tmp_path, no_waiting):
    (tmp_path / "text.zip").write_text("no zip")
    (tmp_path / "many.xyz").write_text("1000000000000\n\nH 0 0 0\n")
    os.mkfifo(tmp_path / "pipe.xyz")
    for name, message in (
        ("text.zip", "cannot be read .*not a zip"),
        ("many.xyz", "cannot be read .*1000000000000 atoms are announced"),
        ("pipe.xyz", "expected a file, got a pipe or a device"),
    ):
        with pytest.raises(ValueError, match=f"{name}.*{message}"):
            find_data(tmp_path / name, "mtt::dos")


@pytest.fixture
def memmap(tmp_path):
    """Write two structures of one atom each, memory-mapped."""
    np.save(tmp_path / "ns.npy", 2)
    np.save(tmp_path / "na.npy", np.array([0, 1, 2]))
    np.ones(2, "int32").tofile(tmp_path / "a.bin")
    np.zeros((2, 3), "float32").tofile(tmp_path / "x.bin")
    np.ones((2, 4), "float32").tofile(tmp_path / "dos.bin")
    return tmp_path


def read(source):
    entry = {"key": "dos", "sample_kind": "system", "read_from": str(source)}
    config = {"systems": {"read_from": str(source)}, "targets": {"dos": entry}}
    return list(samples(Section(("test",), config), "dos"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("na.npy", np.array([0, 2, 1]), "count the atoms up from 0, .* got int64"),
        ("na.npy", np.array([0]), "count the atoms up"),
        ("na.npy", np.array([1, 2, 3]), "count the atoms up"),
        ("na.npy", np.array([0.0, 1, np.nan]), "count the atoms up .* got float64"),
        ("na.npy", np.zeros((3, 1), int), r"count the atoms up .* shape \(3, 1\)"),
        ("na.npy", np.array([0, 1, 10**12]), "greater than file size|mmap|larger"),
        ("na.npy", np.array([0, object], dtype=object), "allow_pickle=False"),
        ("ns.npy", np.array(10**12), r"ns\.npy to say 2, .* got array\(10000000"),
        ("ns.npy", np.array([2]), r"ns\.npy to say 2, .* got array\(\[2\]\)"),
        ("a.bin", np.array([1, -7], "int32"), r"from 1 to 118, got \[-7\]"),
        ("x.bin", np.full(6, np.nan, "float32"), "positions: expected finite numbers"),
    ],
)
def test_memmaps(memmap, name, content, message):
    assert [len(sample.atoms) for sample in read(memmap)] == [1, 1]
    if name.endswith(".npy"):
        np.save(memmap / name, content)
    else:
        content.tofile(memmap / name)
    with pytest.raises(ValueError, match=message):
        read(memmap)


def test_memmaps_with_pipes(memmap, no_waiting):
    (memmap / "x.bin").unlink()
    os.mkfifo(memmap / "x.bin")
    with pytest.raises(ValueError, match=r"x\.bin: .*got a pipe or a device"):
        read(memmap)
