"""Files that have no end."""

import os

import pytest

from metatrain_dos.data.target_spec import TargetSpec
from metatrain_dos.utils import files


def test_kinds(tmp_path, no_waiting):
    (tmp_path / "file").write_text("text")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "loop").symlink_to("loop")
    endless = ("pipe", "device")
    for name in (*endless, "file", "link", "loop", "missing", ".", "a\0b"):
        assert files.is_special_file(tmp_path / name) == (name in endless), name
    for name in endless:
        with pytest.raises(ValueError, match=rf"{name}: .*got a pipe or a device"):
            files.refuse_special_file(tmp_path / name)
        with pytest.raises(ValueError, match="a pipe or a device"):
            files.read_text(tmp_path / name)
    assert files.read_text(tmp_path / "link") == "text"


def test_grids_that_have_no_end(tmp_path, no_waiting):
    os.mkfifo(tmp_path / "grid.json")
    with pytest.raises(ValueError, match=r"grid\.json: .*got a pipe or a device"):
        TargetSpec.read(tmp_path / "grid.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[" * 100_000, "as JSON, got"),
        ('{"grid": {"origin": 0, "spacing": 0.1, "size": 1000000000000}}', "size: exp"),
        (
            '{"grid": {"origin": 0, "spacing": 0.1, "size": 9}, "smearing": 1e12}',
            "smearing: expected at most",
        ),
        (
            '{"grid": {"origin": 0, "spacing": 0.1, "size": 9}, "extra_targets": -1}',
            "extra_targets: expected a number from 0",
        ),
    ],
)
def test_grids_that_cannot_be_meant(tmp_path, content, message):
    (tmp_path / "grid.json").write_text(content)
    with pytest.raises(ValueError, match=rf"grid\.json: .*{message}"):
        TargetSpec.read(tmp_path / "grid.json")
