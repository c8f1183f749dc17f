"""Table of the errors of all structures, and its files."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ase
import numpy as np
import torch
from ase.formula import Formula
from scipy.stats import spearmanr

from ..loss.atoms import join_atoms
from ..loss.options import MaskedDOSHypers
from ..loss.per_structure import factor_of_structure
from ..loss.terms import TERMS
from .comparison import Batch, RowId
from .error_columns import COLUMNS
from .errors import AlignedDOS
from .level_errors import LevelPair, Levels
from .overall_errors import OverallErrors


class ErrorTable:
    """Collect the errors of all structures, in about 200 bytes each."""

    def __init__(self, loss: MaskedDOSHypers | None = None) -> None:
        self.row_ids: list[RowId] = []
        self.materials: list[str] = []
        self.sources: list[str | None] = []
        self.loss = loss
        self._atoms: list[np.ndarray] = []
        self._numbers: dict[str, list[np.ndarray]] = {name: [] for name in COLUMNS}
        self._sums = OverallErrors()

    def add(self, batch: Batch) -> None:
        """Measure the rows of a batch."""
        aligned, atoms = batch.aligned, batch.atoms
        points = aligned.mask.sum(-1)
        # Rows with an all-false mask get NaN.
        unknown = np.where(points > 0, 0.0, np.nan)
        found = {
            "trusted": points * aligned.grid_spacing,
            "rmse_per_atom": aligned.rmse / atoms,
            "mae_per_atom": aligned.mae / atoms,
            **_channel_errors(batch.channels, atoms),
            "relative_rmse": aligned.relative_rmse,
            "relative_mae": aligned.relative_mae,
            "cumulative_rmse_per_atom": aligned.cumulative_rmse / atoms,
            "cumulative_max_per_atom": aligned.cumulative_max / atoms,
            "wasserstein": aligned.wasserstein,
            **_level_errors(batch.levels, atoms),
            "shift": aligned.shift_energy,
            "spread_per_atom": batch.spread / atoms,
            "kpoint_error": np.array([s.kpoint_error for s in batch.samples]),
        }
        # The trainers of metatrain divide prediction and target by the number of atoms.
        terms = {t.name: aligned.terms[t.name] / atoms**2 + unknown for t in TERMS}
        found |= {f"loss_{name}": term for name, term in terms.items()}
        found["loss"] = self._losses(batch, terms)
        self.row_ids += batch.row_ids
        self.materials += [material(sample.atoms) for sample in batch.samples]
        self.sources += [sample.source for sample in batch.samples]
        self._sums.add(aligned, atoms)
        self._atoms.append(atoms)
        for name, values in found.items():
            self._numbers[name].append(values)

    def _losses(self, batch: Batch, terms: Mapping[str, np.ndarray]) -> np.ndarray:
        """Compute the loss of each row, or of the structure that an atom is in."""
        aligned, atoms = batch.channels or batch.aligned, batch.atoms
        if self.loss is None:
            return np.full(len(atoms), np.nan)
        weights = self.loss.model_dump()
        total = np.sum([t.weight(weights) * terms[t.name] for t in TERMS], axis=0)
        per_atom = atoms.reshape(-1, *[1] * (aligned.targets.ndim - 1))
        owner = np.arange(len(atoms))
        targets = torch.from_numpy(aligned.targets / per_atom)
        mask = torch.from_numpy(aligned.mask)
        if self.loss.shift_per == "structure":
            numbers = [row_id.structure for row_id in batch.row_ids]
            _, owner, counts = np.unique(
                numbers, return_inverse=True, return_counts=True
            )
            total = np.bincount(owner, total) / counts
            targets, mask = join_atoms(torch.from_numpy(owner), targets, mask)
        factor = factor_of_structure(
            torch.from_numpy(total),
            targets,
            mask,
            self.loss.per_structure,
            grid_spacing=aligned.grid_spacing,
        )
        return np.asarray(total * np.asarray(factor))[owner]

    def __len__(self) -> int:
        return len(self.row_ids)

    def __getitem__(self, name: str) -> np.ndarray:
        """Return one column, ``(rows,)``."""
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
        atoms = self.atoms
        for i, row_id in enumerate(self.row_ids):
            yield {
                **row_id._asdict(),
                "source": self.sources[i],
                "material": self.materials[i],
                "atoms": int(atoms[i]),
                **{key: _known(values[i]) for key, values in numbers.items()},
            }

    def statistics(self) -> dict[str, dict[str, float | None]]:
        """Summarise absolute values (median, mean, 90th percentile, maximum)."""
        found = {}
        for name in COLUMNS:
            known = np.abs(self[name][~np.isnan(self[name])])
            known = known if len(known) else np.array([np.nan])
            found[name] = {
                "median": _known(np.median(known)),
                "mean": _known(known.mean()),
                "ninety_percent": _known(np.percentile(known, 90)),
                "largest": _known(known.max()),
            }
        return found

    def overall(self) -> dict[str, float | None]:
        """Compute :data:`~metatrain_dos.models.error_columns.OVERALL`."""
        found = self._sums.compute() | calibration(
            self["rmse_per_atom"], self["spread_per_atom"]
        )
        return {name: _known(value) for name, value in found.items()}

    def by_material(self) -> list[dict[str, Any]]:
        """Compute the medians of each material, the worst material first."""
        names, numbers = np.unique(self.materials, return_inverse=True)
        counts = np.bincount(numbers, minlength=len(names))
        medians = {
            name: grouped_median(np.abs(self[name]), numbers) for name in COLUMNS
        }
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
        """Write one line for each row."""
        names = [*RowId._fields, "source", "material", "atoms", *COLUMNS]
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(self.rows())

    def write_json(self, path: Path, head: Mapping[str, Any]) -> None:
        """Write everything behind ``head``, with one line for each row."""
        text = json.dumps(head, indent=2)
        with path.open("w", encoding="utf-8") as file:
            file.write(text.removesuffix("\n}") + ',\n  "rows": [')
            for i, row in enumerate(self.rows()):
                file.write(f"{',' if i else ''}\n    {json.dumps(row)}")
            file.write("\n  ]\n}\n")


def _channel_errors(
    channels: AlignedDOS | None, atoms: np.ndarray
) -> dict[str, np.ndarray]:
    """Measure the errors of spin channels, NaN without."""
    found = {}
    for i, name in enumerate(("up", "down")):
        rmse = np.full(len(atoms), np.nan)
        if channels is not None:
            rmse = replace(
                channels,
                predictions=channels.predictions[:, i],
                targets=channels.targets[:, i],
                mask=channels.mask[:, i],
            ).rmse
        found[f"rmse_{name}_per_atom"] = rmse / atoms
    return found


def _level_errors(
    levels: Sequence[LevelPair | None], atoms: np.ndarray
) -> dict[str, np.ndarray]:
    """Subtract computed from predicted levels."""
    unknown = Levels(*[np.nan] * len(Levels._fields))
    predicted: Any
    computed: Any
    predicted, computed = (
        Levels(*np.array([pair[i] if pair else unknown for pair in levels]).T)
        for i in (0, 1)
    )
    at_level = predicted.dos_at_fermi_level - computed.dos_at_fermi_level
    return {
        "fermi_level_error": predicted.fermi_level - computed.fermi_level,
        "dos_at_fermi_level_error": at_level / atoms,
        "gap": computed.gap,
        "gap_error": predicted.gap - computed.gap,
        "band_energy_error": (predicted.band_energy - computed.band_energy) / atoms,
    }


def material(atoms: ase.Atoms) -> str:
    """Name the material as ``mtt-dos prepare`` does."""
    if "material" in atoms.info:
        return str(atoms.info["material"])
    return str(Formula(atoms.get_chemical_formula()).reduce()[0])


def calibration(errors: np.ndarray, spreads: np.ndarray) -> dict[str, float]:
    """
    Compare the errors of the mean of a committee with the spread of its members.

    :param errors: root mean square errors, ``(rows,)``
    :param spreads: standard deviations over the members, ``(rows,)``
    :return: ratio of their root mean squares, 1 if the spread is as large as the
        error, and the correlation of their ranks; NaN if fewer than two are known
    """
    known = np.isfinite(errors) & np.isfinite(spreads)
    errors, spreads = errors[known], spreads[known]
    ratio = correlation = np.nan
    if len(errors) > 1 and spreads.any():
        ratio = float(np.sqrt(np.mean(errors**2) / np.mean(spreads**2)))
        if np.ptp(errors) > 0 and np.ptp(spreads) > 0:
            correlation = float(spearmanr(errors, spreads).statistic)
    return {"error_to_spread": ratio, "spread_correlation": correlation}


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


def _known(value: float) -> float | None:
    """Replace NaN, which JSON has not, and round to six digits."""
    return None if np.isnan(value) else float(f"{value:.6g}")
