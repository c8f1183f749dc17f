"""The folder in which a data set grows until it is whole."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def unfinished(output: Path) -> Iterator[Path]:
    """
    Make the folder in which a data set grows, next to where it will be.

    It stays when something goes wrong, so that the next run goes on from there.

    :param output: folder of the data set
    :return: folder in which to work, for one run at a time
    :raises ValueError: if there is a data set already, or another run makes it
    """
    is_empty = output.is_dir() and not any(output.iterdir())
    if os.path.lexists(output) and not is_empty:
        raise ValueError(
            f"output: expected a folder that is not there yet, but {output} is; remove "
            "it or choose another one"
        )
    work = output.with_name(f"{output.name}.unfinished")
    work.mkdir(parents=True, exist_ok=True)
    with (work / "lock").open("w") as lock:
        try:
            import fcntl

            # Released when the process ends, however it ends.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:
            pass  # Windows
        except BlockingIOError:
            raise ValueError(
                f"output: expected that nothing else writes to {work}, but another run "
                "does; wait for it"
            ) from None
        yield work
