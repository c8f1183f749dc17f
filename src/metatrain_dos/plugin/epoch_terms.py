"""
Sum up what the loss is made of, over an epoch, without waiting for the device.

The sums stay where the predictions are, and :meth:`TermSums.read` alone reads numbers
from there.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


PHASES = ("training", "validation")

Block = tuple[Tensor, Tensor, Tensor]
"""Weighted terms ``(samples, 3)``, shifts ``(samples,)`` in columns, and the mask."""


@dataclass(frozen=True)
class Summary:
    """
    Hold what an epoch of training or validation was made of.

    :param terms: DOS, gradient and cumulative term, each summed over the batches
    :param shift: mean shift of the samples, eV
    :param spread: standard deviation of the shifts, eV
    :param at_an_end: share of the samples that slide not at all, or as far as they can
    :param trusted: share of the points of the target that the mask trusts
    """

    terms: tuple[float, ...]
    shift: float
    spread: float
    at_an_end: float
    trusted: float


EMPTY = Summary((math.nan, math.nan, math.nan), *4 * (math.nan,))


@dataclass
class _Sums:
    """Sums over some batches: terms, shift, its square, ends, trusted points."""

    values: Tensor
    samples: int
    points: int
    trained_on: bool = False

    def learned_from(self, gradient: Tensor) -> None:
        self.trained_on = True

    def __add__(self, other: "_Sums") -> "_Sums":
        return _Sums(
            self.values + other.values,
            self.samples + other.samples,
            self.points + other.points,
        )

    def summarize(self, grid_spacing: float) -> Summary:
        if self.samples == 0:
            return EMPTY
        *terms, shift, square, at_an_end, trusted = self.values.tolist()
        shift /= self.samples
        variance = max(square / self.samples - shift**2, 0.0)
        return Summary(
            tuple(terms),
            shift * grid_spacing,
            math.sqrt(variance) * grid_spacing,
            at_an_end / self.samples,
            trusted / self.points,
        )


class TermSums:
    """
    Sum the terms of one loss over the batches of an epoch.

    A batch was trained on if the gradient of its loss was asked for; with targets that
    have forces, validation is done with gradients enabled, too. A new epoch begins with
    the first training batch after validation, and with each :meth:`read`.

    :param target: name of the target
    :param grid_spacing: distance between two columns, eV
    :param extra_targets: largest shift, columns
    """

    def __init__(self, target: str, grid_spacing: float, extra_targets: int) -> None:
        self.target = target
        self.grid_spacing = grid_spacing
        self.extra_targets = extra_targets
        self.has_seen_data = False
        self._sums: dict[str, _Sums] = {}
        self._last: _Sums | None = None

    def add(self, loss: Tensor, blocks: list[Block], factor: float) -> None:
        """
        Add one batch.

        :param loss: loss of the batch, a scalar
        :param blocks: what it is made of
        :param factor: what the sum of all terms is multiplied with to become the loss
        """
        self._settle()
        self.has_seen_data = True
        # Sums over an epoch would lose digits in float32; MPS has nothing better.
        dtype = torch.float32 if loss.device.type == "mps" else torch.float64
        values = []
        for terms, shift, mask in blocks:
            at_an_end = (shift == 0) | (shift == self.extra_targets)
            counts = [shift.sum(), shift.square().sum(), at_an_end.sum(), mask.sum()]
            terms = factor * terms.sum(0, dtype=dtype)
            values.append(torch.cat([terms, torch.stack(counts).to(dtype)]))
        self._last = _Sums(
            values[0] if len(values) == 1 else torch.stack(values).sum(0),
            sum(len(shift) for _, shift, _ in blocks),
            sum(mask.numel() for _, _, mask in blocks),
        )
        if loss.requires_grad:
            loss.register_hook(self._last.learned_from)

    def read(self) -> dict[str, Summary]:
        """
        Read the sums of this epoch, and forget them. Waits for the device.

        :return: by phase, ``training`` and ``validation``; NaN where there was none
        """
        self._settle()
        sums, self._sums = self._sums, {}
        return {
            phase: sums[phase].summarize(self.grid_spacing) if phase in sums else EMPTY
            for phase in PHASES
        }

    def _settle(self) -> None:
        """Add the last batch to its phase, which is known by now."""
        if self._last is None:
            return
        batch, self._last = self._last, None
        phase = "training" if batch.trained_on else "validation"
        if phase == "training" and "validation" in self._sums:
            self._sums = {}
        self._sums[phase] = self._sums[phase] + batch if phase in self._sums else batch
