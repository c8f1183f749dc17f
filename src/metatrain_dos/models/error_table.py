"""Hold the errors of all structures, and write them down."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase.formula import Formula

from ..loss.terms import TERMS
from .comparison import Batch, Place


NUMBERS = {
    "trusted": "energies that are compared, eV",
    "rmse": "root mean square error, states/eV",
    "mae": "mean absolute error, states/eV",
    "rmse_per_atom": "root mean square error, states/eV/atom",
    "mae_per_atom": "mean absolute error, states/eV/atom",
    "relative_rmse": "RMSE as a fraction of the root mean square of the computed DOS",
    "relative_mae": "MAE as a fraction of the mean of the computed DOS",
    "cumulative_rmse": "root mean square error of the integrated DOS, states",
    "cumulative_max": "largest error of the integrated DOS, states",
    "shift": "how far the computed DOS slid along the prediction, eV",
    **{f"loss_{t.name}": f"{t.meaning}, per atom, {t.unit}" for t in TERMS},
    "loss": "the loss of the training, which divides by atoms first",
}
"""Name of each number in the table -> what it is. All but the shift are errors."""


class ErrorTable:
    """
    Collect the errors of all structures, about 200 bytes for each.

    :param weights: weight of each of :data:`~metatrain_dos.loss.terms.TERMS` in the
        loss of the training; ``None`` where it is not known
    """

    def __init__(self, weights: Mapping[str, float] | None = None) -> None:
        self.places: list[Place] = []
        self.materials: list[str] = []
        self._weights = weights
        self._atoms: list[np.ndarray] = []
        self._numbers: dict[str, list[np.ndarray]] = {name: [] for name in NUMBERS}

    def add(self, batch: Batch) -> None:
        """
        Measure some structures.

        :param batch: predictions and targets
        """
        aligned, atoms = batch.aligned, batch.atoms
        points = aligned.mask.sum(-1)
        # Nothing is said of what nothing is trusted of.
        unknown = np.where(points > 0, 0.0, np.nan)
        found = {
            "trusted": points * aligned.grid_spacing,
            "rmse": aligned.rmse,
            "mae": aligned.mae,
            "rmse_per_atom": aligned.rmse / atoms,
            "mae_per_atom": aligned.mae / atoms,
            "relative_rmse": aligned.relative_rmse,
            "relative_mae": aligned.relative_mae,
            "cumulative_rmse": aligned.cumulative_rmse,
            "cumulative_max": aligned.cumulative_max,
            "shift": aligned.shift_energy,
        }
        # The trainers of metatrain divide prediction and target by the number of atoms.
        terms = {t.name: aligned.terms[t.name] / atoms**2 + unknown for t in TERMS}
        found |= {f"loss_{name}": term for name, term in terms.items()}
        if self._weights is None:
            found["loss"] = np.full(len(atoms), np.nan)
        else:
            weighted = [self._weights[name] * term for name, term in terms.items()]
            found["loss"] = np.sum(weighted, axis=0)
        self.places += batch.places
        self.materials += [material(sample.atoms) for sample in batch.rows]
        self._atoms.append(atoms)
        for name, values in found.items():
            self._numbers[name].append(values)

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, name: str) -> np.ndarray:
        """Look up one of :data:`NUMBERS`, ``(rows,)``."""
        return np.concatenate(self._numbers[name] or [np.empty(0)])

    @property
    def kind(self) -> str:
        """What rows are about: ``structures`` or ``atoms``."""
        of_atoms = any(place.atom is not None for place in self.places)
        return "atoms" if of_atoms else "structures"

    @property
    def atoms(self) -> np.ndarray:
        """Number of atoms that each row is for, ``(rows,)``."""
        return np.concatenate(self._atoms or [np.empty(0, int)])

    def rows(self) -> Iterator[dict[str, Any]]:
        """Give one row after the other, with ``None`` for what is not known."""
        numbers = {name: self[name] for name in NUMBERS}
        about = zip(self.places, self.materials, self.atoms, strict=True)
        for i, (place, name, atoms) in enumerate(about):
            yield {
                **place._asdict(),
                "material": name,
                "atoms": int(atoms),
                **{key: _known(values[i]) for key, values in numbers.items()},
            }

    def statistics(self) -> dict[str, dict[str, float | None]]:
        """Give the median and the like of each number, over what is known of it."""
        return {name: _statistics(self[name]) for name in NUMBERS}

    def by_material(self) -> list[dict[str, Any]]:
        """Give the medians of each material, the worst first."""
        names, numbers = np.unique(self.materials, return_inverse=True)
        columns = {name: self[name] for name in NUMBERS}
        order = np.argsort(numbers, kind="stable")
        counts = np.bincount(numbers, minlength=len(names))
        groups = np.split(order, np.cumsum(counts)[:-1]) if len(names) else []
        found = [
            {
                "material": str(name),
                "structures": len(rows),
                **{
                    key: _statistics(values[rows])["median"]
                    for key, values in columns.items()
                },
            }
            for name, rows in zip(names, groups, strict=True)
        ]
        return sorted(found, key=lambda row: -(row["relative_rmse"] or -1.0))

    def write_csv(self, path: Path) -> None:
        """
        Write one line for each row.

        :param path: file to write
        """
        names = [*Place._fields, "material", "atoms", *NUMBERS]
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(self.rows())

    def write_json(self, path: Path, head: Mapping[str, Any]) -> None:
        """
        Write everything, with one line for each row.

        :param path: file to write
        :param head: what goes before the rows
        """
        text = json.dumps(head, indent=2)
        with path.open("w", encoding="utf-8") as file:
            file.write(text.removesuffix("\n}") + ',\n  "rows": [')
            for i, row in enumerate(self.rows()):
                file.write(f"{',' if i else ''}\n    {json.dumps(row)}")
            file.write("\n  ]\n}\n")


def material(atoms: Any) -> str:
    """
    Name the material as ``mtt-dos prepare`` does.

    :param atoms: structure
    :return: ``material`` in its info, or else its formula
    """
    if "material" in atoms.info:
        return str(atoms.info["material"])
    return str(Formula(atoms.get_chemical_formula()).reduce()[0])


def _statistics(values: Iterable[float]) -> dict[str, float | None]:
    """Describe some numbers, of which some may not be known."""
    known = np.array([value for value in values if not np.isnan(value)])
    if len(known) == 0:
        return dict.fromkeys(("median", "mean", "ninety_percent", "largest"))
    return {
        "median": _known(np.median(known)),
        "mean": _known(known.mean()),
        "ninety_percent": _known(np.percentile(known, 90)),
        "largest": _known(known.max()),
    }


def _known(value: float) -> float | None:
    """Say in JSON, which has no NaN, that a number is not known."""
    return None if np.isnan(value) else float(f"{value:.6g}")
