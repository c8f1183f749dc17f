"""
Train on the shipped data and predict structures the model never saw
====================================================================

The shortest way from finished calculations to a figure: ``mtt-dos prepare`` makes a
data set with an options file, a bare ``mtt train`` trains on it, and the model's DOS is
compared with the computed one, each aligned as the loss aligns them.

Run it in a folder of its own; it writes ``dos/`` (data set and options), what
``mtt train`` writes, and ``predicted-and-computed.png``.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

import ase.io
import numpy as np
from metatomic.torch import ModelOutput
from metatomic_ase import MetatomicCalculator
from omegaconf import OmegaConf

from metatrain_dos.datasets import TARGET, Discretization
from metatrain_dos.evaluation import align
from metatrain_dos.plotting import plot_predicted_and_computed


DATA = Path(__file__).parent / "data" / "structures.xyz"

# %%
# A small network, so that this takes minutes on a laptop. For research, leave all this
# out: metatrain's defaults are a good start.

SMALL_PET = {
    "cutoff": 4.5,
    "d_pet": 64,
    "d_node": 128,
    "d_head": 64,
    "d_feedforward": 128,
    "num_heads": 4,
    "num_attention_layers": 1,
    "num_gnn_layers": 2,
}


# The default weight of the cumulative term, 2.0, lets it outweigh the DOS itself early
# in a training, and this one ends early.
LOSS = {"int_weight": 0.01}


def run(*command, **options):
    """Run a command that was installed with this Python."""
    name, *arguments = map(str, command)
    path = Path(sys.executable).with_name(name)
    subprocess.run([path, *arguments], check=True, **options)


def predict(model, structures):
    """Evaluate an exported model; return one row of columns for each structure."""
    calculator = MetatomicCalculator(str(model), device="cpu")
    rows = []
    for atoms in structures:
        output = calculator.run_model(
            atoms, {TARGET: ModelOutput(sample_kind="system")}
        )
        rows.append(output[TARGET].block().values[0].detach().numpy())
    return np.array(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[1])
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    # %%
    # From eigenvalues to a data set. Of every material, one structure is for validation
    # and one for testing.

    shutil.rmtree("dos", ignore_errors=True)  # of the last run
    run(
        *("mtt-dos", "prepare", DATA, "-o", "dos"),
        *("--stratify-by", "material", "--seed", arguments.seed),
    )

    # %%
    # The options file trains as it stands. What is changed here makes it fast.

    options = OmegaConf.load("dos/options.yaml")
    options.architecture.model = SMALL_PET
    options.architecture.training.update(
        num_epochs=arguments.epochs,
        batch_size=8,
        learning_rate=1e-3,
        log_interval=10,
        checkpoint_interval=1000,
    )
    options.architecture.training.loss[TARGET].update(LOSS)
    OmegaConf.save(options, "dos/options.yaml")

    # %%
    # A bare ``mtt train``. It finds the loss because metatrain-dos is installed.

    run(
        *("mtt", "train", "options.yaml"),
        cwd="dos",
        env={**os.environ, "PYTHONWARNINGS": "ignore::DeprecationWarning"},
    )

    # %%
    # Structures the model never saw. Predictions and targets are per structure.

    test = ase.io.read("dos/test.xyz", ":")
    discretization = Discretization.read("dos/grid.json")
    grid, front = discretization.grid, discretization.extra_targets
    aligned = align(
        predict("dos/model.pt", test),
        np.array([atoms.info["dos"][front:] for atoms in test]),
        np.array([atoms.info["dos_mask"][front:] for atoms in test]),
        grid_spacing=grid.spacing,
    )

    per_atom = aligned.rmse / [len(atoms) for atoms in test]
    print(
        f"aligned error of {len(test)} structures held out of training: median RMSE "
        f"{np.median(per_atom):.3f} states/eV/atom, "
        f"{np.median(aligned.relative_rmse):.0%} of the size of the DOS"
    )
    titles = [
        f"{atoms.info['material']}   error {error:.0%}"
        for atoms, error in zip(test, aligned.relative_rmse, strict=True)
    ]
    figure = plot_predicted_and_computed(
        grid.energies,
        aligned,
        titles,
        zeros=[atoms.info.get("highest_occupied") for atoms in test],
        columns=8,
    )
    figure.savefig("predicted-and-computed.png", dpi=80)
    print(f"figure: {Path('predicted-and-computed.png').resolve()}")


if __name__ == "__main__":
    main()
