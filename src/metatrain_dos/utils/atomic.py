"""Write beside the final path, and rename once all is written."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from filelock import FileLock, Timeout


@contextmanager
def atomic_file(path: Path, *, force: bool = False) -> Iterator[Path]:
    """
    Write a file that appears once the block ends without an error.

    :param path: file to write, in a folder that exists
    :param force: whether to replace a file of that name
    :return: path to write to
    :raises ValueError: if the path exists or its folder does not
    """
    if os.path.lexists(path) and not (force and path.is_file()):
        raise ValueError(
            f"output: {path} already exists; choose another name or pass --force to "
            "replace a file"
        )
    if not path.parent.is_dir():
        raise ValueError(
            f"output: expected an existing folder, got {path.parent}; make it first"
        )
    with TemporaryDirectory(prefix=f"{path.name}.", dir=path.parent) as work:
        made = Path(work) / path.name
        yield made
        made.replace(path)


@contextmanager
def atomic_folder(
    path: Path,
    *,
    is_replaceable: Callable[[Path], bool] = lambda path: False,
    resume: bool = False,
) -> Iterator[Path]:
    """
    Fill a folder that appears once the block ends without an error.

    :param path: folder to make; an empty one is replaced
    :param is_replaceable: whether an existing folder may be replaced
    :param resume: whether the parent of the yielded folder stays after an error, for
        the next call to go on from, unless its files are empty; it is locked while
        the block runs
    :return: new, empty folder to fill
    :raises ValueError: if the path exists, or another process fills the same folder
    """
    if os.path.lexists(path) and not (
        path.is_dir() and (not any(path.iterdir()) or is_replaceable(path))
    ):
        raise ValueError(
            f"output: {path} already exists; remove it or choose another name"
        )
    new = [parent for parent in path.parents if not parent.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with (
            _locked(path)
            if resume
            else TemporaryDirectory(prefix=f"{path.name}.", dir=path.parent)
        ) as work:
            made = Path(work) / path.name
            shutil.rmtree(made, ignore_errors=True)
            made.mkdir()
            yield made
            if path.is_dir():
                shutil.rmtree(path)
            # The one step after which the folder is there.
            made.rename(path)
        shutil.rmtree(work, ignore_errors=True)
    except BaseException:
        with suppress(OSError):  # there is something in it
            for parent in new:
                parent.rmdir()
        raise


@contextmanager
def _locked(path: Path) -> Iterator[Path]:
    work = path.with_name(f"{path.name}.unfinished")
    work.mkdir(exist_ok=True)
    try:
        # The operating system releases the lock however the process ends.
        with FileLock(work / "lock", timeout=0):
            try:
                yield work
            except BaseException:
                files = (each for each in work.rglob("*") if each.is_file())
                if not any(file.stat().st_size for file in files):
                    shutil.rmtree(work, ignore_errors=True)  # nothing to go on from
                raise
    except Timeout:
        raise ValueError(
            f"output: another process writes to {work}; wait for it to finish"
        ) from None
