"""The absolute error of an aligned DOS, as a loss for metatrain."""

import torch
from metatrain.utils.loss import LossInterface

from metatrain_dos.loss.alignment import best_shift, window


class AlignedL1(LossInterface):
    def __init__(self, name, gradient, weight, reduction, extra_targets=200, h=0.05):
        super().__init__(name, gradient, weight, reduction)
        self.extra_targets, self.h = extra_targets, h

    def compute(self, predictions, targets, extra_data):
        p = predictions[self.target].block().values
        t = targets[self.target].block().values[:, self.extra_targets :]
        m = extra_data[f"{self.target}_mask"].block().values[:, self.extra_targets :]
        s = best_shift(p, t, m.bool(), tail_weight=1.0)
        error = torch.where(m.bool(), window(p, s, t.shape[-1]) - t, 0.0)
        return self.h * error.abs().sum(-1).mean()
