"""Write zip files of which several processes make the parts."""

import struct
import zlib
from collections.abc import Mapping
from typing import BinaryIO


# A record before each member, one in the directory at the end, and one after that, or
# three in a large archive: PKWARE's APPNOTE.TXT, section 4.3, has the meaning of all
# fields. Only the position of a member needs 64 bits.
LOCAL = struct.Struct("<4s5H3L2H")
DIRECTORY = struct.Struct("<4s6H3L5H2L")
LARGE_POSITION = struct.Struct("<2HQ")
LARGE_END = struct.Struct("<4sQ2H2L4Q4sLQL")
END = struct.Struct("<4s4H2LH")

# Version of the format, names in UTF-8, no compression, and the earliest date of the
# format, so that equal content makes equal files.
KIND = 45, 0x800, 0, 0, 0x21
LARGEST_16, LARGEST_32 = 2**16 - 1, 2**32 - 1
# Field of the length of a name in the directory, before that of further fields.
LENGTHS = 10


def pack(members: Mapping[str, bytes]) -> tuple[bytes, bytes]:
    """
    Make a part of an archive, without compression.

    :param members: name -> content
    :return: the members; and their records for the directory, with positions in this
        part
    """
    parts: list[bytes] = []
    records: list[bytes] = []
    position = 0
    for name, content in members.items():
        label = name.encode()
        sizes = zlib.crc32(content), len(content), len(content), len(label)
        parts += [LOCAL.pack(b"PK\3\4", *KIND, *sizes, 0), label, content]
        records += [
            DIRECTORY.pack(b"PK\1\2", KIND[0], *KIND, *sizes, 0, 0, 0, 0, 0, position),
            label,
        ]
        position += LOCAL.size + len(label) + len(content)
    return b"".join(parts), b"".join(records)


class ArchiveWriter:
    """
    Write an archive from parts.

    :param file: file open for writing bytes
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._directory: list[bytes] = []
        self._members = 0

    def add(self, content: bytes, records: bytes) -> None:
        """
        Append a part.

        :param content: what :func:`pack` has made of some members
        :param records: their records
        """
        start, at = self._file.tell(), 0
        moved: list[bytes] = []
        while at < len(records):
            *fields, position = DIRECTORY.unpack_from(records, at)
            at += DIRECTORY.size
            length, more = fields[LENGTHS], b""
            label = records[at : at + length]
            at += length
            position += start
            if position >= LARGEST_32:
                more = LARGE_POSITION.pack(1, 8, position)
                fields[LENGTHS + 1], position = len(more), LARGEST_32
            moved += [DIRECTORY.pack(*fields, position), label, more]
            self._members += 1
        self._directory.append(b"".join(moved))
        self._file.write(content)

    def close(self) -> None:
        """Write the directory of all members, and close the file."""
        start = self._file.tell()
        self._file.write(b"".join(self._directory))
        size = self._file.tell() - start
        self._file.write(_end(self._members, start, size))
        self._file.close()


def store(members: Mapping[str, bytes]) -> bytes:
    """
    Make an archive in memory.

    :param members: name -> content
    :return: content of the archive
    """
    content, records = pack(members)
    return content + records + _end(len(members), len(content), len(records))


def _end(members: int, start: int, size: int) -> bytes:
    """Make the last records, for a directory of a size that begins at a position."""
    large = b""
    if members >= LARGEST_16 or start + size >= LARGEST_32:
        version = KIND[0]
        large = LARGE_END.pack(
            *(b"PK\6\6", 44, version, version, 0, 0, members, members, size, start),
            *(b"PK\6\7", 0, start + size, 1),
        )
        members, size, start = LARGEST_16, LARGEST_32, LARGEST_32
    return large + END.pack(b"PK\5\6", 0, 0, members, members, size, start, 0)
