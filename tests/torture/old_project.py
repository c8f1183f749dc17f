"""
Write a project as people had it with metatrain 2025.12 to 2026.2.

``python old_project.py FOLDER`` writes structures with DOS and masks, and the options
file of the paper. metatrain 2026.2.1 trains on it as it stands.
"""

import sys
from pathlib import Path

import ase.io
import numpy as np
from ase.build import bulk
from omegaconf import OmegaConf


EXTRA = 200
POINTS = 300
SPACING = 0.05
STRUCTURES = 8

OPTIONS = """\
architecture:
  name: pet
  training:
    num_epochs: 2
    batch_size: 4
    log_interval: 1
    scale_targets: false
    distributed: false
    loss:
      mtt::dos:
        type: "masked_dos"
        grad_weight: 1e-4
        int_weight: 2.0
        extra_targets: 200
        reduction: "mean"
"""


def section(file):
    """Make the section of a data set, with every key as it was."""
    common = {
        "quantity": "",
        "per_atom": False,
        "type": "scalar",
        "num_subtargets": EXTRA + POINTS,
    }
    return {
        "systems": {"read_from": file, "length_unit": "angstrom"},
        "targets": {"mtt::dos": {"key": "dos", "unit": "", **common}},
        "extra_data": {"mtt::dos_mask": {"key": "dos_mask", "unit": "", **common}},
    }


def structures(number, seed):
    """Make silicon, strained, with a DOS that follows the volume; masks are floats."""
    rng = np.random.default_rng(seed)
    energies = SPACING * np.arange(POINTS)
    for _ in range(number):
        scale = rng.uniform(0.94, 1.06)
        atoms = bulk("Si", "diamond", a=5.43 * scale)
        centres = np.array([3.0, 5.5, 8.0]) / scale**2 + rng.uniform(-1, 1)
        peaks = np.exp(-0.5 * ((energies - centres[:, None]) / 0.4) ** 2)
        trusted = energies < 11.0 / scale**2
        atoms.info["dos"] = np.pad(4.0 * peaks.sum(0), (EXTRA, 0))
        atoms.info["dos_mask"] = np.pad(trusted.astype(float), (EXTRA, 0))
        yield atoms


def write(folder, model=None):
    """
    Write the project.

    :param folder: where to
    :param model: options of the model that are not the defaults
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    options = OmegaConf.create(OPTIONS)
    if model:
        options.architecture.model = model
    for seed, name in enumerate(("training_set", "validation_set", "test_set")):
        file = f"{name.removesuffix('_set')}.xyz"
        ase.io.write(folder / file, list(structures(STRUCTURES, seed)))
        options[name] = section(file)
    options.seed = 1
    OmegaConf.save(options, folder / "options.yaml")


if __name__ == "__main__":
    write(sys.argv[1])
