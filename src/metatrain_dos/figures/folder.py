"""The folder of a report, which is there when all of it is there."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


PAGE, CSV, JSON, FIGURES = "report.html", "errors.csv", "errors.json", "figures"
"""What is in it."""


@contextmanager
def report_folder(output: Path) -> Iterator[Path]:
    """
    Make the folder of a report next to where it will be, and put it there at the end.

    An older report is replaced, anything else is left alone.

    :param output: where the report will be
    :return: folder in which to write
    :raises ValueError: if there is something else
    """
    if output.exists() and not _is_replaceable(output):
        raise ValueError(
            f"output: expected a folder that is not there yet, or an older report, but "
            f"{output} is something else; remove it or choose another one"
        )
    output.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f"{output.name}.", dir=output.parent) as work:
        made = Path(work) / output.name
        made.mkdir()
        yield made
        if output.exists():
            shutil.rmtree(output)
        made.rename(output)


def _is_replaceable(output: Path) -> bool:
    """Tell whether there is nothing in a folder but a report."""
    if not output.is_dir():
        return False
    names = {path.name for path in output.iterdir()}
    return not names or (PAGE in names and names <= {PAGE, CSV, JSON, FIGURES})
