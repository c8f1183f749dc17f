"""
Compare with structures the model never saw
===========================================

``mtt-dos evaluate`` predicts the DOS of the test set with the model of the last
example. Each computed DOS slides along its prediction to where it fits best, with the
code that the loss uses, and is then compared where it is trusted. The report is a page,
``dos-report/report.html``, with tables and figures.
"""

import csv

import ase.io
import numpy as np
from commands import run

from metatrain_dos.figures import plot_predicted_and_computed
from metatrain_dos.models.axis import find_axis
from metatrain_dos.models.errors import align
from metatrain_dos.models.model import DOSModel


command = ("mtt-dos", "evaluate", "dos/model.pt", "dos/test.xyz", "-o", "dos-report")
run(*command, show="^(?!evaluate: | {9})")

# %%
# The table has a row for each structure.

with open("dos-report/errors.csv") as file:
    rows = list(csv.DictReader(file))
per_atom, relative = (
    np.median([float(row[name]) for row in rows])
    for name in ("rmse_per_atom", "relative_rmse")
)
print(
    f"aligned error of {len(rows)} structures held out of training: median RMSE "
    f"{per_atom:.3f} states/eV/atom, {relative:.0%} of the size of the DOS"
)

# %%
# The same from Python, for your own figures. A prediction has as many columns as the
# target in the file, including the padding.

model = DOSModel.load("dos/model.pt")
axis = find_axis(model)
test = ase.io.read("dos/test.xyz", ":")


def draw(structures, columns):
    """Draw predicted over computed DOS. Predicting nothing is an error of 100 %."""
    aligned = align(
        list(model.predict(structures)),
        [atoms.info["dos"] for atoms in structures],
        [atoms.info["dos_mask"] for atoms in structures],
        grid_spacing=axis.spacing,
        extra_targets=axis.extra_targets,
    )
    return plot_predicted_and_computed(
        axis.grid.energies,
        aligned,
        [
            f"{atoms.info['material']}   error {error:.0%}"
            for atoms, error in zip(structures, aligned.relative_rmse, strict=True)
        ],
        zeros=[atoms.info.get("highest_occupied") for atoms in structures],
        columns=columns,
    )


six = ("GaAs", "MgO", "Al-fcc", "C-graphene", "Cu-fcc", "H2O")
chosen = [atoms for atoms in test if atoms.info["material"] in six]
draw(chosen, columns=2).savefig("six-materials.png", dpi=150)

# %%
# All of them:

draw(test, columns=8).savefig("predicted-and-computed.png", dpi=80)
