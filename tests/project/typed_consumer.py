"""What the type checker must know of the public names; only mypy reads this."""

from pathlib import Path
from typing import assert_type

import numpy as np

from metatrain_dos import (
    EnergyGrid,
    MaskedDOSLoss,
    density_of_states,
    register_loss,
    trust_mask,
)
from metatrain_dos.data.calculation import Calculation
from metatrain_dos.data.dataset import write_dataset
from metatrain_dos.data.gridded_dos import GriddedDOS
from metatrain_dos.data.readers import read_calculations
from metatrain_dos.data.target_spec import TargetSpec


calculations = list(read_calculations("structures.xyz"))
assert_type(calculations, list[Calculation | GriddedDOS])

grid = EnergyGrid.covering(-10.0, 5.0)
assert_type(grid, EnergyGrid)
assert_type(grid.size, int)
one = calculations[0]
assert isinstance(one, Calculation)
assert_type(density_of_states(one.eigenvalues, one.kpoint_weights, grid), np.ndarray)
assert_type(trust_mask(one.eigenvalues, grid), np.ndarray)

made = TargetSpec.covering(calculations)
assert_type(made, TargetSpec)
assert_type(write_dataset("dos", {"training_set": calculations}, made), Path)


@register_loss("mine")
class Mine(MaskedDOSLoss):
    pass


assert_type(Mine, type[Mine])
assert_type(Mine("mtt::dos").hypers.int_weight, float)
