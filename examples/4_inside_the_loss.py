"""
Look inside the loss
====================

Follow one prediction through the loss: its shift, its terms, and the gradient that
trains a model. No model is needed: the DOS of one structure of GaAs, moved by 3 eV,
stands in for a prediction of the DOS of another.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from commands import DATA

from metatrain_dos import EnergyGrid, density_of_states, trust_mask
from metatrain_dos.data.readers import read_extxyz
from metatrain_dos.loss.alignment import alignment_costs, best_shift, window
from metatrain_dos.loss.terms import TERMS, masked_dos


GREY, RED, BLUE = "#7f8c8d", "#c0392b", "#1f618d"

# %%
# A target with its mask on a grid of 0.05 eV, and a prediction that has 200 more
# columns.

material = [each for each in read_extxyz(DATA) if each.atoms.info["material"] == "GaAs"]
computed, other = material[1], material[3]

h, extra = 0.05, 200
grid = EnergyGrid.covering(-12.0, 12.0, h)
wide = EnergyGrid(grid.origin - extra * h, h, grid.size + extra)

target = density_of_states(computed.eigenvalues, computed.kpoint_weights, grid).sum(0)
mask = trust_mask(computed.eigenvalues, grid)
prediction = density_of_states(other.eigenvalues - 3.0, other.kpoint_weights, wide).sum(
    0
)

t, m = torch.tensor(target)[None], torch.tensor(mask)[None]
p = torch.tensor(prediction)[None].requires_grad_()

# %%
# The shift
# ---------
#
# The cost of every shift, in columns, and the best one.

costs = alignment_costs(p, t, m, grid_spacing=h, tail_weight=1.0)[0]
shift = best_shift(p, t, m, tail_weight=1.0)
print(f"shift: {int(shift)} of {extra} columns, {int(shift) * h:.2f} eV")

figure, (top, bottom) = plt.subplots(2, figsize=(6.4, 5.0), layout="constrained")
top.plot(h * np.arange(extra + 1), costs, color=BLUE)
top.plot(int(shift) * h, costs[int(shift)], "o", color=RED)
top.set(xlabel="how far the target is slid, eV", ylabel="cost, states²/eV")
bottom.fill_between(grid.energies[mask], target[mask], color=GREY, alpha=0.4, lw=0)
bottom.plot(
    grid.energies[mask],
    window(p, shift, grid.size).detach()[0][m[0]],
    color=RED,
    label="prediction at that shift",
)
bottom.set(xlabel="energy, eV", ylabel="states/eV", ylim=0)
bottom.legend(frameon=False)
figure.savefig("shift.png", dpi=150)

# %%
# The terms
# ---------

weights = {"tail_weight": 1.0, "grad_weight": 1e-4, "int_weight": 0.01}
parts = {}
for term in TERMS:
    value = term.function(p, t, m, shift, grid_spacing=h).sum()
    weight = term.weight(weights)
    parts[f"{term.name}, times {weight:g}"] = weight * value
    print(f"{term.name:>10} {value:10.4f}  times {weight:<6g}= {weight * value:.4f}")

loss = masked_dos(p, t, m, weights, grid_spacing=h)
print(f"{'loss':>10} {loss.item():10.4f}")

# %%
# The gradient
# ------------
#
# Where each part of the loss would change the prediction. A model learns from the sum.

figure, panels = plt.subplots(
    len(parts), figsize=(6.4, 7.0), sharex=True, layout="constrained"
)
for panel, (name, part) in zip(panels, parts.items(), strict=True):
    (gradient,) = torch.autograd.grad(part, p, retain_graph=True)
    panel.plot(wide.energies, -gradient[0], color=BLUE)
    panel.axvspan(
        wide.energies[int(shift)],
        wide.energies[int(shift)] + h * (mask.sum() - 1),
        color=GREY,
        alpha=0.2,
        lw=0,
    )
    panel.set_title(name, fontsize=10, loc="left")
panels[-1].set_xlabel("energy on the axis of the prediction, eV (grey: the mask)")
figure.supylabel("change of the prediction that lowers the loss")
figure.savefig("gradient.png", dpi=150)
