"""Refuse pipes, devices and oversized text files; and the size of a buffer."""

import os
import stat
from pathlib import Path


LARGEST_TEXT = 20_000_000
"""Size of the largest file of options or choices, bytes."""

BUFFER = 2**20
"""Bytes to read or write at once where a file system may be slow to answer."""


def is_special_file(path: str | Path) -> bool:
    """Tell whether there is a pipe or a device, which may have no end."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):  # which whoever opens it meets, too
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def refuse_special_file(path: str | Path) -> None:
    """Raise a ``ValueError`` for pipes and devices."""
    if is_special_file(path):
        raise ValueError(
            f"{path}: expected a file, got a pipe or a device; write its output to "
            "a file"
        )


def read_text(path: str | Path) -> str:
    """
    Read a file that people write, such as options.

    :param path: the file
    :return: its content
    :raises OSError: if it cannot be opened
    :raises ValueError: if it is a pipe, a device, or far too large, or is not in UTF-8;
        the message says only that, for the caller to add what was expected
    """
    if is_special_file(path):
        raise ValueError("a pipe or a device")
    with open(path, encoding="utf-8") as file:
        text = file.read(LARGEST_TEXT + 1)
    if len(text) > LARGEST_TEXT:
        raise ValueError(f"more than {LARGEST_TEXT} letters")
    return text
