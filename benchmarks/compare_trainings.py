"""
Compare the models of ``bench_trainings.py`` by the same errors for all losses.

Each prediction may slide anywhere along its target, with zeros around it, which is at
least what any of the losses allows in training; the shift is chosen as the losses that
slide choose it. What is then compared is the DOS where it is trusted, its running
integral, and the Fermi level. Prints tables; writes ``structures.csv`` and
``comparison.png``.
"""

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import ase.io
import numpy as np
from bench_trainings import divided

from metatrain_dos.data.target_spec import TargetSpec
from metatrain_dos.models.errors import align
from metatrain_dos.models.levels import fermi_level
from metatrain_dos.models.predictor import DEFAULT_THRESHOLD, DEFAULT_TOLERANCE


CONDITIONS = {"consistent": "energies as computed", "moved": "moved by up to 4 eV"}
ERRORS = {
    "rmse": "DOS, states/eV/atom",
    "cumulative": "integrated DOS, states/atom",
    "fermi": "Fermi level, eV",
}
RIVALS = {
    "masked_dos int_weight=0.01": "masked_dos, int_weight 0.01",
    "masked_dos": "masked_dos, int_weight 2.0",
    "shift_agnostic_mse": "shift_agnostic_mse",
    "mse": "mse",
    "mse, Fermi level": "mse, Fermi level",
}


def errors(folder, calculations):
    """
    Compare the predictions of a test set with their targets.

    :param folder: folder of a run
    :param calculations: those of the test set
    :return: each of ``ERRORS``, and ``atoms``, ``(structures,)``
    """
    frames = ase.io.read(folder / "test.xyz", ":")
    predictions = np.load(folder / "test.npy").astype(float)
    spec = TargetSpec.read(folder / "grid.json")
    grid, front = spec.grid, spec.extra_targets

    targets = np.array([frame.info["dos"][front:] for frame in frames], dtype=float)
    mask = ~np.isnan(targets)
    if "dos_mask" in frames[0].info:
        mask &= np.array([frame.info["dos_mask"][front:] for frame in frames], bool)
    anywhere = np.pad(predictions, ((0, 0), (grid.size, grid.size)))
    aligned = align(anywhere, targets, mask, grid_spacing=grid.spacing)

    error = np.where(mask, aligned.predictions - aligned.targets, 0.0)
    excess = np.cumsum(error, axis=-1) * grid.spacing
    atoms = np.array([len(frame) for frame in frames])
    electrons = [calculation.n_electrons for calculation in calculations]
    levels = [
        [level(dos[trusted], grid.energies[trusted], count) for dos in pair]
        for *pair, trusted, count in zip(
            aligned.predictions, aligned.targets, mask, electrons, strict=True
        )
    ]
    return {
        "rmse": aligned.rmse / atoms,
        "cumulative": np.sqrt((mask * excess**2).sum(-1) / mask.sum(-1)) / atoms,
        "fermi": np.abs(np.subtract(*np.transpose(levels))),
    }


def level(dos, energies, electrons):
    """Find the Fermi level as `mtt-dos predict` does; the end if there is none."""
    options = {
        "threshold": DEFAULT_THRESHOLD,
        "tolerance": DEFAULT_TOLERANCE * electrons,
    }
    try:
        return float(fermi_level(dos, energies, electrons, **options))
    except ValueError:  # too few states
        return float(energies[-1])


def collect(output):
    """Compare the models: ``{condition: {run: {seed: errors}}}``."""
    found = defaultdict(lambda: defaultdict(dict))
    for condition in CONDITIONS:
        calculations = divided(condition)["test_set"]
        for done in sorted(output.glob(f"{condition}/*/*/done.json")):
            name, seed = done.parent.parts[-2:]
            found[condition][name][int(seed)] = errors(done.parent, calculations)
    # A Fermi level moves with the energies, so these runs would be the same.
    for name, seeds in found["consistent"].items():
        if "Fermi" in name:
            found["moved"][name] = seeds
    return found


def medians(seeds, error):
    """Take the median over structures for each seed, as a few are far off."""
    return [float(np.median(values[error])) for values in seeds.values()]


def show(results):
    """Print a table of each condition, in Markdown."""
    for condition, trainings in results.items():
        print(f"\n{CONDITIONS[condition]}\n")
        print(f"| loss | seeds | {' | '.join(ERRORS.values())} |")
        print("|---|--:|" + "--:|" * len(ERRORS))
        first = {name: i for i, name in enumerate(RIVALS)}
        for name in sorted(trainings, key=lambda name: (first.get(name, 99), name)):
            seeds = trainings[name]
            cells = []
            for error in ERRORS:
                found = medians(seeds, error)
                spread = f" ({min(found):.3f} to {max(found):.3f})"
                cells.append(f"{np.mean(found):.3f}" + spread * (len(found) > 1))
            print(f"| {name} | {len(seeds)} | {' | '.join(cells)} |")


def save(found, path):
    """Write the errors of each structure."""
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["condition", "training", "seed", "structure", *ERRORS])
        for condition, trainings in found.items():
            for name, seeds in trainings.items():
                for seed, values in seeds.items():
                    rows = np.transpose([values[error] for error in ERRORS])
                    for i, row in enumerate(rows):
                        numbers = [f"{number:.5f}" for number in row]
                        writer.writerow([condition, name, seed, i, *numbers])


def draw(found, path):
    """Draw each seed as a dot, and their means as bars."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 6.6), layout="constrained")
    panels = figure.subplots(len(ERRORS), len(found), sharey=True, sharex="row")
    for row, (error, label) in zip(panels, ERRORS.items(), strict=True):
        for panel, (condition, trainings) in zip(row, found.items(), strict=True):
            for place, name in enumerate(RIVALS):
                color = "#c0392b" if name.startswith("masked_dos") else "#7f8c8d"
                dots = medians(trainings[name], error)
                panel.barh(place, np.mean(dots), color=color, alpha=0.35, height=0.7)
                panel.plot(dots, [place] * len(dots), "o", color=color, ms=4)
            panel.spines[["top", "right"]].set_visible(False)
            panel.set_yticks(range(len(RIVALS)), list(RIVALS.values()))
            panel.set_xlabel(label, fontsize=9)
            if error == next(iter(ERRORS)):
                panel.set_title(CONDITIONS[condition], loc="left", fontsize=10)
    panels[0, 0].invert_yaxis()
    figure.suptitle("Errors of structures held out of training", fontsize=11)
    figure.savefig(path, dpi=150)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--output", type=Path, default=Path("bench/trainings"))
    output = parser.parse_args().output
    found = collect(output)
    show(found)
    save(found, output / "structures.csv")
    draw(found, output / "comparison.png")


if __name__ == "__main__":
    main()
