"""
Compare the loss term by term with the last ``masked_dos`` of metatrain, 2026.2.1.

It is taken out of its wheel. Prints a table of the terms that agree up to rounding, and
of those in which the old loss is wrong. All in float64, on batches as ``mtt train`` has
them.
"""

from dataclasses import dataclass

import torch
from rivals import NAME, OLD_VERSION, Case, old_loss_class, tensor_map

from metatrain_dos import MaskedDOSLoss


POINTS, EXTRA = 300, 60


@dataclass
class Row:
    what: str
    old: float
    ours: float
    same: bool
    """Whether both ought to be the same."""


def batch(number):
    """Make predictions, targets and masks of the first structures of one set."""
    case = Case(4, POINTS, EXTRA, torch.float64, "cpu")
    predictions = {NAME: tensor_map(case.leaf.detach()[:number])}
    targets, mask = (
        {
            name: tensor_map(found.block().values[:number])
            for name, found in maps.items()
        }
        for maps in (case.targets, case.mask)
    )
    return predictions, targets, mask


def compare(old_class):
    """
    Compute both.

    :param old_class: metatrain's class
    :return: the rows of the table
    """

    def both(
        number, *, grad_weight=0.0, int_weight=0.0, reduction="mean", spacing=0.05
    ):
        old = old_class(NAME, None, 1.0, grad_weight, int_weight, EXTRA, reduction)
        ours = MaskedDOSLoss(
            NAME,
            grad_weight=grad_weight,
            int_weight=int_weight,
            extra_targets=EXTRA,
            reduction=reduction,
            grid_spacing=spacing,
        )
        data = batch(number)
        return [loss.compute(*data).item() for loss in (old, ours)]

    dos = both(4)
    rows = [Row("DOS term with alignment, 4 structures", *dos, True)]

    def term(what, number, same, **weights):
        without = both(number)
        values = [a - b for a, b in zip(both(number, **weights), without, strict=True)]
        rows.append(Row(what, *values, same))

    term("gradient term, 4 structures", 4, True, grad_weight=1.0)
    for number in (1, 2, 4):
        plural = "s" if number > 1 else ""
        what = f"cumulative term, batch of {number} structure{plural}"
        term(what, number, False, int_weight=1.0)
    rows.append(Row("`reduction: sum`, 4 structures", *both(4, reduction="sum"), False))
    coarse = both(4, spacing=0.1)
    rows.append(Row("DOS term, grid of 0.1 eV", *coarse, False))
    slopes = both(4, spacing=0.1, grad_weight=1.0)
    values = [a - b for a, b in zip(slopes, coarse, strict=True)]
    rows.append(Row("gradient term, grid of 0.1 eV", *values, False))
    return rows


def main():
    """Print the table."""
    print(f"| | metatrain {OLD_VERSION} | metatrain-dos | ratio |")
    print("|---|---|---|---|")
    for row in compare(old_loss_class()):
        ratio = row.old / row.ours
        shown = (
            f"1, within {max(abs(ratio - 1), 1e-15):.0e}"
            if row.same
            else f"{ratio:.3g}"
        )
        print(f"| {row.what} | {row.old:.6g} | {row.ours:.6g} | {shown} |")


if __name__ == "__main__":
    main()
