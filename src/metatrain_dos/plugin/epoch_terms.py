"""
Sum up the terms of the loss over an epoch, without waiting for the device.

The sums stay where the predictions are, and :meth:`EpochTerms.read` alone reads numbers
from there.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


PHASES = ("training", "validation")

Block = tuple[Tensor, Tensor, Tensor]
"""Weighted terms ``(samples, terms)``, shifts ``(samples,)`` in columns, and mask."""


@dataclass(frozen=True)
class EpochSummary:
    """
    Terms and shifts of an epoch of training or validation.

    :param terms: the weighted terms, each summed over the batches
    :param shift: mean shift of the samples, eV
    :param spread: standard deviation of the shifts, eV
    :param at_limit: share of the samples whose shift is the smallest or largest allowed
    :param trusted: share of the points of the target that the mask trusts
    """

    terms: tuple[float, ...]
    shift: float
    spread: float
    at_limit: float
    trusted: float


@dataclass
class _Sums:
    """Sums over some batches: terms, shift, its square, ends, trusted points."""

    values: Tensor
    samples: int
    points: int
    trained_on: bool = False

    def mark_training(self, gradient: Tensor) -> None:
        self.trained_on = True

    def __add__(self, other: "_Sums") -> "_Sums":
        return _Sums(
            self.values + other.values,
            self.samples + other.samples,
            self.points + other.points,
        )

    def summarize(self, grid_spacing: float) -> EpochSummary:
        if self.samples == 0:
            return EpochSummary((math.nan,) * (len(self.values) - 4), *4 * (math.nan,))
        *terms, shift, square, at_limit, trusted = self.values.tolist()
        shift /= self.samples
        variance = max(square / self.samples - shift**2, 0.0)
        return EpochSummary(
            tuple(terms),
            shift * grid_spacing,
            math.sqrt(variance) * grid_spacing,
            at_limit / self.samples,
            trusted / self.points,
        )


class EpochTerms:
    """
    Sum the terms of one loss over the batches of an epoch.

    A batch was trained on if the gradient of its loss was asked for; with targets that
    have forces, validation is done with gradients enabled, too. A new epoch begins with
    the first training batch after validation, and with each :meth:`read`.

    :param target: name of the target
    :param names: names of the terms
    :param grid_spacing: distance between two columns, eV
    :param extra_targets: largest shift, columns
    """

    def __init__(
        self,
        target: str,
        names: tuple[str, ...],
        grid_spacing: float,
        extra_targets: int,
    ) -> None:
        self.target = target
        self.names = names
        self.grid_spacing = grid_spacing
        self.extra_targets = extra_targets
        self.has_seen_data = False
        self._sums: dict[str, _Sums] = {}
        self._last: _Sums | None = None

    def add(self, loss: Tensor, blocks: list[Block], factor: float) -> None:
        """
        Add one batch.

        :param loss: loss of the batch, a scalar
        :param blocks: its terms, shifts and masks
        :param factor: turns the sum of all terms into the loss of the batch
        """
        self._flush()
        self.has_seen_data = True
        # Sums over an epoch would lose digits in float32; MPS has nothing better.
        dtype = torch.float32 if loss.device.type == "mps" else torch.float64
        values = []
        for terms, shift, mask in blocks:
            at_limit = (shift == 0) | (shift == self.extra_targets)
            counts = [shift.sum(), shift.square().sum(), at_limit.sum(), mask.sum()]
            terms = factor * terms.sum(0, dtype=dtype)
            values.append(torch.cat([terms, torch.stack(counts).to(dtype)]))
        self._last = _Sums(
            values[0] if len(values) == 1 else torch.stack(values).sum(0),
            sum(len(shift) for _, shift, _ in blocks),
            sum(mask.numel() for _, _, mask in blocks),
        )
        if loss.requires_grad:
            loss.register_hook(self._last.mark_training)

    def read(self) -> dict[str, EpochSummary]:
        """Read the sums of each phase, NaN without data, and forget them."""
        self._flush()
        sums, self._sums = self._sums, {}
        nothing = _Sums(torch.zeros(len(self.names) + 4), 0, 0)
        return {
            phase: sums.get(phase, nothing).summarize(self.grid_spacing)
            for phase in PHASES
        }

    def _flush(self) -> None:
        """Add the last batch to its phase, which is known by now."""
        if self._last is None:
            return
        batch, self._last = self._last, None
        phase = "training" if batch.trained_on else "validation"
        if phase == "training" and "validation" in self._sums:
            self._sums = {}
        self._sums[phase] = self._sums[phase] + batch if phase in self._sums else batch
