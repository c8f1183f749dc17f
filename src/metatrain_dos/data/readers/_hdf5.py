"""Read HDF5, and so netCDF, in pure Python: damaged files crash the library in C."""

import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ...utils.compressed import open_seekable
from ..calculation import InputError
from ._common import check_claim


def read_hdf5(
    path: str | Path, names: Iterable[str], optional: Iterable[str] = ()
) -> dict[str, np.ndarray]:
    """
    Read some arrays of a file, by their paths in it.

    :param optional: paths of arrays that may be missing
    :raises InputError: if pyfive is not installed, or an array has no numbers
    :raises Exception: whatever pyfive raises where the file is damaged
    """
    try:
        import pyfive  # which takes a third of a second
    except ImportError:
        raise InputError(
            "expected the Python package pyfive, which reads HDF5 and netCDF, but it "
            "is not installed; pip install pyfive"
        ) from None
    with warnings.catch_warnings(), open_seekable(path) as stream:
        warnings.simplefilter("ignore")  # of attributes that nobody asked for
        size = stream.seek(0, os.SEEK_END)
        try:
            file = pyfive.File(stream)
            present = [name for name in optional if name in file]
            return {name: _array(file, name, size) for name in (*names, *present)}
        except MemoryError as error:  # far more than any such file has
            raise ValueError("damaged") from error


def _array(file: Any, name: str, size: int) -> np.ndarray:
    """Read an array, whose header may claim more than a file of that size holds."""
    variable = file[name]
    if variable.dtype.kind not in "iufSO":
        raise InputError(f"{name}: expected numbers or text, got {variable.dtype}")
    check_claim(name, variable.shape, variable.dtype, size)
    return np.asarray(variable[...])
