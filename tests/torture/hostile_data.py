"""Data sets that mean harm, made of good ones."""

import io
import pickle
import struct
import zipfile

import numpy as np
from helpers.archives import npy, zipped


class Owned:
    """Leave a file behind when it is unpickled."""

    def __reduce__(self):
        return open, ("owned", "w")


def unzipped(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def tensor_map(members):
    """Write a member as metatrain does: an array of the bytes of an archive."""
    content = zipped(members)
    return npy("|u1", (len(content),)) + content


HUGE = npy("<f8", (1, 500_000_000))
PICKLED = npy("|O", (1,)) + pickle.dumps(Owned())


def change_zip(change):
    """Make a function that changes the members of a data set, and those of a DOS."""

    def changed(content):
        members = unzipped(content)
        dos = unzipped(members["0/dos.mts"])
        change(members, dos)
        return zipped(members)

    return changed


def put(name, content):
    """Exchange an array of the DOS of the first structure."""

    def change(members, dos):
        members["0/dos.mts"] = tensor_map({**dos, name: content})

    return change_zip(change)


ZIPS = {
    "huge labels": put("blocks/0/samples.npy", npy([("a", "<i4")], (10**9,))),
    "negative": put("blocks/0/values.npy", npy("<f8", (-1, -5))),
    "objects": put("blocks/0/values.npy", PICKLED),
    "no values": put("blocks/0/values.npy", b""),
    "outer bomb": lambda content: zipped(
        unzipped(content) | {"0/dos.mts": bytes(400_000_000)}, zipfile.ZIP_DEFLATED
    ),
    "outer huge": change_zip(
        lambda m, d: m.update({"0/dos.mts": npy("|u1", (10**12,))})
    ),
    "outer objects": change_zip(lambda m, d: m.update({"0/dos.mts": PICKLED})),
    "pickle": change_zip(lambda m, d: m.update({"0/dos.mts": pickle.dumps(Owned())})),
    "huge system": change_zip(
        lambda m, d: m.update(
            {
                "0/system.mta": zipped(
                    unzipped(m["0/system.mta"]) | {"positions.npy": HUGE}
                )
            }
        )
    ),
    "pickled system": change_zip(
        lambda m, d: m.update(
            {
                "0/system.mta": zipped(
                    unzipped(m["0/system.mta"]) | {"positions.npy": PICKLED}
                )
            }
        )
    ),
    "no system": change_zip(lambda m, d: m.pop("1/system.mta")),
    "no target": change_zip(lambda m, d: m.pop("1/dos.mts")),
    "climbing": lambda content: zipped(
        {f"../../{name}": member for name, member in unzipped(content).items()}
    ),
    "absolute": lambda content: zipped(
        {f"/tmp/{name}": member for name, member in unzipped(content).items()}
    ),
    "no entries": lambda content: zipped({}),
    "no zip": lambda content: b"text",
    "encrypted": lambda content: content.replace(
        b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01"
    ),
}


def saved(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


MEMMAPS = {
    "pickled ends": ("na.npy", PICKLED),
    "a pickle": ("na.npy", pickle.dumps(Owned())),
    "huge ends": ("na.npy", npy("<i8", (10**12,))),
    "many atoms": ("na.npy", saved(np.array([0, 2, 4, 6, 10**12]))),
    "no structures": ("na.npy", saved(np.array([0]))),
    "backwards": ("na.npy", saved(np.array([0, 6, 4, 2, 8]))),
    "negative": ("na.npy", saved(np.array([0, -2, 4, 6, 8]))),
    "floats": ("na.npy", saved(np.array([0.0, 2, 4, np.nan, 8]))),
    "two axes": ("na.npy", saved(np.zeros((5, 1), int))),
    "no atoms": ("a.bin", b""),
    "cut positions": ("x.bin", bytes(7)),
    "cut cells": ("c.bin", bytes(7)),
    "cut targets": ("dos.bin", bytes(7)),
    "empty targets": ("dos.bin", b""),
    "no elements": ("a.bin", struct.pack("<8i", *([-7] * 8))),
    "no positions": ("x.bin", struct.pack("<24f", *([float("nan")] * 24))),
}
