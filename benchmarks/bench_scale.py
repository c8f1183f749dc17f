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
ENERGIES = (-43.0, 20.55)
"""Range of the grid, eV."""
COLUMNS = 1472
MODEL = {
    "num_attention_layers": 1,
    "num_gnn_layers": 1,
    "num_heads": 1,
} | dict.fromkeys(("d_pet", "d_node", "d_head", "d_feedforward"), 8)
FORMATS = {"xyz": ".xyz", "zip": ".zip", "memmap": ""}


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


def prepare(sources, output, format="memmap", workers=1):
    from metatrain_dos.commands.prepare import prepare
    from metatrain_dos.data.prepare.options import PrepareOptions

    shutil.rmtree(output, ignore_errors=True)
    more = {"format": format, "workers": workers, "energy_range": ENERGIES}
    prepare(PrepareOptions([str(sources)], output, **more))


def dataset(folder, format):
    """Open a training set as ``mtt train`` does."""
    from metatrain.utils.data import get_dataset
    from metatrain.utils.omegaconf import expand_dataset_config
    from omegaconf import OmegaConf

    folder = made(folder, format)
    section = OmegaConf.load(folder / "options.yaml").training_set
    section.systems.read_from = str(folder / section.systems.read_from)
    return get_dataset(expand_dataset_config(section)[0])[0]


def made(folder, format):
    """Prepare a data set, unless it is there."""
    output = folder / f"made-{format}"
    if not output.exists():
        prepare(folder / "outputs", output, format)
    return output


def model(folder):
    """Train a tiny model on the structures of the warm-up, unless it is there."""
    from omegaconf import OmegaConf

    path = folder / "model.pt"
    if not path.exists():
        data = made(folder / str(WARM), "memmap")
        options = OmegaConf.load(data / "options.yaml")
        options.architecture.model = MODEL
        options.architecture.training |= {"num_epochs": 1, "batch_size": 8}
        OmegaConf.save(options, data / "train.yaml")
        mtt = Path(sys.executable).with_name("mtt")
        train = [mtt, "train", "train.yaml", "-o", path]
        subprocess.run(train, cwd=data, check=True, capture_output=True)
        shutil.copy(data / "grid.json", folder)
    return path


def command(*arguments):
    from metatrain_dos.commands.main import main

    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        main([str(each) for each in arguments])


# Each row gets the folder of a number of structures, and returns the
# call to time.


def parse(parser):
    def row(folder, outputs):
        return lambda: [parser(path) for path in outputs.iterdir()]

    return row


def expat(path):
    parser = xml.parsers.expat.ParserCreate()
    with path.open("rb") as file:
        parser.ParseFile(file)


def read(path):
    from metatrain_dos.data.readers import read_calculations

    list(read_calculations(path))


def preparing(format, workers=1):
    def row(folder, outputs):
        return lambda: prepare(outputs, folder / format, format, workers)

    return row


def opening(format):
    def row(folder, outputs):
        made(folder, format)
        kept = []  # so that its memory is seen
        return lambda: kept.append(dataset(folder, format))

    return row


def loading(format):
    def row(folder, outputs):
        samples = dataset(folder, format)
        return lambda: [samples[i] for i in range(len(samples))]

    return row


def plain_memmap(folder, outputs):
    """Read the numbers of the memory-mapped targets as numpy does."""
    path = made(folder, "memmap") / "training" / "dos.bin"

    def run():
        numbers = np.memmap(path, np.float32, "r")
        return [
            np.array(numbers[start : start + COLUMNS], np.float64)
            for start in range(0, len(numbers), COLUMNS)
        ]

    return run


def checking(format):
    def row(folder, outputs):
        options = made(folder, format) / "options.yaml"
        return lambda: command("check", options)

    return row


def evaluating(format):
    def row(folder, outputs):
        data = made(folder, format) / f"training{FORMATS[format]}"
        return lambda: command(
            *("evaluate", model(folder.parent), data),
            *("-o", tempfile.mkdtemp(dir=folder) + "/evaluation", "--no-figures"),
        )

    return row


def predicting(ending):
    def row(folder, outputs):
        output = folder / f"predicted{ending}"
        structures = made(folder, "xyz") / "training.xyz"
        return lambda: command(
            *("predict", model(folder.parent), structures),
            *("-o", output, "--force"),
        )

    return row


ROWS = {
    "expat: parse the files": (parse(expat), None),
    "ElementTree: parse the files": (parse(ElementTree.parse), None),
    "read the files": (parse(read), "ElementTree: parse the files"),
    "prepare, memmap": (preparing("memmap"), "ElementTree: parse the files"),
    "prepare, xyz": (preparing("xyz"), "prepare, memmap"),
    "prepare, zip": (preparing("zip"), "prepare, memmap"),
    "parent of two workers, memmap": (preparing("memmap", 2), "prepare, memmap"),
    "parent of two workers, xyz": (preparing("xyz", 2), "prepare, memmap"),
    "parent of two workers, zip": (preparing("zip", 2), "prepare, memmap"),
    "numpy: read the targets": (plain_memmap, None),
    **{
        f"{what}, {format}": (kind(format), "numpy: read the targets")
        for what, kind in {"open as mtt train": opening, "load each": loading}.items()
        for format in ("memmap", "zip", "xyz")
    },
    "check, memmap": (checking("memmap"), "load each, memmap"),
    "check, xyz": (checking("xyz"), "open as mtt train, xyz"),
    "evaluate, memmap": (evaluating("memmap"), "load each, memmap"),
    "evaluate, xyz": (evaluating("xyz"), "open as mtt train, xyz"),
    "predict, npz": (predicting(".npz"), "open as mtt train, xyz"),
    "predict, csv": (predicting(".csv"), "open as mtt train, xyz"),
}
"""Name -> what is timed, and the row that is its limit."""


def resident():
    """Memory of this process, bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def measure(row, folder, number):
    """Time a row in this process, after a run on few structures."""
    for size in (WARM, number):
        size = str(size)
        run = ROWS[row][0](folder / size, folder / size / "outputs")
        memory, start = resident(), time.process_time()
        run()
        spent, memory = time.process_time() - start, resident() - memory
    print(json.dumps([spent, memory]))


def in_new_process(*arguments):
    arguments = [sys.executable, __file__, *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment)
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
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        row, number = arguments.measure
        measure(row, arguments.folder, int(number))
        return
    sizes = [arguments.number // 2, arguments.number]
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        for size in {WARM, *sizes}:
            generate(folder / str(size) / "outputs", size, arguments.outputs)
        sys.exit(table(folder, sizes, arguments.rows, arguments.tolerance))


def table(folder, sizes, pattern, tolerance):
    """Print all rows; return whether any grows too fast."""
    print(
        f"{'ms, kB per structure':32} {'time':>7} {'memory':>7} {'/ limit':>8} doubling"
    )
    costs, failed = {}, False
    for row, (_, limit) in ROWS.items():
        if not re.search(pattern, row):
            continue
        half, whole = (
            np.array(in_new_process("--measure", row, n, "--folder", folder)) / n
            for n in sizes
        )
        costs[row] = whole[0]
        ratio = f"{whole[0] / costs[limit]:8.1f}" if limit in costs else " " * 8
        growth = whole[0] / half[0]
        failed |= growth > 1 + tolerance
        verdict = "WORSE THAN LINEAR" if growth > 1 + tolerance else ""
        print(
            f"{row:32} {1e3 * whole[0]:7.3f} {1e-3 * whole[1]:7.1f} {ratio} "
            f"{growth:8.2f} {verdict}",
            flush=True,
        )
    return failed


if __name__ == "__main__":
    main()
