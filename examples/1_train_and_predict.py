"""
Train on the shipped data and predict structures the model never saw
====================================================================

The shortest way from finished calculations to a figure: eigenvalues become a data set
with an options file, a bare ``mtt train`` trains on it, and the model's DOS is compared
with the computed one, each aligned as the loss aligns them.

Run it in a folder of its own; it writes ``dos/`` (data set and options), what
``mtt train`` writes, and ``predicted-and-computed.png``.
"""

import argparse
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import ase.io
import numpy as np
from metatomic.torch import ModelOutput
from metatomic_ase import MetatomicCalculator

from metatrain_dos.datasets import TARGET, Discretization, write_dataset
from metatrain_dos.evaluation import align
from metatrain_dos.plotting import plot_predicted_and_computed
from metatrain_dos.readers import read_extxyz


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


def split_by_material(calculations, seed):
    """Hold one structure of every material out for validation and one for testing."""
    rng = np.random.default_rng(seed)
    by_material = defaultdict(list)
    for calculation in calculations:
        by_material[calculation.atoms.info["material"]].append(calculation)
    splits = {"training_set": [], "validation_set": [], "test_set": []}
    for family in by_material.values():
        held_out = rng.permutation(len(family))[:2]
        for i, calculation in enumerate(family):
            name = {held_out[0]: "validation_set", held_out[1]: "test_set"}.get(
                i, "training_set"
            )
            splits[name].append(calculation)
    return splits


def highest_occupied(calculation):
    """Find the energy that the figure is drawn relative to, eV."""
    energies = calculation.eigenvalues
    return energies[energies <= calculation.fermi_level].max()


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
    # From eigenvalues to a data set.

    calculations = list(read_extxyz(DATA))
    splits = split_by_material(calculations, arguments.seed)
    discretization = Discretization.covering(calculations)
    write_dataset(
        "dos",
        splits,
        discretization,
        model=SMALL_PET,
        loss=LOSS,
        training={
            "num_epochs": arguments.epochs,
            "batch_size": 8,
            "learning_rate": 1e-3,
            "log_interval": 10,
            "checkpoint_interval": 1000,
        },
    )
    grid = discretization.grid
    print(
        f"{len(calculations)} structures, {grid.size} energies from "
        f"{grid.energies[0]:.2f} to {grid.energies[-1]:.2f} eV, "
        f"{discretization.extra_targets} extra"
    )

    # %%
    # A bare ``mtt train``. It finds the loss because metatrain-dos is installed.

    subprocess.run(
        [Path(sys.executable).with_name("mtt"), "train", "options.yaml"],
        cwd="dos",
        check=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore::DeprecationWarning"},
    )

    # %%
    # Structures the model never saw. Predictions and targets are per structure.

    test = splits["test_set"]
    targets, masks = map(
        np.array,
        zip(*(discretization.dos_and_mask(each) for each in test), strict=True),
    )
    predictions = predict("dos/model.pt", ase.io.read("dos/test.xyz", ":"))
    aligned = align(predictions, targets, masks, grid_spacing=grid.spacing)

    per_atom = aligned.rmse / [len(each.atoms) for each in test]
    print(
        f"aligned error of {len(test)} structures held out of training: median RMSE "
        f"{np.median(per_atom):.3f} states/eV/atom, "
        f"{np.median(aligned.relative_rmse):.0%} of the size of the DOS"
    )
    titles = [
        f"{each.atoms.info['material']}   error {error:.0%}"
        for each, error in zip(test, aligned.relative_rmse, strict=True)
    ]
    figure = plot_predicted_and_computed(
        grid.energies,
        aligned,
        titles,
        zeros=[highest_occupied(each) for each in test],
        columns=8,
    )
    figure.savefig("predicted-and-computed.png", dpi=80)
    print(f"figure: {Path('predicted-and-computed.png').resolve()}")


if __name__ == "__main__":
    main()
