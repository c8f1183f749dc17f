"""Find the files of finished calculations."""

import glob
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from ...utils.progress import progress
from ..readers import READERS, find_reader


def find_sources(
    sources: Iterable[str], *, lists: Iterable[str] = (), leave_out: Iterable[Path] = ()
) -> list[str]:
    """
    Find the files, or folders of one calculation, that some sources stand for.

    Folders are searched recursively for names that a reader knows. Their files come in
    the order of their names, so that the same sources give the same data set.

    :param sources: files, folders, shell patterns, and ``@file`` for lists of them
    :param lists: files with one source in each line, relative to the file; blank lines
        and what follows ``#`` do not count
    :param leave_out: folders that are not searched
    :return: paths without repetition
    :raises ValueError: if a source does not exist, or nothing is found
    """
    hidden = {os.path.abspath(path) for path in leave_out}
    found: dict[str, None] = {}
    for source in [*sources, *(f"@{name}" for name in lists)]:
        paths = progress("search", "file", _expand(source, hidden))
        found.update((path, None) for path in paths)
    if not found:
        known = ", ".join(p for reader in READERS.values() for p in reader.patterns)
        raise ValueError(
            f"SOURCES: expected files whose names fit {known}, found none; check the "
            "folders and patterns"
        )
    return list(found)


def _expand(source: str, hidden: set[str]) -> Iterator[str]:
    """Find what one source stands for."""
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
                yield from _expand(path, hidden)
    elif os.path.isdir(source):
        path = os.path.abspath(source)
        if _is_one_calculation(path):
            yield path
        else:
            yield from _search(path, hidden)
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
            yield from _expand(path, hidden) if os.path.exists(path) else (path,)


def _search(folder: str, hidden: set[str]) -> Iterator[str]:
    """
    Search a folder for files that a reader reads.

    A code may leave the same run in ``run.xml``, ``run.save`` and ``run.out``. Of files
    that differ in their ending alone, the one of the first reader is taken.
    """
    runs: dict[str, tuple[int, str]] = {}
    folders = []
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.path in hidden:
            continue
        kind = _kind(entry)
        if kind == "folder" and not _is_one_calculation(entry.path):
            if not entry.is_symlink():  # could lead back to where it is
                folders.append(entry.path)
            continue
        rank = None if kind == "special" else _rank(entry)
        if rank is not None:
            stem = os.path.splitext(entry.name)[0]
            runs[stem] = min(runs.get(stem, (rank, entry.path)), (rank, entry.path))
    yield from (path for _, path in runs.values())
    for path in folders:
        yield from _search(path, hidden)


def _kind(entry: "os.DirEntry[str]") -> str:
    """Tell folders and files from pipes, sockets and devices, which may have no end."""
    try:
        if entry.is_dir():
            return "folder"
        return "file" if stat.S_ISREG(entry.stat().st_mode) else "special"
    except OSError:  # a link to nothing, which must not go unnoticed
        return "file"


def _rank(entry: "os.DirEntry[str]") -> int | None:
    """Find the row of the reader of a file; ``None`` for files of another kind."""
    rows = list(READERS.values())
    reader = find_reader(entry.path)
    if reader is not None:
        return rows.index(reader)
    # A run that died at once leaves an empty file, which must not go unnoticed.
    fitting = (i for i, row in enumerate(rows) if row.fits(entry.name))
    return next(fitting, None) if entry.stat().st_size == 0 else None


def _is_one_calculation(folder: str) -> bool:
    """Tell a folder that a reader reads from one that holds calculations."""
    return any(
        kind.endswith("folder") and reader.fits(os.path.basename(folder))
        for kind, reader in READERS.items()
    )
