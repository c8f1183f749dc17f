"""Data that a model can, and cannot, be compared with."""

import os

import ase.io
import numpy as np
import pytest
from ase import Atoms

from metatrain_dos.data.samples import samples
from metatrain_dos.models.evaluation_data import find_data


def test_finding_what_cannot_be_read(tmp_path, no_waiting):
    (tmp_path / "text.zip").write_text("no zip")
    (tmp_path / "many.xyz").write_text("1000000000000\n\nH 0 0 0\n")
    os.mkfifo(tmp_path / "pipe.xyz")
    for name, message in (
        ("text.zip", "cannot be read .*not a zip"),
        ("many.xyz", "cannot be read .*expected 1000000000000 complete lines"),
        ("pipe.xyz", "expected a file, got a pipe or a device"),
    ):
        with pytest.raises(ValueError, match=f"{name}.*{message}"):
            find_data(tmp_path / name, "mtt::dos")


OPTIONS = """\
training_set:
  systems: {read_from: all.xyz, length_unit: angstrom}
  targets:
    mtt::dos: {key: dos, type: scalar, num_subtargets: 2}
test_set: 0.4
"""


def test_a_fraction_is_that_of_the_last_training_run(tmp_path):
    (tmp_path / "options.yaml").write_text(OPTIONS)
    info = {"dos": np.ones(2)}
    ase.io.write(tmp_path / "all.xyz", [Atoms("C", info=info) for _ in range(5)])
    with pytest.raises(
        ValueError, match=r"indices of a fraction in outputs.*found nei"
    ):
        find_data(tmp_path, "mtt::dos")
    for day, indices in (("2026-11-24", [0, 1]), ("2026-11-25", [4, 2])):
        folder = tmp_path / "outputs" / day / "12-00-00" / "indices"
        folder.mkdir(parents=True)
        np.savetxt(folder / "test.txt", indices, fmt="%d")
    (section,) = find_data(tmp_path, "mtt::dos")
    assert section.name == "test_set"
    assert [each.index for each in samples(section, "mtt::dos")] == [2, 4]
