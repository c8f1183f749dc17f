"""A model whose levels are known, which needs no training."""

from dataclasses import replace
from typing import Dict, List, Optional  # noqa: UP035

import numpy as np
import torch
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatomic.torch import (
    AtomisticModel,
    ModelCapabilities,
    ModelMetadata,
    ModelOutput,
    System,
)

from metatrain_dos import EnergyGrid, density_of_states
from metatrain_dos.data.target_spec import TargetSpec


CHOICES = TargetSpec(EnergyGrid(-12.0, 0.05, 441), extra_targets=40)

# Levels of an atom (eV), and electrons that each of them holds.
LEVELS = {
    1: ([-5.0, 1.0], [2.0, 2.0]),
    6: ([-9.0, -5.5, 1.5], [2.0, 2.0, 2.0]),
    11: ([-3.0 + 0.1 * i for i in range(60)], [0.2] * 60),  # a metal, in effect
}


class Levels(torch.nn.Module):
    """Predict the DOS of the atoms of a structure, or its sum."""

    def __init__(self, rows, per_atom):
        super().__init__()
        self.register_buffer("rows", rows)
        self.per_atom = per_atom

    def forward(
        self,
        systems: List[System],  # noqa: UP006 (TorchScript, as the others)
        outputs: Dict[str, ModelOutput],  # noqa: UP006
        selected_atoms: Optional[Labels],  # noqa: UP045
    ) -> Dict[str, TensorMap]:  # noqa: UP006
        # As metatrain's own models of atoms, which cannot sum.
        assert (outputs["mtt::dos"].sample_kind == "atom") == self.per_atom
        rows = [self.rows[s.types.to(torch.long)] for s in systems]
        owners = [torch.full((len(s), 1), i) for i, s in enumerate(systems)]
        atoms = [torch.arange(len(s))[:, None] for s in systems]
        if self.per_atom:
            values = torch.concatenate(rows)
            labels = torch.hstack([torch.concatenate(owners), torch.concatenate(atoms)])
            samples = Labels(["system", "atom"], labels)
        else:
            values = torch.stack([each.sum(0) for each in rows])
            samples = Labels(["system"], torch.arange(len(systems))[:, None])
        properties = Labels(["dos"], torch.arange(values.shape[-1])[:, None])
        block = TensorBlock(values, samples, [], properties)
        key = Labels(["_"], torch.tensor([[0]]))
        return {"mtt::dos": TensorMap(key, [block])}


def write_model(
    folder,
    name="model.pt",
    *,
    moved=0.0,
    stretched=1.0,
    kind="system",
    splitting=None,
):
    """
    Export the model, with its grid next to it; levels are stretched, then moved.

    With a splitting, half of them is in each of two spin channels, that far apart.
    """
    axis = EnergyGrid(CHOICES.energies[0], CHOICES.grid.spacing, CHOICES.columns)
    spins = [0.0] if splitting is None else [-0.5 * splitting, 0.5 * splitting]
    rows = torch.zeros(12, len(spins) * axis.size, dtype=torch.float64)
    for number, (energies, electrons) in LEVELS.items():
        dos = [
            density_of_states(
                spin + moved + stretched * np.reshape(energies, (-1, 1)),
                np.array(electrons) / len(spins),
                axis,
                CHOICES.smearing,
            )
            for spin in spins
        ]
        rows[number] = torch.tensor(np.concatenate(dos))
    capabilities = ModelCapabilities(
        outputs={"mtt::dos": ModelOutput(unit="", sample_kind=kind)},
        atomic_types=list(LEVELS),
        interaction_range=0.0,
        length_unit="angstrom",
        supported_devices=["cpu"],
        dtype="float64",
    )
    model = AtomisticModel(
        Levels(rows, kind == "atom").eval(), ModelMetadata(), capabilities
    )
    # metatomic notes all libraries of this process, whichever test has loaded them.
    loaded = torch.ops.loaded_libraries
    torch.ops.loaded_libraries = {name for name in loaded if "metat" in name}
    model.save(str(folder / name))
    torch.ops.loaded_libraries = loaded
    spec = replace(CHOICES, spin_resolved=splitting is not None)
    spec.write(folder / "grid.json")
