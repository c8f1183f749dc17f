"""Find the files of finished calculations."""

import glob
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from ...utils.compressed import plain_name
from ...utils.progress import progress
from ..readers import READERS, find_reader


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
    The sources of a data set.

    :param paths: files, and folders of one calculation
    :param unread: kind of file -> number of files that look like outputs of that kind,
        but that no reader reads
    """

    paths: list[str]
    unread: dict[str, int]


def find_sources(
    sources: Iterable[str], *, lists: Iterable[str] = (), leave_out: Iterable[Path] = ()
) -> Found:
    """
    Find the files, or folders of one calculation, that some sources stand for.

    Folders are searched recursively for names that a reader knows. Their files come in
    the order of their names, so that the same sources give the same data set.

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
    for source in [*sources, *(f"@{name}" for name in lists)]:
        paths = progress("search", "file", _expand(source, hidden, unread))
        found.update((path, None) for path in paths)
    if not found:
        known = ", ".join(p for reader in READERS.values() for p in reader.patterns)
        raise ValueError(
            f"SOURCES: expected files whose names fit {known}, found none; check the "
            "folders and patterns"
        )
    return Found(list(found), dict(sorted(unread.items())))


def with_projections(found: Found) -> Found:
    """
    Keep the sources whose readers read projections.

    :param found: all sources
    :return: these, with the others among the files that are not read
    :raises ValueError: if there are none
    """
    unread = Counter({k: n for k, n in found.unread.items() if k != PROJECTIONS})
    paths = []
    for path in found.paths:
        reader = find_reader(path)
        if reader is None or "projected" in reader.options:
            paths.append(path)
        else:
            unread["outputs without projections"] += 1
    if not paths:
        having = [name for name, row in READERS.items() if "projected" in row.options]
        raise ValueError(
            f"SOURCES: expected output of {', '.join(having)}, whose projections are "
            f"read, got {unread.total()} other files; leave --projected out"
        )
    return Found(paths, dict(sorted(unread.items())))


def _expand(source: str, hidden: set[str], unread: Counter[str]) -> Iterator[str]:
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
                yield from _expand(path, hidden, unread)
    elif os.path.isdir(source):
        path = os.path.abspath(source)
        if _is_one_calculation(path):
            yield path
        else:
            yield from _search(path, hidden, unread)
    elif os.path.exists(source):
        yield os.path.abspath(source)
    else:
        matches = sorted(glob.glob(source, recursive=True))
        if not matches:
            raise ValueError(
                f"{source}: expected a file, a folder or a pattern that fits some, "
                "found nothing; check the path"
            )
        for match in matches:
            path = os.path.abspath(match)
            # A link to nothing fits its own name, again and again.
            yield from (
                _expand(path, hidden, unread) if os.path.exists(path) else (path,)
            )


def _search(folder: str, hidden: set[str], unread: Counter[str]) -> Iterator[str]:
    """Search a folder for files that a reader reads, and count those that none does."""
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
        elif kind == "file" and _is_read(entry):
            yield entry.path
        elif kind == "file":
            fitting = (UNREAD[name] for name in UNREAD if fnmatch(entry.name, name))
            unread.update(islice(fitting, 1))
    for path in folders:
        yield from _search(path, hidden, unread)


def _kind(entry: "os.DirEntry[str]") -> str:
    """Tell folders and files from pipes, sockets and devices, which may have no end."""
    try:
        if entry.is_dir():
            return "folder"
        return "file" if stat.S_ISREG(entry.stat().st_mode) else "special"
    except OSError:  # a link to nothing, which must not go unnoticed
        return "file"


def _is_read(entry: "os.DirEntry[str]") -> bool:
    """Tell whether a reader reads a file."""
    if find_reader(entry.path) is not None:
        return True
    # A run that died at once leaves an empty file, which must not go unnoticed.
    return entry.stat().st_size == 0 and any(
        reader.fits(plain_name(entry.name)) for reader in READERS.values()
    )


def _is_one_calculation(folder: str) -> bool:
    """Tell a folder that a reader reads from one that contains calculations."""
    return any(
        kind.endswith("folder") and reader.fits(os.path.basename(folder))
        for kind, reader in READERS.items()
    )
