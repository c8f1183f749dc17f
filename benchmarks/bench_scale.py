"""
Time data preparation, loading, evaluation and prediction at two sizes, against limits.

Outputs are generated from real ones in tests/outputs. Each number is user and system
time of one process with one thread, per structure, beside a limit that was timed in the
same run on the same files; one row takes the time of the parent of two workers alone.
Sizes are N / 2 and N; costs that grow by more than --tolerance per doubling fail.
"""

import argparse
import contextlib
import gzip
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
import xml.parsers.expat
from pathlib import Path

import numpy as np


OUTPUTS = Path(__file__).parents[1] / "tests" / "outputs"
SHIPPED = [f"espresso-{name}" for name in ("aluminium", "silicon", "molecule", "spin")]
WARM = 40
"""Structures of a run before the clock starts, and of the training run of the model."""
COLUMNS = 1472
GRID = {"energy_range": (-43.0, 20.55), "spacing": 0.05, "reference": "raw"}
GRID["extra_targets"] = 200
"""The same for all sizes, as they share a model; of ``COLUMNS`` energies."""
MODEL = {
    "legacy": False,
    "soap": {"max_angular": 1, "max_radial": 1, "cutoff": {"radius": 4.0}},
    "bpnn": {"num_hidden_layers": 1, "num_neurons_per_layer": 8},
}
"""Options of a SOAP-BPNN that takes hardly any time."""
SUFFIXES = {"xyz": ".xyz", "zip": ".zip", "memmap": ""}


def generate(folder, number, names):
    """Write outputs of pw.x, each with a cell and eigenvalues of its own."""
    folder.mkdir(parents=True)
    templates = []
    for name in names:
        packed = (OUTPUTS / f"{name}.xml.gz").read_bytes()
        text = gzip.decompress(packed).decode()
        pieces = re.split(r"(<(?:a[123]|eigenvalues)\b[^>]*>)([^<]*)", text)
        values = [np.array(each.split(), float) for each in pieces[2::3]]
        templates.append((pieces, values))
    for i in range(number):
        rng = np.random.default_rng(i)
        pieces, values = templates[i % len(templates)]
        pieces, factors = pieces.copy(), 1 + 9 * rng.random(3)
        for j, (tag, numbers) in enumerate(zip(pieces[1::3], values, strict=True)):
            if tag.startswith("<a"):
                new = numbers * factors[int(tag[2]) - 1]
            else:
                new = numbers + rng.normal(0, 1e-3, len(numbers))
            pieces[3 * j + 2] = " ".join(map(repr, new.tolist()))
        (folder / f"{i:06d}.xml").write_text("".join(pieces))


def prepare(folder, output, format="memmap", workers=1):
    from metatrain_dos.commands.prepare import prepare
    from metatrain_dos.data.prepare.options import PrepareOptions

    shutil.rmtree(output, ignore_errors=True)
    sources = [str(folder / "outputs")]
    more = {"format": format, "workers": workers, **GRID}
    prepare(PrepareOptions(sources, output, **more))


def dataset(folder):
    """Open a training set as ``mtt train`` does."""
    from metatrain.utils.data import get_dataset
    from metatrain.utils.omegaconf import expand_dataset_config
    from omegaconf import OmegaConf

    section = OmegaConf.load(folder / "options.yaml").training_set
    section.systems.read_from = str(folder / section.systems.read_from)
    return get_dataset(expand_dataset_config(section)[0])[0]


def made(folder, format):
    """Prepare a data set, unless it is there."""
    output = folder / f"made-{format}"
    if not output.exists():
        prepare(folder, output, format)
    return output


def model(folder):
    """Train a tiny model on the structures of the warm-up, unless it is there."""
    path = folder / "model.pt"
    if not path.exists():
        train_model(made(folder / str(WARM), "memmap"), path)
    return path


def train_model(data, path, epochs=1, batch_size=1):
    """Train a tiny model, and put all that it needs beside it."""
    from omegaconf import OmegaConf

    options = OmegaConf.load(data / "options.yaml")
    options.architecture.model = MODEL
    options.architecture.training |= {"num_epochs": epochs, "batch_size": batch_size}
    OmegaConf.save(options, data / "train.yaml")
    mtt = Path(sys.executable).with_name("mtt")
    train = [mtt, "train", "train.yaml", "-o", path]
    done = subprocess.run(train, cwd=data, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    shutil.copy(data / "grid.json", path.parent)
    shutil.copytree(data / "extensions", path.parent / "extensions")


def command(*arguments):
    from metatrain_dos.commands.main import main

    try:
        with contextlib.redirect_stdout(io.StringIO()):
            main([str(each) for each in arguments])
    except SystemExit as end:
        if not isinstance(end.code, int):  # but a message
            raise


def call(what, format, folder):
    """Prepare all that a row needs, and return the call to time."""
    outputs, new = folder / "outputs", folder / "new"
    if what == "parse, expat":
        return lambda: [
            xml.parsers.expat.ParserCreate().Parse(path.read_bytes(), True)
            for path in outputs.iterdir()
        ]
    if what == "parse, ElementTree":
        return lambda: [len(ElementTree.parse(f).getroot()) for f in outputs.iterdir()]
    if what in ("prepare", "parent"):
        return lambda: prepare(folder, new, format, 1 if what == "prepare" else 2)
    if what == "numpy":
        path = made(folder, "memmap") / "training" / "dos.bin"
        numbers = np.memmap(path, np.float32, "r").reshape(-1, COLUMNS)
        return lambda: [np.array(row, np.float64) for row in numbers]
    data = made(folder, "xyz" if what == "predict" else format)
    if what == "open":
        kept = []  # so that its memory is seen
        return lambda: kept.append(dataset(data))
    if what == "load":
        samples = dataset(data)
        return lambda: [samples[i] for i in range(len(samples))]
    if what == "check":
        return lambda: command("check", data / "options.yaml")
    trained = model(folder.parent)
    if what == "evaluate":
        training = data / f"training{SUFFIXES[format]}"
        return lambda: command("evaluate", trained, training, "-o", folder / "report")
    more = "-o", folder / f"predicted.{format}", "--force"
    return lambda: command("predict", trained, data / "training.xyz", *more)


ROWS = [
    ("parse, expat", "", None),
    ("parse, ElementTree", "", None),
    ("prepare", "memmap", "parse, ElementTree"),
    *(("prepare", format, "prepare, memmap") for format in ("xyz", "zip")),
    *(("parent", format, "prepare, memmap") for format in SUFFIXES),
    ("numpy", "", None),
    *(("open", format, "numpy") for format in SUFFIXES),
    *(("load", format, "numpy") for format in ("memmap", "zip")),
    *(("check", format, f"open, {format}") for format in ("memmap", "xyz")),
    *(("evaluate", format, f"open, {format}") for format in ("memmap", "xyz")),
    *(("predict", format, "open, xyz") for format in ("npz", "csv")),
]
"""What is timed, on which format, and the row that is its limit."""


def resident():
    """Memory of this process, bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def measure(what, format, folder, number):
    """Time a row in this process, after a run on few structures."""
    for size in (WARM, number):
        run = call(what, format, folder / str(size))
        memory, start = resident(), time.process_time()
        run()
        spent, memory = time.process_time() - start, resident() - memory
    print(json.dumps([spent, memory]))


def in_new_process(*arguments):
    arguments = [sys.executable, __file__, *map(str, arguments)]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(arguments, capture_output=True, text=True, env=one_thread)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=1000, help="of structures, N")
    parser.add_argument("--rows", default="", help="only rows that match this pattern")
    parser.add_argument("--outputs", nargs="+", default=SHIPPED, help="shipped files")
    parser.add_argument("--tolerance", type=float, default=0.25)
    parser.add_argument("--folder", type=Path, help="where to work (default: in /tmp)")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        what, format, number = arguments.measure
        measure(what, format, arguments.folder, int(number))
        return
    sizes = [arguments.number // 2, arguments.number]
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        for size in {WARM, *sizes}:
            generate(folder / str(size) / "outputs", size, arguments.outputs)
        sys.exit(int(table(folder, sizes, arguments.rows, arguments.tolerance)))


def table(folder, sizes, pattern, tolerance):
    """Print all rows; return whether any grows too fast."""
    print(f"{'ms, kB per structure':32}    time  memory  / limit doubling")
    costs, failed = {}, False
    for what, format, limit in ROWS:
        row = f"{what}, {format}".rstrip(", ")
        if not re.search(pattern, row):
            continue
        half, whole = (
            np.array(in_new_process("--measure", what, format, n, "--folder", folder))
            / n
            for n in sizes
        )
        costs[row] = whole[0]
        ratio = f"{whole[0] / costs[limit]:8.1f}" if limit in costs else " " * 8
        growth = whole[0] / half[0]
        # What takes a moment is measured badly.
        is_worse = growth > 1 + tolerance and whole[0] * sizes[1] > 0.5
        failed |= is_worse
        verdict = "WORSE THAN LINEAR" if is_worse else ""
        print(
            f"{row:32} {1e3 * whole[0]:7.3f} {1e-3 * whole[1]:7.1f} {ratio} "
            f"{growth:8.2f} {verdict}",
            flush=True,
        )
    return failed


if __name__ == "__main__":
    main()
