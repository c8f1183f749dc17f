"""What the page Migrating says about metatrain's ``shift_agnostic_mse``."""

import pytest
import torch
from helpers.cases import tensor_map
from metatrain.utils.loss import create_loss


NAME = "mtt::dos"
POINTS, EXTRA = 120, 30


def loss(type, predictions, targets, *, weight=1.0, **options):
    """Compute a weighted loss as metatrain's ``LossAggregator`` does."""
    made = create_loss(
        type, name=NAME, gradient=None, weight=weight, reduction="mean", **options
    )
    maps = {NAME: tensor_map(predictions)}, {NAME: tensor_map(targets)}
    return weight * made.compute(*maps, {}).item()


@pytest.fixture
def case():
    """Make targets with zero ends, NaN where unknown, and predictions close to them."""
    x = torch.linspace(0, 1, POINTS)
    targets = torch.full((3, POINTS + EXTRA), float("nan"))
    predictions = torch.zeros(3, POINTS + EXTRA)
    for i, shift in enumerate((20, 25, 30)):
        dos = torch.exp(-(((x - 0.3) / 0.05) ** 2))
        dos = dos + 0.7 * torch.exp(-(((x - 0.5 - 0.05 * i) / 0.04) ** 2))
        end = POINTS - 8 - 8 * i
        targets[i, EXTRA : EXTRA + end] = dos[:end]
        predictions[i, shift : shift + POINTS] = dos * (1 + 0.1 * torch.sin(20 * x))
        # Slopes behind the targets. The last columns are zero, because metatrain
        # continues a prediction with zeros and counts their slopes, too.
        predictions[i, -14:-5] += 0.05 * torch.hann_window(9, periodic=False)
    return predictions, targets


@pytest.mark.parametrize("grad_penalty_weight", [0.0, 10.0])
def test_the_same_loss_as_shift_agnostic_mse(case, grad_penalty_weight):
    # Its error is a sum over columns, ours an integral over 0.05 eV a column.
    theirs = {"grad_penalty_weight": grad_penalty_weight, "int_weight": 0.0}
    ours = {
        "weight": 20.0,
        "grad_weight": grad_penalty_weight / 20,
        "int_weight": 0.0,
        "extra_targets": EXTRA,
    }
    value = loss("masked_dos", *case, **ours)
    expected = loss("shift_agnostic_mse", *case, **theirs)
    # float32 on their side, and what a target has left at its first and last column
    assert value == pytest.approx(expected, rel=1e-4)
    without = loss("masked_dos", *case, **{**ours, "grad_weight": 0.0})
    assert (without < 0.99 * value) == (grad_penalty_weight > 0)
