"""
From finished calculations to a data set
========================================

``mtt-dos prepare`` reads eigenvalues, chooses an energy grid, computes DOS and masks,
splits the structures, and writes an options file that ``mtt train`` trains on as it
stands. Here it reads the data that come with the package; for your own, name the folder
they are in.
"""

import json
import shutil
from pathlib import Path

import ase.io
import matplotlib.pyplot as plt
import numpy as np
from commands import DATA, run

from metatrain_dos.data.target_spec import TargetSpec


# %%
# In a terminal this is
#
# .. code-block:: bash
#
#    mtt-dos prepare structures.xyz.xz -o dos/ --stratify-by material
#
# With ``--stratify-by``, each material has at least one structure for validation and
# one for testing.

shutil.rmtree("dos", ignore_errors=True)  # of the last run
run("mtt-dos", "prepare", DATA, "-o", "dos", "--stratify-by", "material")

# %%
# The report says the same and more, structure by structure, for programs.

report = json.loads(Path("dos/report.json").read_text("utf-8"))
print(", ".join(report))

# %%
# The columns of a target are those of the model's prediction: ``extra_targets`` columns
# of padding, which the loss drops, and then the energy grid.

spec = TargetSpec.read("dos/grid.json")
grid = spec.grid
print(f"grid: {grid.size} energies from {grid.origin:.2f} eV, every {grid.spacing} eV")
print(f"columns: {spec.columns}, {spec.extra_targets} of padding")

# %%
# One structure with its DOS. Above the dashed line the mask is false: states are
# missing there, because the calculation had no more bands.

frames = ase.io.read("dos/training.xyz", ":")
atoms = next(each for each in frames if each.info["material"] == "GaAs")
dos = np.array(atoms.info["dos"])[spec.extra_targets :]
mask = np.array(atoms.info["dos_mask"])[spec.extra_targets :]

figure, panel = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
panel.fill_between(grid.energies, dos, color="#7f8c8d", alpha=0.4, lw=0)
panel.plot(grid.energies, dos, color="#7f8c8d", lw=1)
panel.axvline(
    grid.energies[mask][-1], color="#1f618d", ls="--", label="end of the mask"
)
panel.axvline(
    atoms.info["highest_occupied"], color="black", ls=":", label="highest occupied"
)
panel.set(xlim=(-10, 20), ylim=0, xlabel="energy, eV", ylabel="DOS of GaAs, states/eV")
panel.legend(frameon=False)
figure.savefig("target.png", dpi=150)
