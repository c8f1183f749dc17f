"""Write what ``mtt train`` reads: structures with their DOS, and an options file."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ase
import ase.io
import numpy as np
from omegaconf import OmegaConf

from .calculation import Calculation
from .grid import DEFAULT_SPACING, EnergyGrid
from .hypers import MaskedDOSHypers
from .targets import (
    DEFAULT_SMEARING,
    DEFAULT_TRUST_MARGIN,
    density_of_states,
    trust_mask,
    trusted_limit,
)


TARGET = "mtt::dos"
"""Name of the target in the options file."""

# The grid begins so many standard deviations below the lowest eigenvalue. The DOS is
# 4e-6 of a single level's peak there: zero, as the loss takes it to be.
EMPTY_MARGIN = 5.0

# Decimals of a DOS in an extended XYZ file, states/eV. Far below any model's error.
DECIMALS = 6


@dataclass(frozen=True)
class Discretization:
    """
    Hold the choices that turn eigenvalues into columns of numbers.

    :param grid: energies of the columns of a target, without padding
    :param extra_targets: columns of padding in front of them
    :param smearing: standard deviation of the Gaussian for each eigenvalue, eV
    :param trust_margin: how far below the end of the bands the DOS is trusted, eV
    """

    grid: EnergyGrid
    extra_targets: int = MaskedDOSHypers.model_fields["extra_targets"].default
    smearing: float = DEFAULT_SMEARING
    trust_margin: float = DEFAULT_TRUST_MARGIN

    @classmethod
    def covering(
        cls,
        calculations: Iterable[Calculation],
        *,
        spacing: float = DEFAULT_SPACING,
        smearing: float = DEFAULT_SMEARING,
        trust_margin: float = DEFAULT_TRUST_MARGIN,
        **choices: Any,
    ) -> "Discretization":
        """
        Choose the grid that holds everything that can be trusted of some calculations.

        It begins below the lowest eigenvalue, where the DOS is still zero, and ends at
        the highest trusted energy.

        :param calculations: what the grid is for, at least one
        :param spacing: distance between two energies, eV
        :param smearing: standard deviation of the Gaussian for each eigenvalue, eV
        :param trust_margin: how far below the end of the bands the DOS is trusted, eV
        :param choices: further fields
        :return: the choices
        :raises ValueError: if there is no calculation
        """
        lowest, highest = np.inf, -np.inf
        for calculation in calculations:
            energies = calculation.eigenvalues
            lowest = min(lowest, float(energies.min()))
            highest = max(highest, trusted_limit(energies, trust_margin))
        if lowest == np.inf:
            raise ValueError(
                "calculations: expected at least one, got none; check the files they "
                "are read from"
            )
        grid = EnergyGrid.covering(lowest - EMPTY_MARGIN * smearing, highest, spacing)
        return cls(grid=grid, smearing=smearing, trust_margin=trust_margin, **choices)

    @classmethod
    def read(cls, path: str | Path) -> "Discretization":
        """
        Read the choices that :meth:`write` has written.

        :param path: ``grid.json`` of a data set
        :return: the choices
        :raises ValueError: if the file does not hold them
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            return cls(grid=EnergyGrid(**content.pop("grid")), **content)
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise ValueError(
                f"{path}: expected the choices of a data set as JSON, got {error}; "
                "write the data set again"
            ) from error

    def write(self, path: str | Path) -> None:
        """
        Write the choices, so that others can be matched with them later.

        :param path: ``grid.json`` of a data set
        """
        Path(path).write_text(json.dumps(asdict(self), indent=2) + "\n", "utf-8")

    @property
    def columns(self) -> int:
        """Number of columns of a padded target, and of the prediction."""
        return self.grid.size + self.extra_targets

    @property
    def energies(self) -> np.ndarray:
        """Energy of each column of a padded target, ``(columns,)``, eV."""
        padding = self.grid.spacing * np.arange(-self.extra_targets, 0)
        return np.concatenate([self.grid.origin + padding, self.grid.energies])

    def dos_and_mask(self, calculation: Calculation) -> tuple[np.ndarray, np.ndarray]:
        """
        Compute the target of one calculation, summed over spin channels.

        :param calculation: structure and eigenvalues
        :return: DOS ``(grid.size,)``, states/eV, and mask ``(grid.size,)``, bool
        """
        dos = density_of_states(
            calculation.eigenvalues,
            calculation.kpoint_weights,
            self.grid,
            self.smearing,
        ).sum(axis=0)
        mask = trust_mask(calculation.eigenvalues, self.grid, self.trust_margin)
        return dos, mask


def training_frame(
    calculation: Calculation, discretization: Discretization
) -> ase.Atoms:
    """
    Make the structure, DOS and mask that ``mtt train`` reads from extended XYZ.

    Both are padded in front to the width of the prediction, because a metatrain model
    has as many columns as its target.

    :param calculation: structure and eigenvalues
    :param discretization: grid and padding
    :return: structure with ``dos`` (states/eV) and ``dos_mask`` in its info
    """
    dos, mask = discretization.dos_and_mask(calculation)
    front = discretization.extra_targets
    atoms = calculation.atoms.copy()
    atoms.info["dos"] = np.pad(np.round(dos, DECIMALS), (front, 0))
    atoms.info["dos_mask"] = np.pad(mask, (front, 0))
    return atoms


def dataset_section(file: str, discretization: Discretization) -> dict[str, Any]:
    """
    Describe a file of training frames as the options file of ``mtt train`` does.

    :param file: name of the extended XYZ file
    :param discretization: grid and padding
    :return: content of ``training_set`` and its like
    """
    common = {
        "quantity": "",
        "sample_kind": "system",
        "type": "scalar",
        "num_subtargets": discretization.columns,
    }
    return {
        "systems": {"read_from": file, "length_unit": "angstrom"},
        "targets": {TARGET: {"key": "dos", "unit": "", **common}},
        "extra_data": {f"{TARGET}_mask": {"key": "dos_mask", "unit": "", **common}},
    }


def training_options(
    discretization: Discretization,
    files: Mapping[str, str],
    *,
    architecture: str = "pet",
    model: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    loss: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """
    Make the options of a training that suits a DOS.

    Targets are neither scaled nor shifted by composition, which would undo the zero
    below the lowest state, and the best model is the one of the lowest loss, because
    the errors that metatrain prints know nothing of the alignment.

    :param discretization: grid and padding
    :param files: name of the extended XYZ file for each of ``training_set``,
        ``validation_set`` and ``test_set``
    :param architecture: name of the architecture
    :param model: options of the model that are not the defaults
    :param training: options of the training that are not the defaults
    :param loss: options of the loss that are not the defaults
    :return: content of the options file
    """
    loss = {
        "type": "masked_dos",
        "extra_targets": discretization.extra_targets,
        "grid_spacing": discretization.grid.spacing,
        "reduction": "mean",
        **(loss or {}),
    }
    return {
        "architecture": {
            "name": architecture,
            **({"model": dict(model)} if model else {}),
            "training": {
                "scale_targets": False,
                "atomic_baseline": {TARGET: 0.0},
                "best_model_metric": "loss",
                **(training or {}),
                "loss": {TARGET: loss},
            },
        },
        **{name: dataset_section(file, discretization) for name, file in files.items()},
    }


def write_dataset(
    folder: str | Path,
    splits: Mapping[str, Sequence[Calculation]],
    discretization: Discretization,
    **options: Any,
) -> Path:
    """
    Write a data set and the options file of a training on it.

    :param folder: where to, made if it is not there; it then holds ``options.yaml``,
        ``grid.json`` and one extended XYZ file for each split
    :param splits: calculations of ``training_set``, ``validation_set``, ``test_set``
    :param discretization: grid and padding
    :param options: keywords of :func:`training_options`
    :return: path of the options file
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: f"{name.removesuffix('_set')}.xyz" for name in splits}
    for name, calculations in splits.items():
        frames = [training_frame(each, discretization) for each in calculations]
        ase.io.write(folder / files[name], frames, format="extxyz")
    discretization.write(folder / "grid.json")

    content = training_options(discretization, files, **options)
    path = folder / "options.yaml"
    OmegaConf.save(OmegaConf.create(content), path)
    return path
