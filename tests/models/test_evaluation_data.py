"""Data that a model can, and cannot, be compared with."""

import os
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from omegaconf import OmegaConf

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


class TestIndicesOfASE:
    """``file@index`` chooses frames, as in ASE."""

    @pytest.fixture
    def frames(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        info = {"dos": np.ones(4)}
        frames = [Atoms("H", info=info | {"number": i}) for i in range(6)]
        ase.io.write("data.xyz", frames)
        return frames

    @staticmethod
    def used(section):
        return [sample.index for sample in samples(section, "mtt::dos")]

    @pytest.mark.parametrize("index", [":2", "1::2", "-2:", "3", "-1", "::-2"])
    def test_of_a_file(self, frames, index):
        (section,) = find_data(Path(f"data.xyz@{index}"), "mtt::dos")
        chosen = ase.io.iread(f"data.xyz@{index}")
        numbers = sorted(atoms.info["number"] for atoms in chosen)
        assert self.used(section) == numbers

    def test_a_file_may_have_such_a_name(self, frames):
        Path("data.xyz").rename("data@1.xyz")
        (section,) = find_data(Path("data@1.xyz"), "mtt::dos")
        assert self.used(section) == list(range(6))

    @pytest.mark.parametrize(
        ("given", "used"), [(None, [2, 3, 4, 5]), ([0, 3], [2, 5])]
    )
    def test_of_an_options_file(self, frames, given, used):
        """Further indices count the frames that are left, as in metatrain."""
        entry = {"read_from": "data.xyz@2:", "key": "dos", "reader": "ase"}
        entry |= {"type": "scalar", "sample_kind": "system", "quantity": ""}
        test_set = {
            "systems": {"read_from": "data.xyz@2:", "reader": "ase"},
            "targets": {"mtt::dos": entry},
        }
        if given is not None:
            test_set["indices"] = given
        OmegaConf.save({"test_set": test_set}, "options.yaml")
        (section,) = find_data(Path("options.yaml"), "mtt::dos")
        assert self.used(section) == used

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("data.xyz@6", r"an index below the 6 structures of data\.xyz, got 6"),
            ("options.yaml@1", "data: expected extended XYZ in front of an index, got"),
        ],
    )
    def test_that_do_not_fit(self, frames, name, message):
        Path("options.yaml").write_text("test_set: 0.1\n")
        with pytest.raises(ValueError, match=message):
            find_data(Path(name), "mtt::dos")
