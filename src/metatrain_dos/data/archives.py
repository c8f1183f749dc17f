"""Refuse what announces more than it holds, before metatensor makes room for it."""

import io
import math
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import IO

from numpy.lib import format as npy


LONGEST_NAME = 255
"""Letters of the name of an entry, as of a file."""


def check_dataset(path: Path, fields: Collection[str]) -> None:
    """
    Check a ``DiskDataset``, which is a zip file of archives.

    :param path: the file
    :param fields: names of the entries that will be read
    :raises ValueError: if one of them has less content than it announces
    :raises zipfile.BadZipFile: if it is no zip file
    """
    with zipfile.ZipFile(path) as outer:
        for entry in outer.infolist():
            if len(entry.filename) > LONGEST_NAME:
                # metatrain gives every name the room of the longest.
                raise ValueError(
                    f"expected names of at most {LONGEST_NAME} letters, got "
                    f"{len(entry.filename)}; write it again"
                )
            if Path(entry.filename).stem not in fields:
                continue
            try:
                _check_stored(entry)
                check_archive(io.BytesIO(outer.read(entry)))
            except ValueError as error:
                raise ValueError(f"{entry.filename}: {error}") from error


def check_archive(file: Path | IO[bytes]) -> None:
    """
    Check a structure or a TensorMap, which is a zip file of arrays.

    :param file: the archive; other bytes may be in front of it
    :raises ValueError: if an array has less content than it announces, or could grow
        when it is unpacked
    :raises zipfile.BadZipFile: if it is no zip file
    """
    with zipfile.ZipFile(file) as archive:
        for entry in archive.infolist():
            _check_stored(entry)
            if entry.filename.endswith(".npy"):
                with archive.open(entry) as array:
                    _check_array(entry.filename, array, entry.file_size)
            elif entry.filename.endswith(".mts"):
                check_archive(io.BytesIO(archive.read(entry)))


def _check_stored(entry: zipfile.ZipInfo) -> None:
    """Refuse what grows; metatensor and metatrain compress nothing."""
    if entry.compress_type != zipfile.ZIP_STORED:
        raise ValueError(
            f"expected nothing that is compressed, got {entry.filename} with "
            f"{entry.file_size} bytes in {entry.compress_size}; write it again"
        )


def _check_array(name: str, array: IO[bytes], size: int) -> None:
    """Compare the shape in the header of an array with what follows."""
    if npy.read_magic(array) == (1, 0):
        shape, _, dtype = npy.read_array_header_1_0(array)
    else:
        shape, _, dtype = npy.read_array_header_2_0(array)
    if dtype.hasobject or math.prod(shape) * dtype.itemsize > size:
        raise ValueError(
            f"expected {name} to hold what it announces, got {dtype} of shape {shape} "
            f"in {size} bytes; write it again"
        )
