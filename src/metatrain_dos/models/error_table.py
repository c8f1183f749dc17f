"""Table of the errors of all structures, and its files."""

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import ase
import numpy as np
import torch
from ase.formula import Formula

from ..loss.options import MaskedDOSHypers
from ..loss.terms import TERMS, loss_of_structure
from .comparison import Batch, RowId


class Column(NamedTuple):
    """
    A number that each row of the table has.

    :param label: short name
    :param unit: its unit; ``%`` for a fraction
    :param meaning: definition
    :param in_summary: whether its statistics are shown
    """

    label: str
    unit: str
    meaning: str
    in_summary: bool = True

    @property
    def label_with_unit(self) -> str:
        """Name with its unit."""
        return f"{self.label}, {self.unit}" if self.unit else self.label


COLUMNS = {
    "trusted": Column("trusted", "eV", "energy range that is compared", False),
    "rmse_per_atom": Column("RMSE", "states/eV/atom", "root mean square error"),
    "mae_per_atom": Column("MAE", "states/eV/atom", "mean absolute error"),
    "relative_rmse": Column(
        "RMSE", "%", "as a fraction of the root mean square of the computed DOS"
    ),
    "relative_mae": Column("MAE", "%", "as a fraction of the mean of the computed DOS"),
    "cumulative_rmse_per_atom": Column(
        "integrated, RMS",
        "states/atom",
        "root mean square error of the integrated DOS",
    ),
    "cumulative_max_per_atom": Column(
        "integrated, largest", "states/atom", "largest error of the integrated DOS"
    ),
    "shift": Column("shift", "eV", "shift of the computed DOS along the prediction"),
    **{f"loss_{t.name}": Column(t.name, t.unit, t.meaning) for t in TERMS},
    "loss": Column("loss", "", "weighted sum of the terms, as in training"),
}
"""Name of each number -> its column. All are per atom, and all but the shift errors."""


class ErrorTable:
    """
    Collect the errors of all structures, in about 200 bytes each.

    :param loss: options of the loss of the training run; ``None`` where they are not
        known
    """

    def __init__(self, loss: MaskedDOSHypers | None = None) -> None:
        self.row_ids: list[RowId] = []
        self.materials: list[str] = []
        self._loss = loss
        self._atoms: list[np.ndarray] = []
        self._numbers: dict[str, list[np.ndarray]] = {name: [] for name in COLUMNS}

    def add(self, batch: Batch) -> None:
        """
        Measure the rows of a batch.

        :param batch: predictions and targets
        """
        aligned, atoms = batch.aligned, batch.atoms
        points = aligned.mask.sum(-1)
        # Rows with an all-false mask get NaN.
        unknown = np.where(points > 0, 0.0, np.nan)
        found = {
            "trusted": points * aligned.grid_spacing,
            "rmse_per_atom": aligned.rmse / atoms,
            "mae_per_atom": aligned.mae / atoms,
            "relative_rmse": aligned.relative_rmse,
            "relative_mae": aligned.relative_mae,
            "cumulative_rmse_per_atom": aligned.cumulative_rmse / atoms,
            "cumulative_max_per_atom": aligned.cumulative_max / atoms,
            "shift": aligned.shift_energy,
        }
        # The trainers of metatrain divide prediction and target by the number of atoms.
        terms = {t.name: aligned.terms[t.name] / atoms**2 + unknown for t in TERMS}
        found |= {f"loss_{name}": term for name, term in terms.items()}
        if self._loss is None:
            found["loss"] = np.full(len(atoms), np.nan)
        else:
            weights = self._loss.model_dump()
            total = sum(t.weight(weights) * terms[t.name] for t in TERMS)
            per_atom = atoms.reshape(-1, *[1] * (aligned.targets.ndim - 1))
            factor = loss_of_structure(
                torch.from_numpy(np.asarray(total)),
                torch.from_numpy(aligned.targets / per_atom),
                torch.from_numpy(aligned.mask),
                self._loss.per_structure,
                grid_spacing=aligned.grid_spacing,
            )
            found["loss"] = total * np.asarray(factor)
        self.row_ids += batch.row_ids
        self.materials += [material(sample.atoms) for sample in batch.samples]
        self._atoms.append(atoms)
        for name, values in found.items():
            self._numbers[name].append(values)

    def __len__(self) -> int:
        return len(self.row_ids)

    def __getitem__(self, name: str) -> np.ndarray:
        """Return one of :data:`COLUMNS`, ``(rows,)``."""
        return np.concatenate(self._numbers[name] or [np.empty(0)])

    @property
    def kind(self) -> str:
        """Meaning of a row: ``structures`` or ``atoms``."""
        per_atom = any(row_id.atom is not None for row_id in self.row_ids)
        return "atoms" if per_atom else "structures"

    @property
    def atoms(self) -> np.ndarray:
        """Number of atoms that each row covers, ``(rows,)``."""
        return np.concatenate(self._atoms or [np.empty(0, int)])

    def rows(self) -> Iterator[dict[str, Any]]:
        """Iterate over the rows, with ``None`` for unknown numbers."""
        numbers = {name: self[name] for name in COLUMNS}
        about = zip(self.row_ids, self.materials, self.atoms, strict=True)
        for i, (row_id, name, atoms) in enumerate(about):
            yield {
                **row_id._asdict(),
                "material": name,
                "atoms": int(atoms),
                **{key: _known(values[i]) for key, values in numbers.items()},
            }

    def statistics(self) -> dict[str, dict[str, float | None]]:
        """Summarise each column (median, mean, 90th percentile, maximum)."""
        return {name: _statistics(self[name]) for name in COLUMNS}

    def by_material(self) -> list[dict[str, Any]]:
        """Compute the medians of each material, the worst material first."""
        names, numbers = np.unique(self.materials, return_inverse=True)
        counts = np.bincount(numbers, minlength=len(names))
        medians = {name: grouped_median(self[name], numbers) for name in COLUMNS}
        found = [
            {
                "material": str(name),
                "structures": int(counts[i]),
                **{key: _known(values[i]) for key, values in medians.items()},
            }
            for i, name in enumerate(names)
        ]
        return sorted(found, key=lambda row: -(row["relative_rmse"] or -1.0))

    def write_csv(self, path: Path) -> None:
        """
        Write one line for each row.

        :param path: file to write
        """
        names = [*RowId._fields, "material", "atoms", *COLUMNS]
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(self.rows())

    def write_json(self, path: Path, head: Mapping[str, Any]) -> None:
        """
        Write everything, with one line for each row.

        :param path: file to write
        :param head: content in front of the rows
        """
        text = json.dumps(head, indent=2)
        with path.open("w", encoding="utf-8") as file:
            file.write(text.removesuffix("\n}") + ',\n  "rows": [')
            for i, row in enumerate(self.rows()):
                file.write(f"{',' if i else ''}\n    {json.dumps(row)}")
            file.write("\n  ]\n}\n")


def material(atoms: ase.Atoms) -> str:
    """
    Name the material as ``mtt-dos prepare`` does.

    :param atoms: structure
    :return: ``material`` in its info, or else its formula
    """
    if "material" in atoms.info:
        return str(atoms.info["material"])
    return str(Formula(atoms.get_chemical_formula()).reduce()[0])


def grouped_median(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """
    Compute the median of each group, ignoring NaN, in one sort for all of them.

    :param values: ``(rows,)``
    :param groups: number of the group of each row, from 0 without gaps, ``(rows,)``
    :return: ``(groups,)``, NaN where nothing is known
    """
    sizes, known = np.bincount(groups), np.bincount(groups[~np.isnan(values)])
    known = np.pad(known, (0, len(sizes) - len(known)))
    start = np.cumsum(sizes) - sizes
    in_order = values[np.lexsort((values, groups))]  # NaN is last in its group
    lower, upper = start + np.maximum(known - 1, 0) // 2, start + known // 2
    return 0.5 * (in_order[lower] + in_order[upper])


def _statistics(values: np.ndarray) -> dict[str, float | None]:
    """Describe a column, ignoring NaN."""
    known = values[~np.isnan(values)]
    if len(known) == 0:
        return dict.fromkeys(("median", "mean", "ninety_percent", "largest"))
    return {
        "median": _known(np.median(known)),
        "mean": _known(known.mean()),
        "ninety_percent": _known(np.percentile(known, 90)),
        "largest": _known(known.max()),
    }


def _known(value: float) -> float | None:
    """Replace NaN, which JSON has not, and round to six digits."""
    return None if np.isnan(value) else float(f"{value:.6g}")
