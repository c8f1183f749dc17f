"""Pieces of the archives that data sets are made of, to put together wrongly."""

import io
import zipfile

from numpy.lib import format as numpy_format


def npy(dtype, shape):
    """Write the header of an array."""
    stream = io.BytesIO()
    numpy_format.write_array_header_1_0(
        stream, {"descr": dtype, "fortran_order": False, "shape": shape}
    )
    return stream.getvalue()


def zipped(members, how=zipfile.ZIP_STORED):
    """Make a zip file of contents by name."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", how) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()
