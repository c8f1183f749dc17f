"""Open compressed files like plain ones."""

import bz2
import gzip
import importlib
import io
import lzma
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, TextIO, cast


def _open_zstd(path: Path) -> BinaryIO:
    """Open a file with Zstandard, which Python has from 3.14 on."""
    try:
        zstd: Any = importlib.import_module("compression.zstd")
    except ImportError:
        zstd = importlib.import_module("backports.zstd")
    return cast(BinaryIO, zstd.open(path))


OPENERS: dict[str, Callable[[Path], Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".zst": _open_zstd,
}
"""Ending of a name -> function that opens such a file for reading bytes."""


def plain_name(path: str | Path) -> str:
    """Find the name of a file without the ending of a compressed one, as ``.gz``."""
    name = os.path.basename(path)
    stem, ending = os.path.splitext(name)
    return stem if ending.lower() in OPENERS else name


def existing(path: Path) -> Path | None:
    """Find a file, as it is or compressed; ``None`` if there is none."""
    files = (path.with_name(path.name + ending) for ending in ("", *OPENERS))
    return next((file for file in files if file.exists()), None)


def open_bytes(path: str | Path) -> BinaryIO:
    """Open a file for reading, decompressed if its name says that it is compressed."""
    ending = os.path.splitext(path)[1].lower()
    if ending in OPENERS:
        return cast(BinaryIO, OPENERS[ending](Path(path)))
    return open(path, "rb")


def open_seekable(path: str | Path) -> BinaryIO:
    """Open a file for reading it in any order, a compressed one in memory."""
    stream = open_bytes(path)
    if Path(path).suffix.lower() not in OPENERS:
        return stream
    with stream:
        return io.BytesIO(stream.read())


def open_text(path: str | Path, errors: str = "strict") -> TextIO:
    """Open a file in UTF-8 for reading, decompressed if need be."""
    return io.TextIOWrapper(open_bytes(path), encoding="utf-8", errors=errors)


def text_of(path: str | Path) -> str:
    """Read a file of which only ASCII matters, whatever the encoding of its titles."""
    with open_text(path, errors="replace") as stream:
        return stream.read()
