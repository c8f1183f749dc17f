"""Find the energies of the columns of a model's prediction."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..data.grid import EnergyGrid
from ..data.options_file import OptionsFile, UnusableOptionsError
from ..data.presets import spec_file
from ..data.target_spec import TargetSpec
from ..loss.options import MaskedDOSHypers, is_masked_dos, validate_hypers
from .model import DOSModel


def find_axis(
    model: DOSModel,
    *,
    near: Iterable[Path] = (),
    grid: Path | None = None,
    spacing: float | None = None,
    extra_targets: int | None = None,
    origin: float | None = None,
) -> TargetSpec:
    """
    Find the energies of the columns of a model.

    A ``grid.json``, as ``mtt-dos prepare`` writes it, contains everything: the given
    one, or one next to the model or the data. Otherwise spacing and extra targets come
    from the options of the loss, in a checkpoint or in an options file next to the
    model. Numbers that are given replace those that are found.

    :param model: the model
    :param near: data next to which there may be a ``grid.json``
    :param grid: ``grid.json``, its folder, or the name of a published model, see
        :mod:`metatrain_dos.data.presets`
    :param spacing: distance between two columns, eV
    :param extra_targets: columns in front of the first of a target
    :param origin: energy of the first column of a target, eV
    :return: the axis; its grid begins at 0 and its smearing is 0 where they are unknown
    :raises ValueError: if the axis cannot be found, or does not fit the model
    """
    places = [model.path, *near] if model.path is not None else [*near]
    beside = (folder / "grid.json" for each in places for folder in (each, each.parent))
    found: dict[str, Any] = {"smearing": 0.0}
    if grid is not None:
        found = _read_grid(grid, model)
    elif None not in (spacing, extra_targets):
        pass  # files nearby may belong to another model
    elif file := next(filter(Path.is_file, beside), None):
        found = _read_grid(file, model)
    elif loss := training_loss(model):
        found |= {
            "spacing": loss.grid_spacing,
            "extra_targets": loss.extra_targets,
            "spin_resolved": loss.spin_channels == 2,
            "source": "the options of the loss",
        }
    given = {"spacing": spacing, "extra_targets": extra_targets, "origin": origin}
    found |= {name: value for name, value in given.items() if value is not None}
    if not {"spacing", "extra_targets"} <= found.keys():
        raise ValueError(
            "grid: expected the grid.json of the data set that the model was trained "
            f"on next to {' or '.join(map(str, places)) or 'it'}, found none; give its "
            "path with --grid, or both --grid-spacing and --extra-targets"
        )
    extra = found["extra_targets"]
    columns = model.columns // (2 if found.get("spin_resolved") else 1)
    if not 0 <= extra < columns:
        raise ValueError(
            f"extra_targets: expected 0 to {columns - 1}, because the prediction "
            f"has {columns} columns, got {extra}; give the number that the loss "
            "was trained with"
        )
    energies = EnergyGrid(
        found.pop("origin", 0.0), found.pop("spacing"), columns - extra
    )
    return TargetSpec(energies, **found)


def training_loss(model: DOSModel) -> MaskedDOSHypers | None:
    """
    Find the options of the loss that a model was trained with.

    :param model: the model
    :return: options in its checkpoint or in an options file next to it; ``None`` if the
        loss is not ``masked_dos``
    """
    candidates: list[Any] = [model.loss]
    if model.loss is None and model.path is not None:
        folder = model.path.parent
        # The file that `mtt-dos prepare` writes comes first.
        files = {folder / "options.yaml": None} | dict.fromkeys(
            sorted(folder.glob("*.y*ml"))
        )
        candidates = [_loss_section(file, model.target) for file in files]
    for options in candidates:
        if isinstance(options, str):
            options = {"type": options}
        if isinstance(options, dict) and is_masked_dos(options.get("type")):
            values = {name: value for name, value in options.items() if name != "type"}
            return validate_hypers(
                MaskedDOSHypers, values, loss_type="masked_dos", target=model.target
            )
    return None


def _loss_section(file: Path, target: str) -> Any:
    """Read the section of the loss of a target from an options file."""
    try:
        loss = OptionsFile.read(file).get("architecture", "training", "loss")
    except UnusableOptionsError:
        return None
    return loss.get(target) if isinstance(loss, dict) else loss


def _read_grid(path: Path, model: DOSModel) -> dict[str, Any]:
    """Read a ``grid.json``, and make sure that it is for the model."""
    file = spec_file(path)
    if not file.is_file():
        raise ValueError(
            f"grid: expected a grid.json, but {file} is no file; give that of the data "
            "set that the model was trained on"
        )
    spec = TargetSpec.read(file)
    if spec.columns != model.columns:
        raise ValueError(
            f"grid: expected the {model.columns} columns of the model, but {file} is "
            f"for {spec.columns}; give the grid.json of the data set that the model "
            "was trained on with --grid"
        )
    found = vars(spec) | {"origin": spec.grid.origin, "spacing": spec.grid.spacing}
    del found["grid"]
    return found
