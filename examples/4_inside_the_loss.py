"""
Look inside the loss
====================

What the loss makes of one prediction: the shift, the terms, and the gradient that a
model is trained with. No model is needed for that: the DOS of one structure of GaAs,
moved by 3 eV, plays the prediction of the DOS of another one.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from commands import DATA

from metatrain_dos import EnergyGrid, density_of_states, trust_mask
from metatrain_dos.data.readers import read_extxyz
from metatrain_dos.loss.alignment import alignment_costs, best_shift, window
from metatrain_dos.loss.terms import (
    cumulative_term,
    front_tail_term,
    gradient_term,
    masked_dos,
    masked_term,
)


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

options = {"grid_spacing": h, "tail_weight": 1.0}
costs = alignment_costs(p, t, m, **options)[0]
shift = best_shift(p, t, m, **options)
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

terms = {
    "masked": masked_term(p, t, m, shift, grid_spacing=h),
    "front tail": front_tail_term(p, shift, grid_spacing=h),
    "gradient": gradient_term(p, m, shift, grid_spacing=h),
    "cumulative": cumulative_term(p, t, m, shift, grid_spacing=h),
}
weights = {"masked": 1.0, "front tail": 1.0, "gradient": 1e-4, "cumulative": 2.0}
for name, term in terms.items():
    value, weight = float(term.detach()), weights[name]
    print(f"{name:>10} {value:10.4f}  times {weight:<7g}= {weight * value:.4f}")

loss = masked_dos(p, t, m, grad_weight=1e-4, int_weight=2.0, **options)
print(f"{'loss':>10} {float(loss.detach()):10.4f}")

# %%
# At its default weight, the cumulative term is most of the loss here.
#
# The gradient
# ------------
#
# Where each part of the loss would change the prediction. A model learns from the sum.

figure, panels = plt.subplots(
    len(terms), figsize=(6.4, 7.0), sharex=True, layout="constrained"
)
for panel, (name, term) in zip(panels, terms.items(), strict=True):
    (gradient,) = torch.autograd.grad(weights[name] * term.sum(), p, retain_graph=True)
    panel.plot(wide.energies, -gradient[0], color=BLUE)
    panel.axvspan(
        wide.energies[int(shift)],
        wide.energies[int(shift)] + h * (mask.sum() - 1),
        color=GREY,
        alpha=0.2,
        lw=0,
    )
    panel.set_title(f"{name}, times {weights[name]:g}", fontsize=10, loc="left")
panels[-1].set_xlabel("energy on the axis of the prediction, eV (grey: the mask)")
figure.supylabel("change of the prediction that lowers the loss")
figure.savefig("gradient.png", dpi=150)
