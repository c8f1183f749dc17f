"""Structures of a data set, one by one."""

import os

import ase
import numpy as np
import pytest

from metatrain_dos.data.samples import Sample, samples
from metatrain_dos.data.sections import Section


def test_composition_and_density():
    def sample(numbers, volume):
        atoms = ase.Atoms(numbers, cell=[volume, 1.0, 1.0] if volume else None)
        return Sample(0, atoms, np.zeros((1, 1)), None)

    assert sample([14] * 8, 160.0).composition == ((14, 1),)
    assert sample([1, 8, 1] * 2, 50.0).composition == ((1, 2), (8, 1))
    assert sample([14] * 8, 160.0).density == pytest.approx(0.05)
    assert sample([14] * 8, 0.0).density == 0


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
        ("na.npy", np.array([0, 2, 1]), r"from 1 to 118, got \[\]"),
        ("na.npy", np.array([0, 1, 10**12]), "greater than file size|mmap|larger"),
        ("na.npy", np.array([0, object], dtype=object), "allow_pickle=False"),
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


def test_sources(memmap):
    """As ``mtt-dos prepare`` writes them beside the data."""
    assert [sample.source for sample in read(memmap)] == [None, None]
    table = "split,index,source,number\ntest_set,1,b.out,0\nother_set,0,a.out,0\n"
    (memmap.parent / "sources.csv").write_text(table)
    data = memmap.rename(memmap.parent / "test")
    assert [sample.source for sample in read(data)] == [None, "b.out@0"]
