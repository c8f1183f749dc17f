"""Options files that can be read, and that cannot."""

import json
import os
import re

import pytest
from hostile_texts import ALIASES

from metatrain_dos.commands.check import check
from metatrain_dos.data.options_file import OptionsFile, UnusableOptionsError


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "expected an options file, got No such file"),
        ("a: [1", "expected YAML, got .*line 1"),
        ("a: 1\na: 2\n", "expected YAML, got .*line 2"),
        ("- 1\n", "got a sequence"),
        ("nothing but text", "got a scalar"),
        ("", "got nothing"),
        (b"\xff\xfe\xfa", "expected YAML, got"),
        ("a: 1\n".encode("utf-16"), "expected YAML, got"),
        ("a: \0\n", "expected YAML, got"),
        ("a: !!python/object/apply:os.system ['touch owned']", "expected YAML, got"),
        ("a: " + "9" * 5000, "expected YAML, got"),
        ("a: " + "[" * 5000 + "]" * 5000, "expected YAML, got"),
        ("a: &a [*a]\n", "expected YAML, got maximum recursion"),
        (ALIASES, "got more than 50000 entries, aliases written out"),
    ],
    # Some are too long to be names.
    ids=lambda value: repr(value)[:20],
)
def test_unusable_options(tmp_path, capsys, content, text):
    path = tmp_path / "options.yaml"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UnusableOptionsError, match=text):
        OptionsFile.read(path)
    assert check(str(path)) == 2
    assert re.search(text, capsys.readouterr().err)
    assert check(str(path), as_json=True) == 2
    (found,) = json.loads(capsys.readouterr().out)["findings"]
    assert found["severity"] == "error" and re.search(text, found["found"])


def test_options_that_have_no_end(tmp_path, no_waiting):
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    for name in ("pipe.yaml", "zero.yaml"):
        with pytest.raises(UnusableOptionsError, match=rf"{name}: .*got a pipe or"):
            OptionsFile.read(tmp_path / name)


def test_options_that_are_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr("metatrain_dos.utils.files.LARGEST_TEXT", 3)
    path = tmp_path / "options.yaml"
    path.write_text("a: 1\n")
    with pytest.raises(UnusableOptionsError, match="got more than 3 letters; correct"):
        OptionsFile.read(path)
