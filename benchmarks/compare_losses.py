"""
Compare the training runs of ``bench_losses.py``.

Prints tables in Markdown: each loss at its best, chosen by the error on the validation
set and judged on the test set; all configurations; and committees of three and cleaned
predictions, for which the predictions must be there.
"""

import argparse
import os
from collections import defaultdict
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from bench_losses import (
    COLUMNS,
    ERRORS,
    FROM_TARGETS,
    OUTPUT,
    RIVALS,
    Row,
    judge,
    label,
    read,
    truth,
    write,
)

from metatrain_dos.figures.style import COMPUTED, PREDICTED, remove_spines
from metatrain_dos.models.errors import align


def settings(row: dict[str, Any], *names: str) -> tuple[Any, ...]:
    """Take some settings of a row; splits by material count as one."""
    values = {**row, "split": row["split"].rstrip("0123456789")}
    if row["zero"] not in FROM_TARGETS:
        values["zero"] = "consistent"
    return tuple(values[name] for name in names)


CONDITION = ("split", "zero", "share", "network", "epochs", "spacing", "smearing")
"""Settings that are the same for all rivals; the others are chosen for each."""
REPLICATE = ("split", "seed")
"""Settings over which errors are averaged."""


def configurations(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """
    Average rows that differ in seed, or in the materials that are left out.

    :param rows: results
    :return: one dictionary for each configuration, with its ``rows``, and means
        instead of numbers
    """
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        fixed = [f.name for f in fields(Row) if f.name not in REPLICATE]
        groups[(*settings(row, "split"), *(row[name] for name in fixed))].append(row)
    found = []
    for group in groups.values():
        means = {
            name: float(np.mean([row[name] for row in group]))
            for name in COLUMNS[len(fields(Row)) :]
        }
        found.append({**group[0], **means, "rows": group})
    return found


def best(rows: list[dict[str, Any]]) -> dict[tuple[Any, ...], list[dict[str, Any]]]:
    """
    Choose the best configuration of each loss by its validation error.

    :param rows: results
    :return: condition -> one configuration for each loss
    """
    found: dict[tuple[Any, ...], dict[str, dict[str, Any]]] = defaultdict(dict)
    for each in configurations(rows):
        mine = found[settings(each, *CONDITION)]
        other = mine.get(each["loss"])
        if other is None or each["validation_dos"] < other["validation_dos"]:
            mine[each["loss"]] = each
    return {key: list(value.values()) for key, value in found.items()}


def show(rows: list[dict[str, Any]]) -> None:
    """Print two tables in Markdown: each loss at its best, and all configurations."""
    errors = ["DOS", "integrated DOS", "relative", "seeds", "seconds"]
    print("Each loss at its best; errors of the test set\n")
    names = ["loss", "weight", "rate", "zero", "int_weight"]
    print(f"| {' | '.join([*CONDITION, *names, *errors])} |")
    print("|---" * (len(CONDITION) + len(names)) + "|--:" * len(errors) + "|")
    for condition, rivals in sorted(best(rows).items(), key=str):
        for each in sorted(rivals, key=lambda rival: rival["test_dos"]):
            cells = [*condition, *(each[name] for name in names), *_numbers(each)]
            print(f"| {' | '.join(_text(cell) for cell in cells)} |")
    print("\nAll configurations; settings that are not the default\n")
    print(f"| settings | {' | '.join(['validation', *errors])} |")
    print("|---" + "|--:" * (len(errors) + 1) + "|")
    for each in sorted(configurations(rows), key=lambda row: row["validation_dos"]):
        row = Row(**{field.name: each[field.name] for field in fields(Row)})
        cells = [each["validation_dos"], *_numbers(each)]
        print(f"| {_changes(row)} | {' | '.join(_text(cell) for cell in cells)} |")


def committees(rows: list[dict[str, Any]]) -> None:
    """
    Print the errors of means over three seeds or more, beside those of one of them.

    :param rows: results, whose predictions must be there
    """
    print("\nCommittees of three; errors of the test set: DOS, integrated DOS\n")
    print("| settings | one | mean | mean of aligned |\n|---|--:|--:|--:|")
    for each in configurations(rows):
        members = [
            Row(**{f.name: row[f.name] for f in fields(Row)}) for row in each["rows"]
        ]
        files = [OUTPUT / f"{label(row)}.npz" for row in members]
        files = [file for file in files if file.exists()]
        if len(files) < 3 or each["split"] != "structure":
            continue
        os.chdir(write(members[0]))
        frames = ase.io.read("test.xyz", ":")
        predicted = np.array([np.load(file)["test"] for file in files], dtype=float)
        aligned = aligned_members(predicted, frames, each["spacing"])
        known = truth(frames)
        cells = [_pair({name: each[f"test_{name}"] for name in ERRORS})]
        for mean in (predicted.mean(0), aligned.mean(0)):
            cells.append(_pair(judge(mean, *known, each["spacing"])))
        print(f"| {_changes(members[0])} | {' | '.join(cells)} |")


def cleaning(rows: list[dict[str, Any]]) -> None:
    """
    Print what is left of errors if predictions are cleaned after the alignment.

    :param rows: results, whose predictions must be there
    """
    print("\nCleaned predictions; errors of the test set: DOS, integrated DOS\n")
    print(f"| settings | {' | '.join(CLEANINGS)} |")
    print("|---" + "|--:" * len(CLEANINGS) + "|")
    for each in rows:
        row = Row(**{field.name: each[field.name] for field in fields(Row)})
        file = OUTPUT / f"{label(row)}.npz"
        if not file.exists() or row.split != "structure":
            continue
        os.chdir(write(row))
        predicted = np.load(file)["test"].astype(float)
        targets, mask, atoms = truth(ase.io.read("test.xyz", ":"))
        free = ((0, 0), (targets.shape[-1], targets.shape[-1]))
        cells = []
        for clean in CLEANINGS.values():
            smooth = low_pass(predicted, row) if clean == "filter" else predicted
            aligned = align(
                np.pad(smooth, free), targets, mask, grid_spacing=row.spacing
            )
            dos = aligned.predictions
            if clean in ("cut", "project"):
                dos = np.maximum(dos, 0.0)
            if clean == "project":
                before, after = (
                    np.where(mask, each, 0.0).sum(-1)
                    for each in (aligned.predictions, dos)
                )
                dos = dos * (before / after)[:, None]
            cleaned = replace(aligned, predictions=dos)
            errors = (cleaned.rmse, cleaned.cumulative_rmse)
            pair = [np.mean(each / atoms) for each in errors]
            cells.append("{:.4f} {:.4f}".format(*pair))
        print(f"| {_changes(row)} | {' | '.join(cells)} |")


CLEANINGS = {
    "as predicted": "",
    "low-pass filter": "filter",
    "negative values cut off": "cut",
    "the same, with as many states": "project",
}
"""Ways to clean predictions."""


def low_pass(rows: np.ndarray, row: Row) -> np.ndarray:
    """Take away oscillations of which Gaussians hold less than a hundredth."""
    pad = round(8 * row.smearing / row.spacing)
    padded = np.pad(rows, ((0, 0), (pad, pad)), mode="edge")
    size = padded.shape[-1]
    frequencies = 2 * np.pi * np.fft.rfftfreq(size, row.spacing)
    kept = row.smearing * frequencies < np.sqrt(2 * np.log(100))
    return np.fft.irfft(np.fft.rfft(padded) * kept, size)[:, pad:-pad]


FREEDOM = 8.0
"""How far members of a committee may slide along the first one, either way, eV."""

USUAL = {"network": "soap128", "epochs": 100, "spacing": 0.15, "smearing": 0.3}
USUAL |= {"split": "structure", "share": 1.0}
DRAWN = {
    name: tuple({**USUAL, "zero": "consistent", **change}[key] for key in CONDITION)
    for name, change in {
        "zeros moved by up to 4 eV": {"zero": "moved"},
        "the same, aligned by prepare": {"zero": "aligned"},
        "zeros of one kind": {},
        "the same, and aligned": {"zero": "together"},
        "half of the structures": {"share": 0.5},
        "unseen materials": {"split": "material"},
    }.items()
}
"""Conditions of the figure."""


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """
    Draw the errors of our loss and of ``mse``, each at its best, seed by seed.

    :param rows: results
    :param path: file of the figure
    """
    from matplotlib.figure import Figure

    chosen = best(rows)
    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for panel, error in zip(panels, ("dos", "integrated"), strict=True):
        for place, condition in enumerate(DRAWN.values()):
            for each in chosen[condition]:
                if each["loss"] not in RIVALS:
                    continue
                ours = each["loss"] == "masked_dos"
                color = PREDICTED if ours else COMPUTED
                y = place + (-0.17 if ours else 0.17)
                name = each["loss"] if place == 0 else None
                mean = each[f"test_{error}"]
                panel.barh(y, mean, 0.3, color=color, alpha=0.4, label=name)
                dots = [row[f"test_{error}"] for row in each["rows"]]
                panel.plot(dots, [y] * len(dots), "o", color=color, ms=3)
        panel.set_xlabel(f"error of the {ERRORS[error]}", fontsize=8)
        panel.set_yticks(range(len(DRAWN)), list(DRAWN), fontsize=8)
        remove_spines(panel)
    panels[0].invert_yaxis()
    panels[1].legend(frameon=False, fontsize=8)
    figure.savefig(path)


def aligned_members(
    predicted: np.ndarray, frames: list[ase.Atoms], spacing: float
) -> np.ndarray:
    """
    Align predictions with that of the first model, up to 3 eV above the electrons.

    Further up, few targets are trusted, and models differ.

    :param predicted: predictions, ``(models, structures, columns)``, states/eV
    :param frames: structures with ``n_electrons`` in their info
    :param spacing: of the energy grid, eV
    :return: the same on the axis of the first model, with more columns on both sides
    """
    free = round(FREEDOM / spacing)
    first, *others = np.pad(predicted, ((0, 0), (0, 0), (free, free)))
    electrons = np.array([[frame.info["n_electrons"]] for frame in frames])
    is_full = np.cumsum(first, axis=-1) * spacing >= electrons
    last = is_full.argmax(-1) + round(3.0 / spacing)
    mask = np.arange(first.shape[-1]) <= last[:, None]
    wide = np.pad(others, ((0, 0), (0, 0), (free, free)))
    slid = [align(each, first, mask, grid_spacing=spacing).predictions for each in wide]
    return np.array([first, *slid])


def _pair(errors: dict[str, float]) -> str:
    return f"{errors['dos']:.4f} {errors['integrated']:.4f}"


def _changes(row: Row) -> str:
    """Describe the settings of a row that are not the default."""
    return label(replace(row, seed=0)).replace("_seed=0", "").replace("_", " ")


def _numbers(each: dict[str, Any]) -> list[Any]:
    errors = [each[f"test_{name}"] for name in ERRORS]
    return [*errors, len(each["rows"]), round(each["seconds"])]


def _text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--figure", type=Path, help="draw the figure, too")
    arguments = parser.parse_args()
    rows = read()
    show(rows)
    if arguments.figure:
        draw(rows, arguments.figure)
    committees(rows)
    cleaning(rows)


if __name__ == "__main__":
    main()
