"""Run ``mtt-dos prepare``, and look at the data set it makes."""

import gzip
import json
import os
import re
import subprocess
import time

import numpy as np
from helpers.paths import OUTPUTS
from helpers.processes import BIN, LIMIT

from metatrain_dos.commands.main import main


def copies(folder, number, name="silicon"):
    """Unpack a real output of pw.x many times, each with a cell of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    content = gzip.decompress((OUTPUTS / f"{name}.xml.gz").read_bytes()).decode()
    for i in range(number):
        factors = 1 + 9 * np.random.default_rng(i).random(3)

        def stretch(match, factors=factors):
            vector = np.array(match[2].split(), float) * factors[int(match[1]) - 1]
            return f"<a{match[1]}>{' '.join(map(str, vector))}</a{match[1]}>"

        cells = re.sub(r"<a([123])>([^<]*)</a[123]>", stretch, content)
        (folder / f"{name}-{i:05d}.xml").write_text(cells)
    return folder


def prepare(*arguments):
    """Run the command in this process."""
    main(["prepare", "--workers", "1", *map(str, arguments)])


def start(*arguments, **options):
    """Run the command as a user does."""
    return subprocess.Popen(
        [BIN / "mtt-dos", "prepare", *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def report(folder):
    return json.loads((folder / "report.json").read_text("utf-8"))


def contents(folder):
    """Read all files of a data set."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def wait_for(condition, process=None, seconds=LIMIT):
    """Wait until something has happened, in a process that has not ended before."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.002)
