"""Data that a model can, and cannot, be compared with."""

import os

import pytest

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
