"""Write the input of ``mtt train``: structures with their DOS, and an options file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ase
import numpy as np
from omegaconf import OmegaConf

from ..loss.defaults import RECOMMENDED_INT_WEIGHT
from .gridded_dos import AnyCalculation
from .references import highest_occupied
from .target_spec import TARGET, TargetSpec
from .writers import DATASET_FORMATS


SPLITS = ("training_set", "validation_set", "test_set")
"""Sections of an options file that name data."""

INFO_KEYS = ("dos", "dos_mask")
"""Entries of target and mask in the info of a structure."""

DEFAULT_BATCH_SIZE = 16
"""Batch size of metatrain's PET, the largest default of its architectures."""

# Decimals of a DOS in a data set, states/eV. Far below any model's error.
DECIMALS = 6


def training_frame(calculation: AnyCalculation, spec: TargetSpec) -> ase.Atoms:
    """
    Make the structure, DOS and mask that ``mtt train`` reads.

    Both are padded in front to the width of the prediction, because a metatrain model
    has as many columns as its target.

    :param calculation: structure and eigenvalues
    :param spec: grid and padding
    :return: structure with ``dos`` (states/eV) and ``dos_mask`` in its info, or for
        targets of atoms in its arrays; and where they are known, ``n_electrons`` and
        ``highest_occupied`` (eV, on the axis of the grid)
    """
    atoms = calculation.atoms.copy()
    atoms.calc = calculation.atoms.calc  # energy, forces and the like
    # To metatrain, an axis is periodic where it is not zero.
    atoms.cell[~atoms.pbc] = 0.0
    dos, mask = spec.row(calculation)
    for key, values in zip(INFO_KEYS, (np.round(dos, DECIMALS), mask), strict=True):
        (atoms.arrays if spec.projected else atoms.info)[key] = values
    occupied = highest_occupied(calculation)
    if occupied is not None:
        zero = spec.zero(calculation)
        atoms.info["highest_occupied"] = round(occupied - zero, DECIMALS)
    if calculation.n_electrons is not None:
        atoms.info["n_electrons"] = calculation.n_electrons
    return atoms


def dataset_section(
    file: str,
    spec: TargetSpec,
    energy: Sequence[str] = (),
    *,
    masks: bool = True,
) -> dict[str, Any]:
    """
    Describe a file of training frames as the options file of ``mtt train`` does.

    :param file: name of the extended XYZ or zip file, or of the memory-mapped folder
    :param spec: grid and padding
    :param energy: ``energy``, and ``forces`` and ``stress`` if these are targets, too
    :param masks: whether the file has masks; if not, targets are NaN where they are
        false, which is the way of the memory-mapped format
    :return: content of ``training_set`` and its like
    """
    common = {
        "quantity": "",
        "sample_kind": "atom" if spec.projected else "system",
        "type": "scalar",
        "num_subtargets": spec.columns,
    }
    gradients = {each: {"key": each} for each in ("forces", "stress") if each in energy}
    energies = {"key": "energy", "unit": "eV", "quantity": "energy", **gradients}
    key, mask_key = INFO_KEYS
    mask = {f"{TARGET}_mask": {"key": mask_key, "unit": "", **common}}
    return {
        "systems": {"read_from": file, "length_unit": "angstrom"},
        "targets": {
            TARGET: {"key": key, "unit": "", **common},
            **({"energy": energies} if energy else {}),
        },
        **({"extra_data": mask} if masks else {}),
    }


def training_options(
    spec: TargetSpec,
    files: Mapping[str, str],
    *,
    energy: Sequence[str] = (),
    masks: bool = True,
    architecture: str = "pet",
    model: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    loss: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """
    Make the options of a training run that suits a DOS.

    Targets are neither scaled nor shifted by composition, which would undo the zero
    below the lowest state, and the best model is the one of the lowest loss, because
    the errors that metatrain prints know nothing of the alignment.

    :param spec: grid and padding
    :param files: name of the file for each of ``training_set``, ``validation_set`` and
        ``test_set``
    :param energy: results of every structure, with which the energy, and the forces and
        the stress if they are among them, become a second target
    :param masks: whether the files have masks, as in :func:`dataset_section`
    :param architecture: name of the architecture
    :param model: options of the model that are not the defaults
    :param training: options of the training run that are not the defaults
    :param loss: options of the loss that are not the defaults
    :return: content of the options file
    """
    loss = {
        "type": "masked_dos",
        "extra_targets": spec.extra_targets,
        "grid_spacing": spec.grid.spacing,
        "int_weight": RECOMMENDED_INT_WEIGHT,
        "per_structure": "relative_root",
        "reduction": "mean",
        **({"spin_channels": spec.spin_channels} if spec.spin_resolved else {}),
        **({"shift_per": "structure"} if spec.projected else {}),
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
                "loss": {
                    TARGET: loss,
                    **({"energy": {"type": "mse"}} if energy else {}),
                },
            },
        },
        **{
            name: dataset_section(file, spec, energy, masks=masks)
            for name, file in files.items()
        },
    }


def write_options(
    folder: Path, spec: TargetSpec, files: Mapping[str, str], **more: Any
) -> Path:
    """
    Write ``grid.json`` and ``options.yaml`` next to the files of a data set.

    :param folder: folder of the data set
    :param spec: grid and padding
    :param files: name of the file for each of ``training_set``, ``validation_set`` and
        ``test_set``
    :param more: further keywords of :func:`training_options`
    :return: path of the options file
    """
    spec.write(folder / "grid.json")
    content = training_options(spec, files, **more)
    path = folder / "options.yaml"
    OmegaConf.save(OmegaConf.create(content), path)
    return path


def write_dataset(
    folder: str | Path,
    splits: Mapping[str, Sequence[AnyCalculation]],
    spec: TargetSpec,
    *,
    format: str = "xyz",
    **options: Any,
) -> Path:
    """
    Write a data set and the options file of a training run on it.

    :param folder: where to, made if it is not there; it then holds ``options.yaml``,
        ``grid.json`` and one file for each split
    :param splits: calculations of ``training_set``, ``validation_set``, ``test_set``
    :param spec: grid and padding
    :param format: one of :data:`~metatrain_dos.data.writers.DATASET_FORMATS`
    :param options: keywords of :func:`training_options`
    :return: path of the options file
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    kind = DATASET_FORMATS[format]
    files = {name: name.removesuffix("_set") + kind.suffix for name in splits}
    for name, calculations in splits.items():
        writer = kind(folder / files[name], INFO_KEYS)
        for index, calculation in enumerate(calculations):
            frame = training_frame(calculation, spec)
            writer.write(kind.encode([frame], INFO_KEYS, index))
        writer.close()
    structures = len(splits.get("training_set", ()))
    if structures < DEFAULT_BATCH_SIZE:
        # A batch must not be larger than the training set, and several take more steps.
        small = {"batch_size": max(1, structures // 4)}
        options["training"] = {**small, **(options.get("training") or {})}
    return write_options(folder, spec, files, masks=kind.has_masks, **options)


def target_key(target: str) -> str:
    """Name a target as files do, in which a colon means something else."""
    return target.removeprefix("mtt::")
