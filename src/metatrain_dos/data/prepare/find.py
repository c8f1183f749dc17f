"""Find the files of finished calculations."""

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

from ...utils.compressed import plain_name
from ...utils.progress import progress
from ..readers import READERS, may_be_read


PROJECTIONS = "files of projections (see --projected)"

UNREAD = {
    "OUTCAR*": "VASP OUTCAR",
    "DOSCAR*": "VASP DOSCAR beside a better file",
    "EIGENVAL*": "VASP EIGENVAL beside a better file",
    "PROCAR*": PROJECTIONS,
    "atomic_proj.xml*": PROJECTIONS,
    "vasprun*": "vasprun with an unknown name or content",
    "*.xml*": "XML of another program",
    "aims*.out*": "FHI-aims output",
    "*.out*": "text output of another program",
    "*.log*": "log",
    "*.pdos*": "projected DOS",
    "*.dos*": "DOS of another program",
    "*.bands*": "bands of another program",
    "Final_KS_eigenvalues*": "FHI-aims eigenvalues",
    "*.castep*": "CASTEP output",
    "*.nc": "netCDF",
    "*.traj": "ASE trajectory",
    "*.json*": "JSON without a DOS",
    "*.db": "ASE database",
    "*.npz": "NumPy arrays without dos in their name",
    "*.tar*": "archive",
    "*.zip": "archive",
    "*.tgz": "archive",
}
"""Pattern of file names -> kind of output, for files that no reader reads."""


class Found(NamedTuple):
    """
    Files that may be the sources of a data set.

    :param paths: files, and folders of one calculation, by their names
    :param named: those that the user has named, and not only a folder around them
    :param unread: kind of file -> number of files that look like outputs of that kind,
        but that no reader reads
    """

    paths: list[str]
    named: set[str]
    unread: Counter[str]

    def kinds_unread(self, *, projected: bool = False) -> dict[str, int]:
        """Sort what is not read, but for what has no name, or is read after all."""
        hidden = {"", PROJECTIONS} if projected else {""}
        return {k: n for k, n in sorted(self.unread.items()) if k not in hidden}


def find_sources(
    sources: Iterable[str], *, lists: Iterable[str] = (), leave_out: Iterable[Path] = ()
) -> Found:
    """
    Find the files, or folders of one calculation, that some sources stand for.

    Folders are searched recursively for names that a reader knows. Nothing is opened,
    because that takes long where disks are far away. Files come in the order of their
    names, so that the same sources give the same data set.

    :param sources: files, folders, shell patterns, and ``@file`` for lists of them
    :param lists: files with one source in each line, relative to the file; blank lines
        and comments (``#``) do not count
    :param leave_out: folders that are not searched
    :return: paths without repetition, and files that look like outputs but are not read
    :raises ValueError: if a source does not exist, or nothing is found
    """
    hidden = {os.path.abspath(path) for path in leave_out}
    unread: Counter[str] = Counter()
    found: dict[str, None] = {}
    named: set[str] = set()
    for source in [*sources, *(f"@{name}" for name in lists)]:
        paths = progress("search", "file", _expand(source, hidden, named, unread))
        found.update((path, None) for path in paths)
    if not found:
        known = ", ".join(p for reader in READERS.values() for p in reader.patterns)
        raise ValueError(
            f"SOURCES: expected files whose names fit {known}, found none; check the "
            "folders and patterns"
        )
    return Found(list(found), named, unread)


def kind_of(name: str) -> str | None:
    """Tell the kind of a file that no reader reads; ``None`` if it is no output."""
    return next((UNREAD[each] for each in UNREAD if fnmatch(name, each)), None)


def _expand(
    source: str, hidden: set[str], named: set[str], unread: Counter[str]
) -> Iterator[str]:
    """Find the files of one source."""
    if source.startswith("@"):
        name = Path(source[1:])
        try:
            lines = name.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise ValueError(
                f"{source}: expected a text file with one source in each line, but it "
                f"cannot be read ({error}); check the path"
            ) from error
        for line in lines:
            entry = line.split("#")[0].strip()
            if entry:
                # A path, even if it begins with @: lists could lead back to themselves.
                path = os.path.join(os.path.abspath(name.parent), entry)
                yield from _expand(path, hidden, named, unread)
    elif os.path.isdir(source):
        path = os.path.abspath(source)
        if _is_one_calculation(path):
            named.add(path)
            yield path
        else:
            yield from _search(path, hidden, unread)
    elif os.path.exists(source):
        named.add(path := os.path.abspath(source))
        yield path
    else:
        matches = sorted(glob.glob(source, recursive=True))
        if not matches:
            raise ValueError(
                f"{source}: expected a file, a folder or a pattern that fits some, "
                "found nothing; check the path"
            )
        for match in matches:
            path = os.path.abspath(match)
            if os.path.exists(path):
                yield from _expand(path, hidden, named, unread)
            else:  # A link to nothing fits its own name, again and again.
                named.add(path)
                yield path


def _search(folder: str, hidden: set[str], unread: Counter[str]) -> Iterator[str]:
    """Search a folder for files that a reader may read, and count some others."""
    folders = []
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.path in hidden:
            continue
        kind = _kind(entry)
        if kind == "folder":
            if _is_one_calculation(entry.path):
                yield entry.path
            elif not entry.is_symlink():  # could lead back to where it is
                folders.append(entry.path)
        elif kind == "file" and may_be_read(entry.name):
            yield entry.path
        elif kind == "file" and (other := kind_of(entry.name)):
            unread[other] += 1
    for path in folders:
        yield from _search(path, hidden, unread)


def _kind(entry: "os.DirEntry[str]") -> str:
    """Tell folders and files from pipes, sockets and devices, which may have no end."""
    try:
        if entry.is_dir():
            return "folder"
        if entry.is_file():
            return "file"
    except OSError:  # a link to itself
        return "file"
    # A link to nothing must not go unnoticed, either.
    return "special" if os.path.exists(entry.path) else "file"


def _is_one_calculation(folder: str) -> bool:
    """Tell a folder that a reader reads from one that contains calculations."""
    return any(
        kind.endswith("folder") and reader.fits(plain_name(folder))
        for kind, reader in READERS.items()
    )
