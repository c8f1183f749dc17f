"""Find the energies of the columns of a model's prediction."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.grid import EnergyGrid
from ..data.options_file import OptionsFile, UnusableOptionsError
from ..data.target_spec import TargetSpec
from ..loss.options import MaskedDOSHypers, validate_hypers


if TYPE_CHECKING:
    from .model import DOSModel  # which needs torch


@dataclass(frozen=True)
class PredictionAxis:
    """
    Hold the energies of the columns of a prediction.

    :param columns: number of columns of the prediction
    :param extra_targets: how many of them are in front of the first of a target
    :param spacing: distance between two columns, eV
    :param origin: energy of the first column of a target, eV; ``None`` if not known
    :param smearing: standard deviation of the Gaussians in the targets, eV; ``None`` if
        not known
    :param source: what says so, for messages
    :raises ValueError: if no column is left for a target
    """

    columns: int
    extra_targets: int
    spacing: float
    origin: float | None = None
    smearing: float | None = None
    source: str = "the arguments"

    def __post_init__(self) -> None:
        if not 0 <= self.extra_targets < self.columns:
            raise ValueError(
                f"extra_targets: expected 0 to {self.columns - 1}, because the "
                f"prediction has {self.columns} columns, got {self.extra_targets}; "
                "give what the loss was trained with"
            )
        EnergyGrid(self.origin or 0.0, self.spacing, 1)  # refuses a bad spacing

    @property
    def grid(self) -> EnergyGrid:
        """Energies of the columns of a target; they begin at 0 if not known."""
        size = self.columns - self.extra_targets
        return EnergyGrid(self.origin or 0.0, self.spacing, size)

    @property
    def energies(self) -> np.ndarray:
        """
        Energy of each column of the prediction, ``(columns,)``, eV.

        :raises ValueError: if it is not known
        """
        if self.origin is None:
            raise ValueError(
                f"grid: expected to know at what energy the columns begin, but "
                f"{self.source} does not say; give the grid.json of the data set with "
                "--grid, or `origin` from Python"
            )
        steps = np.arange(-self.extra_targets, self.columns - self.extra_targets)
        return self.origin + self.spacing * steps


def find_axis(
    model: "DOSModel",
    *,
    near: Iterable[Path] = (),
    grid: Path | None = None,
    spacing: float | None = None,
    extra_targets: int | None = None,
    origin: float | None = None,
) -> PredictionAxis:
    """
    Find out what energies the columns of a model are at.

    A ``grid.json``, as ``mtt-dos prepare`` writes it, says all: the one given, or that
    next to the model, or next to the data. Else the options of the loss say
    the spacing and the extra targets, which are in a checkpoint, and in an
    ``options.yaml`` next to a model. Numbers that are given replace what is found.

    :param model: the model
    :param near: data, next to which there may be a ``grid.json``
    :param grid: ``grid.json``, or the folder that it is in
    :param spacing: distance between two columns, eV
    :param extra_targets: columns in front of the first of a target
    :param origin: energy of the first column of a target, eV
    :return: the energies
    :raises ValueError: if nothing says it, or it does not fit the model
    """
    places = [model.path, *near] if model.path is not None else [*near]
    found: dict[str, Any]
    if grid is not None:
        found = _read_grid(_in_folder(grid, "grid.json"), model)
    elif None not in (spacing, extra_targets):
        found = {}  # what lies around may be for another model
    elif file := _next_to(places, "grid.json"):
        found = _read_grid(file, model)
    elif loss := training_loss(model):
        found = {
            "spacing": loss.grid_spacing,
            "extra_targets": loss.extra_targets,
            "source": "the loss of the training",
        }
    else:
        found = {}
    given = {"spacing": spacing, "extra_targets": extra_targets, "origin": origin}
    found |= {name: value for name, value in given.items() if value is not None}
    if not {"spacing", "extra_targets"} <= found.keys():
        raise ValueError(
            "grid: expected the grid.json of the data set that the model was trained "
            f"on next to {' or '.join(map(str, places)) or 'it'}, found none; give its "
            "path with --grid, or both --grid-spacing and --extra-targets"
        )
    return PredictionAxis(columns=model.columns, **found)


def training_loss(model: "DOSModel") -> MaskedDOSHypers | None:
    """
    Find the options of the loss that a model was trained with.

    :param model: the model
    :return: options as in its checkpoint or in the ``options.yaml`` next to it;
        ``None`` where there are none of ``masked_dos``
    """
    options = model.loss
    if options is None and model.path is not None:
        try:
            file = OptionsFile.read(model.path.parent / "options.yaml")
        except UnusableOptionsError:
            return None
        options = file.get("architecture", "training", "loss")
        if isinstance(options, dict):
            options = options.get(model.target)
    if isinstance(options, str):
        options = {"type": options}
    if not isinstance(options, dict) or options.get("type") != "masked_dos":
        return None
    values = {name: value for name, value in options.items() if name != "type"}
    return validate_hypers(
        MaskedDOSHypers, values, loss_type="masked_dos", target=model.target
    )


def _read_grid(file: Path, model: "DOSModel") -> dict[str, Any]:
    """Read a ``grid.json``, and make sure that it is for the model."""
    if not file.is_file():
        raise ValueError(
            f"grid: expected a grid.json, but {file} is no file; give that of the data "
            "set that the model was trained on"
        )
    made = TargetSpec.read(file)
    if made.columns != model.columns:
        raise ValueError(
            f"grid: expected the {model.columns} columns that the model has, but "
            f"{file} is for {made.columns}; give the grid.json of the data set that "
            "the model was trained on with --grid"
        )
    return {
        "spacing": made.grid.spacing,
        "extra_targets": made.extra_targets,
        "origin": made.grid.origin,
        "smearing": made.smearing,
        "source": str(file),
    }


def _in_folder(path: Path, name: str) -> Path:
    """Find a file by itself, or by its folder."""
    return path / name if path.is_dir() else path


def _next_to(places: Iterable[Path], name: str) -> Path | None:
    """Find the first file of a name that is in or next to one of some places."""
    for place in places:
        for folder in (place, place.parent):
            if (folder / name).is_file():
                return folder / name
    return None
