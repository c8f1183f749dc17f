"""Measure how well a predicted DOS agrees with a computed one, whatever its zero."""

from dataclasses import dataclass

import numpy as np
import torch

from .alignment import best_shift
from .functional import window


@dataclass(frozen=True)
class AlignedDOS:
    """
    Hold predictions next to their targets, each shifted to where it fits best.

    :param predictions: what is predicted at the points of the target,
        ``(samples, points)``, states/eV
    :param targets: computed DOS, ``(samples, points)``, states/eV
    :param mask: true where the target is trusted, ``(samples, points)``, bool
    :param shift: column of the prediction that the first point of the target falls on,
        ``(samples,)``
    """

    predictions: np.ndarray
    targets: np.ndarray
    mask: np.ndarray
    shift: np.ndarray

    @property
    def rmse(self) -> np.ndarray:
        """Root mean square error over the trusted range, ``(samples,)``, states/eV."""
        return np.sqrt(self._mean((self.predictions - self.targets) ** 2))

    @property
    def relative_rmse(self) -> np.ndarray:
        """
        Error as a fraction of the root mean square of the target, ``(samples,)``.

        An error of 1 is that of predicting nothing at all.
        """
        return self.rmse / np.sqrt(self._mean(self.targets**2))

    def _mean(self, values: np.ndarray) -> np.ndarray:
        return np.where(self.mask, values, 0.0).sum(-1) / self.mask.sum(-1)


def align(
    predictions: np.ndarray,
    targets: np.ndarray,
    mask: np.ndarray,
    *,
    grid_spacing: float,
    tail_weight: float = 1.0,
) -> AlignedDOS:
    """
    Shift each target along its prediction as the loss does in training.

    :param predictions: predicted DOS, ``(samples, points + E)``, states/eV
    :param targets: computed DOS, ``(samples, points)``, states/eV
    :param mask: true where the target is trusted, ``(samples, points)``, bool
    :param grid_spacing: distance between two columns, eV
    :param tail_weight: weight of what is predicted in front of the target
    :return: both, column by column
    """
    p = torch.tensor(predictions, dtype=torch.float64)
    t = torch.tensor(targets, dtype=torch.float64)
    m = torch.tensor(mask, dtype=torch.bool)
    shift = best_shift(p, t, m, grid_spacing=grid_spacing, tail_weight=tail_weight)
    return AlignedDOS(
        predictions=window(p, shift, t.shape[-1]).numpy(),
        targets=t.numpy(),
        mask=m.numpy(),
        shift=shift.numpy(),
    )
