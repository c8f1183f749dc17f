"""The ``masked_dos`` loss: read TensorMaps, compare them, reduce."""

# TensorMap is no Python class, so it cannot be in an annotation that is evaluated.
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from metatensor.torch import TensorBlock, TensorMap
from metatrain.utils.loss import LossInterface

from ..loss.atoms import join_atoms
from ..loss.dispatch import masked_dos
from ..loss.options import MaskedDOSHypers, validate_hypers
from ..loss.terms import TERMS
from ..utils.text import shorten
from .epoch_terms import Block
from .training_log import follow


class MaskedDOSLoss(LossInterface):
    r"""
    Compare densities of states whose energy zero is arbitrary.

    Each sample of the target slides along its prediction, which has ``extra_targets``
    more columns, to where it fits best. See :mod:`metatrain_dos.loss.terms` for the
    equations, and arXiv:2508.17418 for the method.

    :param name: name of the target; its mask is ``extra_data[name + "_mask"]``
    :param gradient: always ``None``, as a density of states has no gradients
    :param weight: weight of this loss among those of all targets
    :param reduction: ``"mean"``, ``"sum"`` or ``"none"`` over the samples
    :param options: the fields of :class:`metatrain_dos.loss.options.MaskedDOSHypers`
    :raises ValueError: if an option is unknown, or its value is not allowed
    """

    Hypers = MaskedDOSHypers
    terms = TERMS
    for_gradients = False

    def __init__(
        self,
        name: str,
        gradient: str | None = None,
        weight: float = 1.0,
        reduction: str = "mean",
        **options: Any,
    ) -> None:
        if gradient is not None:
            raise ValueError(
                f"gradient: expected None for target {name!r}, got {gradient!r}; "
                "'masked_dos' compares values only, so give the gradient another loss"
            )
        self.hypers = validate_hypers(
            self.Hypers,
            {"weight": weight, "reduction": reduction, **options},
            loss_type="masked_dos",
            target=name,
        )
        super().__init__(name, None, self.hypers.weight, self.hypers.reduction)
        self.weights = {
            term.option: getattr(self.hypers, term.option)
            for term in self.terms
            if term.option is not None
        }
        self._sums = follow(
            name,
            tuple(term.name for term in self.terms),
            self.hypers.grid_spacing,
            self.hypers.extra_targets,
        )

    def compute(
        self,
        predictions: dict[str, TensorMap],
        targets: dict[str, TensorMap],
        extra_data: dict[str, TensorMap] | None = None,
    ) -> torch.Tensor:
        """
        Compute the loss of a batch.

        With ``E = extra_targets``, the values of the prediction are ``(samples, ...,
        points + E)``. Those of the target and of the mask have as many columns, the
        first ``E`` of which are padding and ignored, or just ``points`` columns.
        A point counts where the mask is true and the target is not NaN. With
        ``spin_channels = 2``, all this holds for each half of the columns.

        :param predictions: holds the prediction under the name of the target
        :param targets: holds the target under its name, states/eV
        :param extra_data: holds the mask, true = use, under the name of the target
            followed by ``_mask``; without a mask, NaN in the target is the mask
        :return: a scalar, or with ``reduction="none"`` one value for each sample of all
            blocks, in their order, or each structure that shares its shift
        :raises ValueError: if the target is missing, has gradients, or does not fit
        """
        prediction_map = _find(predictions, self.target, "predictions")
        target_map = _find(targets, self.target, "targets")
        mask_name = f"{self.target}_mask"
        mask_map = (extra_data or {}).get(mask_name)

        parts: list[Block] = []
        losses = [
            self._compute_block(*blocks, parts)
            for blocks in _matching_blocks(prediction_map, target_map, mask_map)
        ]
        per_sample = losses[0] if len(losses) == 1 else torch.cat(losses)

        if self.reduction == "none":
            return per_sample
        # nothing to learn from no samples, rather than NaN
        takes_mean = self.reduction == "mean" and len(per_sample) > 0
        loss = per_sample.mean() if takes_mean else per_sample.sum()
        if self._sums is not None:
            factor = self.weight / (len(per_sample) if takes_mean else 1)
            self._sums.add(loss, parts, factor)
        return loss

    def _compute_block(
        self,
        prediction_block: TensorBlock,
        target_block: TensorBlock,
        mask_block: TensorBlock | None,
        parts: list[Block],
    ) -> torch.Tensor:
        """
        Compute the loss of each sample of one block, ``(samples,)``.

        Its terms, shifts and mask are added to ``parts``.
        """
        if target_block.gradients_list():
            raise ValueError(
                f"targets[{self.target!r}]: expected values only, got gradients with "
                f"respect to {target_block.gradients_list()}; 'masked_dos' compares no "
                "gradients, so remove them from the target"
            )
        predictions = self._split_channels("prediction", prediction_block.values)
        targets = self._without_padding("targets", predictions, target_block.values)
        targets = targets.to(predictions.dtype)
        if mask_block is None:
            mask = torch.ones_like(targets, dtype=torch.bool)
        else:
            mask = self._without_padding("mask", predictions, mask_block.values).bool()
        samples = prediction_block.samples
        if self.hypers.shift_per == "structure" and "atom" in samples.names:
            structures = samples.column("system")
            predictions, targets, mask = join_atoms(
                structures, predictions, targets, mask
            )
        try:
            found = masked_dos(
                predictions,
                targets,
                mask,
                self.weights,
                grid_spacing=self.hypers.grid_spacing,
                per_structure=self.hypers.per_structure,
                terms=self.terms,
            )
        except (TypeError, ValueError, RuntimeError) as error:
            samples = target_block.samples
            raise type(error)(
                f"{self.target!r}: no loss for the samples "
                f"{shorten(samples.values.tolist())} ({', '.join(samples.names)}): "
                f"{error}"
            ) from error
        parts.append((found.terms, found.shift, mask))
        return found.loss

    def _split_channels(self, role: str, values: torch.Tensor) -> torch.Tensor:
        """Make components of spin channels, ``(samples, ..., channels, columns)``."""
        channels = self.hypers.spin_channels
        if channels == 1:
            return values
        if values.shape[-1] % channels:
            raise ValueError(
                f"{self.target!r}: the {role} has {values.shape[-1]} columns, but "
                f"with {channels} spin_channels there must be as many for each; "
                "correct spin_channels in the loss, or num_subtargets of the data"
            )
        return values.unflatten(-1, (channels, -1))

    def _without_padding(
        self, role: str, predictions: torch.Tensor, values: torch.Tensor
    ) -> torch.Tensor:
        """Drop the columns that only make the target as wide as the prediction."""
        values = self._split_channels(role, values)
        extra = self.hypers.extra_targets
        columns, width = predictions.shape[-1], values.shape[-1]
        points = columns - extra
        if points < 1 or width not in (points, columns):
            raise ValueError(
                f"{self.target!r}: the prediction has {columns} columns, the {role} "
                f"{width}, and extra_targets is {extra}, but the {role} must have "
                "either as many columns as the prediction (the first extra_targets of "
                "them padding) or extra_targets fewer; correct extra_targets in the "
                "loss, or num_subtargets of the data"
            )
        if values.shape[:-1] != predictions.shape[:-1]:
            raise ValueError(
                f"{self.target!r}: the prediction has shape {tuple(predictions.shape)} "
                f"and the {role} {tuple(values.shape)}, but samples and components "
                "must agree; check that both come from the same structures"
            )
        return values[..., width - points :]


def _find(maps: Mapping[str, TensorMap], name: str, argument: str) -> TensorMap:
    """Look up a target."""
    if name not in maps:
        raise ValueError(
            f"{argument}: expected an entry for target {name!r}, got {sorted(maps)}; "
            "check the name of the target in the loss"
        )
    return maps[name]


def _matching_blocks(
    predictions: TensorMap, targets: TensorMap, mask: TensorMap | None
) -> list[tuple[TensorBlock, TensorBlock, TensorBlock | None]]:
    """
    Pair up the blocks of the same key; single blocks are a pair, whatever their keys.
    """
    count = len(predictions)
    partners = []
    for role, other in (("targets", targets), ("mask", mask)):
        if other is None:
            partners.append([None] * count)
        elif len(other) == count and (count == 1 or other.keys == predictions.keys):
            # Looking blocks up by key would wait for the device, position does not.
            partners.append(other.blocks())
        else:
            keys = predictions.keys
            if len(other) != count or other.keys.names != keys.names:
                raise ValueError(
                    f"{role}: expected the keys of the prediction {keys}, "
                    f"got {other.keys}; both must be made for the same target"
                )
            partners.append([other.block(key) for key in keys])
    return list(zip(predictions.blocks(), *partners, strict=True))
