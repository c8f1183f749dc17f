"""
Run `mtt-dos prepare` and `mtt-dos evaluate` to the end at several sizes.

For each size: time, processor time and peak memory of the parent, and of its largest
worker. The last lines give the growth per doubling between the two largest sizes, and
the number of workers that one parent keeps busy, from the costs that grow with the
number of structures.
"""

import argparse
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from bench_scale import GRID, SHIPPED, generate, train_model


COMMAND = Path(sys.executable).with_name("mtt-dos")
TICKS = os.sysconf("SC_CLK_TCK")
SPLIT = "0.02,0.02,0.96"
"""Nearly all for the test, which is evaluated."""


class Cost(NamedTuple):
    """Seconds in all and of processor time; MB at the peak."""

    wall: float
    parent: float
    workers: float
    parent_peak: float
    worker_peak: float


def run(*arguments):
    """Run a command, and look at its processes until it ends."""
    arguments = [COMMAND, *map(str, arguments)]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    start = time.perf_counter()
    process = subprocess.Popen(
        arguments, env=one_thread, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    used, peaks = {}, {}
    while process.poll() is None:
        for pid in (process.pid, *children(process.pid)):
            try:
                numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
                used[pid] = sum(map(int, numbers.split()[11:13])) / TICKS
                status = Path(f"/proc/{pid}/status").read_text()
                # without files that are mapped, which need not stay in memory
                memory = int(status.split("RssAnon:")[1].split()[0]) / 1e3
                peaks[pid] = max(peaks.get(pid, 0.0), memory)
            except (OSError, IndexError):  # it has ended
                continue
        time.sleep(0.2)
    wall = time.perf_counter() - start
    if process.returncode:
        sys.exit(process.stderr.read().decode())
    parent, parent_peak = used.pop(process.pid), peaks.pop(process.pid)
    others = sum(used.values()), max(peaks.values(), default=0.0)
    return Cost(wall, parent, others[0], parent_peak, others[1])


def children(pid):
    try:
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--numbers", type=int, nargs="+", default=[1000, 10000], help="of structures"
    )
    parser.add_argument("--format", default="memmap")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--scheduler", help="of Dask, instead of workers here")
    parser.add_argument("--folder", type=Path, help="where to work (default: in /tmp)")
    parser.add_argument("--outputs", type=Path, help="files that generate() has made")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        outputs = arguments.outputs or folder / "outputs"
        if not outputs.exists():
            generate(outputs, max(arguments.numbers), SHIPPED)
        table(folder, sorted(outputs.resolve().iterdir()), arguments)


def table(folder, outputs, arguments):
    """Print a line for each run, and what follows from the last two of each."""
    print(f"{'seconds; MB':24}   wall parent workers | parent worker", flush=True)
    found = {"prepare": [], "evaluate": []}
    first, last = GRID["energy_range"]
    more = ["--workers", arguments.workers]
    if arguments.scheduler:
        more = ["--scheduler", arguments.scheduler]
    more += ["--format", arguments.format, "--split", SPLIT, "--energy-range", first]
    more += [last, "--reference", GRID["reference"]]
    for number in sorted(arguments.numbers):
        sources, data = folder / "sources.txt", folder / f"made-{number}"
        sources.write_text("".join(f"{path}\n" for path in outputs[:number]))
        commands = {"prepare": ("prepare", f"@{sources}", "-o", data, *more)}
        model = folder / "model.pt"
        commands["evaluate"] = ("evaluate", model, data, "-o", folder / "report")
        for name, command in commands.items():
            if name == "evaluate" and not model.exists():
                train_model(data, model)
            cost = run(*command)
            found[name].append(cost)
            print(
                f"{name:10} {number:13,d} {cost.wall:6.0f} {cost.parent:6.1f} "
                f"{cost.workers:7.1f} | {cost.parent_peak:6.0f} "
                f"{cost.worker_peak:6.0f}",
                flush=True,
            )
        if number != max(arguments.numbers):
            shutil.rmtree(data)
    half, whole = sorted(arguments.numbers)[-2:]
    for name, costs in found.items():
        before, after = costs[-2:]
        doublings = math.log2(whole / half)
        growth = (
            (after.parent + after.workers) / (before.parent + before.workers)
        ) ** (1 / doublings)
        memory = 1e3 * (after.parent_peak - before.parent_peak) / (whole - half)
        print(f"{name}: {growth:.2f} times the time for twice the structures, and ")
        print(f"  {memory:.2f} kB of memory for each")
    before, after = found["prepare"][-2:]
    parent = 1e3 * (after.parent - before.parent) / (whole - half)
    workers = 1e3 * (after.workers - before.workers) / (whole - half)
    print(f"prepare: {parent:.3f} ms of the parent and {workers:.3f} ms of workers")
    print("  for each structure; a million on")
    for cores in (1, 8, 64, 500):
        seconds = 1e3 * max(parent, workers / cores)
        print(f"  {cores:4} workers: {seconds / 60:.0f} minutes")


if __name__ == "__main__":
    main()
