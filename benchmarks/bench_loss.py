"""
Time the loss against metatrain's, side by side in one process.

Every round runs all rivals one after the other, so that other load on the machine
affects them alike; medians over the rounds are compared. The placement of a process in
memory changes times by some 10 %, so the base case is timed in several processes.
Prints tables, writes ``loss.csv`` and ``loss.png``.
"""

import argparse
import csv
import json
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from rivals import Case, floors, old_loss_class, steps, watched_steps


BASE = {"batch": 16, "points": 3630, "extra": 200, "dtype": "float32", "threads": 1}
SWEEPS = {
    "batch": [1, 4, 16, 64, 256],
    "points": [500, 1000, 2000, 4000, 8000],
    "extra": [0, 50, 200, 800, 2000],
    "dtype": ["float32", "float64"],
    "threads": sorted({1, 2, os.cpu_count()}),
}
# The slow rivals are left out where one call would take more than some ten seconds, or
# tens of GB: their work and memory grow with batch x points x extra.
OLD_LIMIT = 16 * 3630 * 850
OURS = "masked_dos (ours)"
SLOW = "masked_dos (metatrain 2026.2.1)"


def settle_allocator():
    """
    Bring the memory allocator into its state after the first step of any model.

    The C library keeps freed memory up to twice the size of the largest block (of at
    most 32 MiB) that it has seen freed, and returns the rest to the system. In a
    process that has seen small tensors only, every call would pay for its pages again.
    """
    torch.zeros(30 * 2**20, dtype=torch.uint8)


def clock(device):
    """
    Choose a clock.

    On one thread of a quiet machine, processor time equals wall time. On a busy one, it
    excludes the time of other processes.
    """
    alone = device == "cpu" and torch.get_num_threads() == 1
    return time.process_time if alone else time.perf_counter


def synchronize(device):
    if device == "cuda":
        torch.cuda.synchronize()


def time_all(functions, rounds, device):
    """Return the median time of each function in ms, interleaved."""
    for function in functions.values():
        function()
        function()
    times = {name: [] for name in functions}
    now = clock(device)
    order = random.Random(0)
    for _ in range(rounds):
        # none shall always find the cache as the same other one left it
        for name in order.sample(list(functions), len(functions)):
            synchronize(device)
            start = now()
            functions[name]()
            synchronize(device)
            times[name].append(1e3 * (now() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def make_case(setting, device):
    """Make one batch of a setting, such as :data:`BASE`."""
    sizes = (setting[name] for name in ("batch", "points", "extra"))
    return Case(*sizes, getattr(torch, setting["dtype"]), device)


def measure(setting, rounds, device, old_class, torch_compile=False):
    torch.set_num_threads(setting["threads"])
    case = make_case(setting, device)
    work = setting["batch"] * setting["points"] * (setting["extra"] + 1)
    # float64 meets a float32 stencil there
    old_fits = work <= OLD_LIMIT and setting["dtype"] == "float32"
    functions = steps(case, old_class if old_fits else None, torch_compile)
    if work > 8 * OLD_LIMIT or setting["batch"] > 64:
        del functions["shift_agnostic_mse"]
    return time_all({**functions, **floors(case)}, rounds, device)


def show(title, rows):
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    width = max(map(len, names))
    print(f"\n{title}: milliseconds (ratio to mse)")
    print(" " * width, *(f"{label!s:>18}" for label in rows))
    for name in names:
        cells = [
            f"{row[name]:9.2f} ({row[name] / row['mse']:6.2f})" if name in row else ""
            for row in rows.values()
        ]
        print(f"{name:<{width}}", *(f"{cell:>18}" for cell in cells))


def peak_memory(which, batch):
    """Peak memory of a call above that of a warmed-up small call, bytes."""
    command = [sys.executable, __file__, "--peak-of", which, "--batch", str(batch)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(done.stdout.split()[-1])


def print_peak(which, batch):
    """Print what one call adds to the peak of the process; Linux only."""

    def status(field):
        lines = Path("/proc/self/status").read_text().splitlines()
        (value,) = [line.split()[1] for line in lines if line.startswith(field)]
        return 1024 * int(value)

    old = old_loss_class() if which == SLOW else None
    arguments = BASE["points"], BASE["extra"], torch.float32, "cpu"
    small = steps(Case(2, *arguments), old)[which]
    large = steps(Case(batch, *arguments), old)[which]
    small()
    small()
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = status("VmRSS")
    large()
    print(status("VmHWM") - before)


def base_of_a_process(arguments):
    """Time the base case in a process of its own: milliseconds of each loss."""
    command = [sys.executable, __file__, "--base-times"]
    if arguments.torch_compile:
        command.append("--torch-compile")
    for option in ("rounds", "threads", "device"):
        command += [f"--{option}", str(getattr(arguments, option))]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def print_calls(setting, device):
    """Print what one call asks of torch and of the device."""
    from torch.profiler import ProfilerActivity, profile

    case = make_case(setting, device)
    activities = [ProfilerActivity.CPU]
    if device == "cuda":
        activities.append(ProfilerActivity.CUDA)
    for name, function in steps(case).items():
        function()
        with profile(activities=activities) as profiler:
            function()
        events = profiler.events()
        operators = sum(e.cpu_parent is None and "::" in e.name for e in events)
        # a copy to the host waits in this way, too; a CPU shows who would
        wait = "cudaStreamSynchronize" if device == "cuda" else "_local_scalar_dense"
        waits = sum(wait in e.name for e in events)
        launches = sum("LaunchKernel" in e.name for e in events)
        print(
            f"{name}: {operators} operators, {launches} kernel launches, "
            f"{waits} waits of the host"
        )


def draw(results, path):
    from matplotlib.figure import Figure

    sweeps = ["batch", "points", "extra"]
    figure = Figure(figsize=(4.2 * len(sweeps), 4.0), layout="constrained")
    labels = {"batch": "structures", "points": "points", "extra": "extra targets"}
    for panel, sweep in zip(figure.subplots(1, len(sweeps)), sweeps, strict=True):
        names = list(dict.fromkeys(n for row in results[sweep].values() for n in row))
        for name in names:
            xy = [(x, row[name]) for x, row in results[sweep].items() if name in row]
            floor = name.startswith("floor")
            panel.plot(
                *zip(*xy, strict=True),
                marker=None if floor else "o",
                ms=4,
                lw=2.2 if name == OURS else 1.2,
                ls=":" if floor else "-",
                label=name,
            )
        if sweep == "extra":
            panel.set_xscale("symlog", linthresh=50, base=4)
        else:
            panel.set_xscale("log", base=2)
        panel.set_xticks(SWEEPS[sweep], [str(x) for x in SWEEPS[sweep]], fontsize=8)
        panel.minorticks_off()
        panel.set_yscale("log")
        panel.set_xlabel(labels[sweep])
        panel.grid(alpha=0.3)
    figure.axes[0].set_ylabel("forward + backward, ms")
    handles, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(
        handles, names, loc="outside upper center", ncols=4, fontsize=8, frameon=False
    )
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=BASE["threads"])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--output", type=Path, default=Path("bench"))
    parser.add_argument("--base-only", action="store_true", help="leave the sweeps out")
    parser.add_argument(
        "--torch-compile", action="store_true", help="one more rival, slow to make"
    )
    parser.add_argument("--processes", type=int, default=5, help="for the base case")
    parser.add_argument("--base-times", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--peak-of", help=argparse.SUPPRESS)
    parser.add_argument("--batch", type=int, default=64, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    BASE["threads"] = arguments.threads
    torch.set_num_threads(arguments.threads)
    if arguments.peak_of:
        print_peak(arguments.peak_of, arguments.batch)
        return

    settle_allocator()
    rounds, device = arguments.rounds, arguments.device
    if arguments.base_times:
        rivals = old_loss_class(), arguments.torch_compile
        print(json.dumps(measure(BASE, 5 * rounds, device, *rivals)))
        return
    print(
        f"torch {torch.__version__}, {arguments.threads} of {os.cpu_count()} threads, "
        f"{device}, medians of {rounds} rounds"
    )
    bases = [base_of_a_process(arguments) for _ in range(arguments.processes)]
    base = {name: statistics.median(b[name] for b in bases) for name in bases[0]}
    show("base: " + ", ".join(f"{k} {v}" for k, v in BASE.items()), {"base": base})
    print(f"\nmedian of {len(bases)} processes, least and largest")
    for title, one, other in (
        ("metatrain 2026.2.1 masked_dos / ours", SLOW, OURS),
        ("shift_agnostic_mse / ours", "shift_agnostic_mse", OURS),
        ("ours / mse", OURS, "mse"),
    ):
        ratios = [b[one] / b[other] for b in bases]
        shown = statistics.median(ratios), min(ratios), max(ratios)
        print(f"{title:<38}", *(f"{ratio:8.2f}" for ratio in shown))

    pair = time_all(watched_steps(make_case(BASE, device)), 20 * rounds, device)
    print(
        f"ours, terms logged / ours              {pair['logged'] / pair['plain']:8.2f}"
    )

    sizes = {
        name: steps(make_case({**BASE, **change}, device))[OURS]
        for name, change in (
            ("base", {}),
            ("extra", {"extra": 800}),
            ("batch", {"batch": 64}),
        )
    }
    times = time_all(sizes, 20 * rounds, device)
    print(f"extra 800 / 200: {times['extra'] / times['base']:.2f}")
    print(f"batch 64 / 16: {times['batch'] / times['base']:.2f}")

    print()
    print_calls(BASE, device)
    if device == "cpu":
        predictions = 64 * (BASE["points"] + BASE["extra"]) * 4
        peaks = {name: peak_memory(name, 64) for name in (OURS, "mse", SLOW)}
        for name, peak in peaks.items():
            print(
                f"peak memory, batch 64, {name}: {peak / predictions:.1f} predictions"
            )

    if arguments.base_only:
        return
    old_class = old_loss_class()
    results = {}
    for sweep, values in SWEEPS.items():
        results[sweep] = {
            value: measure({**BASE, sweep: value}, rounds, device, old_class)
            for value in values
        }
        show(sweep, results[sweep])
    arguments.output.mkdir(parents=True, exist_ok=True)
    with open(arguments.output / "loss.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["sweep", "value", "loss", "milliseconds"])
        for sweep, rows in results.items():
            for value, row in rows.items():
                writer.writerows([sweep, value, *item] for item in row.items())
    draw(results, arguments.output / "loss.png")


if __name__ == "__main__":
    main()
