"""
Compare with structures the model never saw
===========================================

The model of the last example predicts the DOS of the test set. Each computed DOS
slides along its prediction to where it fits best, with the code that the loss uses, and
is then compared where it is trusted.
"""

import ase.io
import numpy as np
from metatomic.torch import ModelOutput
from metatomic_ase import MetatomicCalculator

from metatrain_dos.discretization import TARGET, Discretization
from metatrain_dos.evaluation import align
from metatrain_dos.plotting import plot_predicted_and_computed


# %%
# Predict. A row has as many columns as the model, those of the padding included.

calculator = MetatomicCalculator("dos/model.pt", device="cpu")


def predict(atoms):
    """Evaluate the model for one structure, ``(columns,)``, states/eV."""
    output = calculator.run_model(atoms, {TARGET: ModelOutput(sample_kind="system")})
    return output[TARGET].block().values[0].detach().numpy()


test = ase.io.read("dos/test.xyz", ":")
predictions = [predict(atoms) for atoms in test]

# %%
# Align.

discretization = Discretization.read("dos/grid.json")
grid, front = discretization.grid, discretization.extra_targets


def compare(chosen):
    """Align the predictions of some structures of the test set."""
    return align(
        np.array([predictions[i] for i in chosen]),
        np.array([test[i].info["dos"][front:] for i in chosen]),
        np.array([test[i].info["dos_mask"][front:] for i in chosen]),
        grid_spacing=grid.spacing,
    )


aligned = compare(range(len(test)))
sizes = np.array([len(atoms) for atoms in test])
print(
    f"aligned error of {len(test)} structures held out of training: median RMSE "
    f"{np.median(aligned.rmse / sizes):.3f} states/eV/atom, "
    f"{np.median(aligned.relative_rmse):.0%} of the size of the DOS"
)

# %%
# Draw. An error of 100 % is that of predicting nothing at all.


def draw(chosen, columns):
    """Draw predicted over computed DOS of some structures of the test set."""
    found = compare(chosen)
    return plot_predicted_and_computed(
        grid.energies,
        found,
        [
            f"{test[i].info['material']}   error {error:.0%}"
            for i, error in zip(chosen, found.relative_rmse, strict=True)
        ],
        zeros=[test[i].info.get("highest_occupied") for i in chosen],
        columns=columns,
    )


six = ("GaAs", "MgO", "Al-fcc", "C-graphene", "Cu-fcc", "H2O")
chosen = [i for i, atoms in enumerate(test) if atoms.info["material"] in six]
draw(chosen, columns=2).savefig("six-materials.png", dpi=150)

# %%
# All of them:

figure = draw(range(len(test)), columns=8)
figure.savefig("predicted-and-computed.png", dpi=80)
