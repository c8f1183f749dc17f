"""
Errors of a predicted DOS that do not depend on its energy zero.

Prediction and target are aligned, and the terms computed, by the code of the loss:
:mod:`metatrain_dos.loss.terms`.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from ..loss.alignment import best_shift, window
from ..loss.atoms import join_atoms
from ..loss.checks import check_inputs
from ..loss.terms import TERMS
from .notebook import html_table
from .tensors import as_tensor, rows_like


@dataclass(frozen=True)
class AlignedDOS:
    r"""
    Predictions aligned with their targets, and their errors.

    Each error is taken over the trusted range and over the components of a sample. It
    has the shape ``(samples,)``, with NaN for an all-false mask.

    :param predictions: predicted DOS at the points of the target,
        ``(samples, ..., points)``, states/eV
    :param targets: computed DOS, ``(samples, ..., points)``, states/eV
    :param mask: true where the target is trusted, ``(samples, ..., points)``, bool
    :param shift: column of the prediction at the first point of the target,
        ``(samples,)``
    :param grid_spacing: distance between two columns, eV
    :param terms: name of each term of the loss -> its value, without its
        weight, ``(samples,)``; states\ :sup:`2`/eV, but the gradient term
        states\ :sup:`2`/eV\ :sup:`3` and the cumulative term states\ :sup:`2` eV
    """

    predictions: np.ndarray
    targets: np.ndarray
    mask: np.ndarray
    shift: np.ndarray
    grid_spacing: float
    terms: dict[str, np.ndarray]

    def sample(self, number: int) -> "AlignedDOS":
        """Copy one sample; its axis stays."""
        return AlignedDOS(
            predictions=self.predictions[[number]],
            targets=self.targets[[number]],
            mask=self.mask[[number]],
            shift=self.shift[[number]],
            grid_spacing=self.grid_spacing,
            terms={name: term[[number]] for name, term in self.terms.items()},
        )

    def summed(self) -> "AlignedDOS":
        """Sum over the components of each sample, trusted where all are; terms stay."""
        components = tuple(range(1, self.mask.ndim - 1))
        return replace(
            self,
            predictions=self.predictions.sum(components),
            targets=self.targets.sum(components),
            mask=np.asarray(self.mask.all(components)),
        )

    @property
    def rmse(self) -> np.ndarray:
        """Root mean square error, states/eV."""
        return np.sqrt(self._mean((self.predictions - self.targets) ** 2, self.mask))

    @property
    def mae(self) -> np.ndarray:
        """Mean absolute error, states/eV."""
        return self._mean(np.abs(self.predictions - self.targets), self.mask)

    @property
    def relative_rmse(self) -> np.ndarray:
        """
        Error as a fraction of the root mean square of the target.

        Predicting nothing at all is an error of 1.
        """
        return self.rmse / _positive(np.sqrt(self._mean(self.targets**2, self.mask)))

    @property
    def relative_mae(self) -> np.ndarray:
        """Mean absolute error as a fraction of the mean of the target."""
        return self.mae / _positive(self._mean(np.abs(self.targets), self.mask))

    @property
    def cumulative_error(self) -> np.ndarray:
        """
        Integral of the error up to each point but the first, as in the loss.

        ``(samples, ..., points - 1)``, states, NaN where the point is not trusted.
        """
        error = np.where(self.mask, self.predictions - self.targets, 0.0)
        excess = _integrals(error, self.grid_spacing)
        return np.where(self.mask[..., 1:], excess, np.nan)

    @property
    def cumulative_rmse(self) -> np.ndarray:
        """Root mean square of the error of the integrated DOS, states."""
        mask = self.mask[..., 1:]
        return np.sqrt(self._mean(self.cumulative_error**2, mask))

    @property
    def cumulative_max(self) -> np.ndarray:
        """Largest error of the integrated DOS, either way, states."""
        mask = self.mask[..., 1:].reshape(len(self.mask), -1)
        errors = np.abs(self.cumulative_error).reshape(mask.shape)
        largest = np.where(mask, errors, 0.0).max(-1, initial=0.0)
        return np.where(mask.any(-1), largest, np.nan)

    @property
    def wasserstein(self) -> np.ndarray:
        """
        Wasserstein distance, eV, of both scaled to one state over the trusted range.

        It is the mean distance over which states have to be moved, and the mean over
        components. Negative predictions count as zero.
        """
        shares = []
        for values in (self.predictions, self.targets):
            states = np.where(self.mask, np.maximum(values, 0.0), 0.0).cumsum(-1)
            shares.append(states / _positive(states[..., -1:]))
        distance = self.grid_spacing * np.abs(shares[0] - shares[1])[..., :-1].sum(-1)
        return distance.reshape(len(self.mask), -1).mean(-1)

    @property
    def shift_energy(self) -> np.ndarray:
        """Shift of the target along the prediction, eV."""
        return np.where(
            self.mask.reshape(len(self.mask), -1).any(-1),
            self.shift * self.grid_spacing,
            np.nan,
        )

    def integrated(self) -> tuple[np.ndarray, np.ndarray]:
        """
        Integrate both over the trusted range, up to each point.

        :return: predicted and computed, ``(samples, ..., points)``, states
        """
        both = []
        for values in (self.predictions, self.targets):
            trusted = np.where(self.mask, values, 0.0)
            steps = _integrals(trusted, self.grid_spacing)
            both.append(np.concatenate([np.zeros_like(trusted[..., :1]), steps], -1))
        return both[0], both[1]

    def _repr_html_(self) -> str:
        """Show the errors of the samples in a notebook."""
        return html_table(
            [
                ("rmse", self.rmse, "states/eV"),
                ("relative_rmse", self.relative_rmse, ""),
                ("cumulative_rmse", self.cumulative_rmse, "states"),
                ("wasserstein", self.wasserstein, "eV"),
                ("shift_energy", self.shift_energy, "eV"),
            ]
        )

    @staticmethod
    def _mean(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
        sums = np.where(mask, values, 0.0).reshape(len(mask), -1).sum(-1)
        return sums / _positive(mask.reshape(len(mask), -1).sum(-1))


def align(
    predictions: Any,
    targets: Any,
    mask: Any = None,
    *,
    grid_spacing: float,
    tail_weight: float = 1.0,
    extra_targets: int | None = None,
    structures: np.ndarray | None = None,
) -> AlignedDOS:
    """
    Align each target with its prediction as the loss does in training.

    Arrays, tensors and TensorMaps of one block are accepted. If the prediction has rows
    for atoms and the target for systems, as in the output of ``mtt eval``, rows are
    summed over the atoms of each system.

    :param predictions: predicted DOS, ``(samples, ..., points + E)``, states/eV
    :param targets: computed DOS, ``(samples, ..., points)``, states/eV; as wide as the
        prediction if the first ``extra_targets`` columns are padding
    :param mask: true where the target is trusted, shape of ``targets``; where the
        target is not NaN unless given
    :param grid_spacing: distance between two columns, eV
    :param tail_weight: weight of the prediction in front of the target
    :param extra_targets: E, to recognise the padding of targets as wide as the
        prediction
    :param structures: structure of each sample, ``(samples,)``, where these are atoms
        that share the shift of their structure; those of one follow each other
    :return: aligned predictions and targets, and the terms of the loss
    :raises ValueError: if the shapes do not match
    """
    p, t = rows_like(targets, predictions), as_tensor(targets)
    m = ~torch.isnan(t) if mask is None else as_tensor(mask).bool()
    if extra_targets:
        t, m = (
            each[..., extra_targets:] if each.shape[-1] == p.shape[-1] else each
            for each in (t, m)
        )
    known = ~torch.isnan(t)
    check_inputs(p, t, m)
    m = m & known
    if structures is None:
        shift = best_shift(p, t, m, tail_weight=tail_weight)
    else:
        owners = torch.from_numpy(structures)
        _, counts = torch.unique_consecutive(owners, return_counts=True)
        joined = join_atoms(owners, p, t, m)
        shift = best_shift(*joined, tail_weight=tail_weight).repeat_interleave(counts)
    terms = {
        term.name: term.function(p, t, m, shift, grid_spacing=grid_spacing)
        for term in TERMS
    }
    return AlignedDOS(
        predictions=window(p, shift, t.shape[-1]).numpy(),
        targets=t.numpy(),
        mask=m.numpy(),
        shift=shift.numpy(),
        grid_spacing=grid_spacing,
        terms={name: values.numpy() for name, values in terms.items()},
    )


def _integrals(values: np.ndarray, spacing: float) -> np.ndarray:
    """Integrate up to each point but the first, ``(..., points - 1)``."""
    return torch.cumulative_trapezoid(torch.from_numpy(values), dx=spacing).numpy()


def _positive(values: np.ndarray) -> np.ndarray:
    """Replace zeros by NaN before a division."""
    return np.where(values > 0, values, np.nan)
