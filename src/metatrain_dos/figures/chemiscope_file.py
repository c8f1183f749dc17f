"""Write structures beside their DOS, for the viewer chemiscope (chemiscope.org)."""

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ase
import numpy as np

from ..models.comparison import Batch
from ..models.error_columns import COLUMNS
from ..models.error_table import ErrorTable
from ..models.prediction import PredictedDOS, unit_of
from .predictions import ZERO_LABELS


ENDINGS = (".json", ".json.gz")
"""Endings of files that chemiscope reads."""

# Decimals of a DOS in text, which is most of a file.
DECIMALS = 4


def refuse_chemiscope_file(path: Path) -> None:
    """Refuse a file with a wrong ending, or any file without chemiscope."""
    if not path.name.endswith(ENDINGS):
        raise ValueError(
            f"chemiscope: expected a file that ends in {' or '.join(ENDINGS)}, got "
            f"{path}; choose one of them"
        )
    try:
        import chemiscope  # noqa: F401
    except ImportError as error:
        raise ValueError(
            f"chemiscope: expected the package of this name, got {error}; install "
            "metatrain-dos[chemiscope]"
        ) from error


def write_predictions(
    path: Path, predictions: Sequence[tuple[ase.Atoms, PredictedDOS]], zero: str
) -> None:
    """Write structures with the DOS of them and their parts, and their levels."""
    structures, found = zip(*predictions, strict=True)
    # Energies that all predictions reach, from shortly below the first states.
    start = min(each.first_energy for each in found)
    end = min(each.dos_energies[-1] for each in found)
    step = found[0].dos_energies[1] - found[0].dos_energies[0]
    energies = start + step * np.arange(max(int((end - start) / step), 1) + 1)
    rows: dict[str, list[np.ndarray]] = {"DOS": [each.dos for each in found]}
    for name in found[0].curves:
        rows[name] = [each.curves[name] for each in found]
    names = dict.fromkeys(name for each in found for name in each.parts)
    of_atoms = "0" in names
    for name in () if of_atoms else names:
        # An element that is not in a structure has no states there.
        rows[f"DOS, {name}"] = [each.parts.get(name, 0 * each.dos) for each in found]

    def on_axis(each: PredictedDOS, row: np.ndarray) -> np.ndarray:
        return np.interp(energies, each.dos_energies, row, left=0.0)

    properties = {
        name: _property(list(map(on_axis, found, of_name)), "states/eV")
        for name, of_name in rows.items()
    }
    if of_atoms:
        of_each = [on_axis(each, row) for each in found for row in each.parts.values()]
        properties["DOS of the atom"] = _property(of_each, "states/eV", "atom")
    for name in found[0].numbers:
        values = [each.numbers[name] for each in found]
        properties[name] = _property(values, unit_of(name))
    label = f"energy - {ZERO_LABELS[zero]}" if ZERO_LABELS[zero] else "energy"
    _write(path, structures, properties, energies, label, "gap", "structure")


def write_comparison(
    path: Path, batches: Iterable[Batch], table: ErrorTable, energies: np.ndarray
) -> None:
    """Write structures with predicted and computed DOS per atom, levels and errors."""
    structures: dict[Any, ase.Atoms] = {}
    rows: dict[str, list[np.ndarray]] = {"computed DOS": [], "predicted DOS": []}
    levels: dict[str, list[float]] = {}
    for batch in batches:
        for i, row_id in enumerate(batch.row_ids):
            structures[row_id[:2]] = batch.samples[i].atoms
            for name, values in (
                ("computed DOS", batch.aligned.targets),
                ("predicted DOS", batch.aligned.predictions),
            ):
                trusted = np.where(batch.aligned.mask[i], values[i], np.nan)
                rows[name].append(trusted / batch.atoms[i])
            pair = batch.levels[i]
            for level in ("fermi_level", "gap", "dos_at_fermi_level"):
                for kind in ("computed", "predicted"):
                    value = getattr(getattr(pair, kind), level) if pair else np.nan
                    levels.setdefault(f"{level}, {kind}", []).append(value)
    target = "atom" if table.kind == "atoms" else "structure"
    properties = {
        name: _property(of_name, "states/eV/atom", target)
        for name, of_name in rows.items()
    }
    properties["material"] = {"target": target, "values": table.materials}
    for name, column in COLUMNS.items():
        if name != "gap":  # which is among the levels
            scale, unit = (100, "%") if column.unit == "%" else (1, column.unit)
            properties[name] = _property(scale * table[name], unit, target)
    for name, numbers in levels.items():
        properties[name] = _property(numbers, unit_of(name), target)
    label = "energy on the axis of the targets"
    atoms = list(structures.values())
    _write(path, atoms, properties, energies, label, "relative_rmse", target)


def _property(
    values: Sequence[Any] | np.ndarray, unit: str, target: str = "structure"
) -> dict[str, Any]:
    """Describe a property with one number, or one for each energy."""
    array = np.array(values)
    if array.ndim == 2:
        array = np.round(array, DECIMALS)
    return {"target": target, "values": array, **({"units": unit} if unit else {})}


def _write(
    path: Path,
    structures: Sequence[ase.Atoms],
    properties: Mapping[str, dict[str, Any]],
    energies: np.ndarray,
    label: str,
    shown: str,
    target: str,
) -> None:
    """Write the properties that are known of any structure, and choose what to show."""
    import chemiscope

    of_atoms = any(each["target"] == "atom" for each in properties.values())
    known = {"structure": _property(range(len(structures)), "")}
    if of_atoms:
        known["atom"] = _property(range(sum(map(len, structures))), "", "atom")
    for name, value in properties.items():
        if name == "material" or not np.isnan(value["values"]).all():
            known[name] = value
    shown = shown if shown in known else target
    for value in known.values():
        if np.ndim(value["values"]) == 2:
            value["parameters"] = [label]
    axis = {"values": np.round(energies, DECIMALS), "units": "eV"}
    data = chemiscope.create_input(
        list(structures),
        properties=known,
        parameters={label: axis},
        environments=chemiscope.all_atomic_environments(structures)
        if of_atoms
        else None,
        settings=chemiscope.quick_settings(
            x=target,
            y=shown,
            map_color=shown,
            periodic=bool(structures[0].pbc.any()),
            target=target,
        ),
        metadata={"name": path.name.partition(".")[0]},
    )
    text = json.dumps(data).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
