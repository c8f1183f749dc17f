"""Sources are shared out among workers by number and by size."""

import os
from itertools import chain

from metatrain_dos.data.prepare.read import _shares


def make(folder, sizes):
    paths = [folder / f"{i}.xml" for i in range(len(sizes))]
    for path, size in zip(paths, sizes, strict=True):
        path.touch()
        os.truncate(path, size)  # a hole, which takes no space on the disk
    return [str(path) for path in paths]


def test_large_sources_one_by_one(tmp_path):
    paths = make(tmp_path, [8_000_000] * 8)
    assert list(_shares(paths, 100)) == [[path] for path in paths]


def test_small_sources_together(tmp_path):
    paths = make(tmp_path, [40_000] * 250)
    assert list(map(len, _shares(paths, 100))) == [100, 100, 50]
    assert list(chain(*_shares(paths, 7))) == paths


def test_sources_that_are_gone(tmp_path):
    """The worker that opens one reports it."""
    assert list(_shares([str(tmp_path / "gone")], 100)) == [[str(tmp_path / "gone")]]
