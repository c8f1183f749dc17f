"""A model whose levels are known, which needs no training."""

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
    """Predict the sum of the DOS of the atoms of a structure."""

    def __init__(self, rows):
        super().__init__()
        self.register_buffer("rows", rows)

    def forward(
        self,
        systems: List[System],  # noqa: UP006 (TorchScript, as the others)
        outputs: Dict[str, ModelOutput],  # noqa: UP006
        selected_atoms: Optional[Labels],  # noqa: UP045
    ) -> Dict[str, TensorMap]:  # noqa: UP006
        values = torch.stack(
            [self.rows[s.types.to(torch.long)].sum(0) for s in systems]
        )
        device = values.device
        block = TensorBlock(
            values,
            Labels(["system"], torch.arange(len(systems), device=device)[:, None]),
            [],
            Labels(["dos"], torch.arange(values.shape[-1], device=device)[:, None]),
        )
        key = Labels(["_"], torch.tensor([[0]], device=device))
        return {"mtt::dos": TensorMap(key, [block])}


def write_model(folder):
    """Export the model as ``model.pt``, with its grid next to it."""
    axis = EnergyGrid(CHOICES.energies[0], CHOICES.grid.spacing, CHOICES.columns)
    rows = torch.zeros(12, axis.size, dtype=torch.float64)
    for number, (energies, electrons) in LEVELS.items():
        dos = density_of_states(
            np.reshape(energies, (-1, 1)), np.array(electrons), axis, CHOICES.smearing
        )
        rows[number] = torch.tensor(dos)
    capabilities = ModelCapabilities(
        outputs={"mtt::dos": ModelOutput(unit="", sample_kind="system")},
        atomic_types=list(LEVELS),
        interaction_range=0.0,
        length_unit="angstrom",
        supported_devices=["cpu"],
        dtype="float64",
    )
    model = AtomisticModel(Levels(rows).eval(), ModelMetadata(), capabilities)
    # metatomic notes all libraries of this process, whichever test has loaded them.
    loaded = torch.ops.loaded_libraries
    torch.ops.loaded_libraries = {name for name in loaded if "metat" in name}
    model.save(str(folder / "model.pt"))
    torch.ops.loaded_libraries = loaded
    CHOICES.write(folder / "grid.json")
