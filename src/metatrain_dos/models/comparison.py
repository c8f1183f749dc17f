"""Compare predictions with targets, one batch after the other."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np

from ..data.samples import Sample, samples
from ..data.sections import Section
from ..data.target_spec import TargetSpec
from ..utils.text import shorten
from .committee import align_committee
from .electrons import ElectronCounter, electron_counter
from .errors import AlignedDOS
from .level_errors import LevelPair, level_pair
from .model import DEFAULT_BATCH_SIZE, DOSModel, check_batch_size


class RowId(NamedTuple):
    """Data set of a row, its structure, and its atom; ``None`` for all of its atoms."""

    data: str
    structure: int
    atom: int | None = None


@dataclass(frozen=True)
class Batch:
    """
    Predictions and targets of some structures, or atoms for per-atom targets.

    :param row_ids: identity of each row
    :param samples: structure of each row
    :param aligned: predictions and targets, states/eV for the whole structure
    :param levels: levels of each row, ``None`` where the electrons are not known
    :param spread: standard deviation over a committee, ``(rows,)``, states/eV; NaN for
        one model
    :param channels: predictions and targets of spin channels, ``(rows, 2, points)``,
        where ``aligned`` has their sum; ``None`` without
    """

    row_ids: Sequence[RowId]
    samples: Sequence[Sample]
    aligned: AlignedDOS
    levels: Sequence[LevelPair | None]
    spread: np.ndarray
    channels: AlignedDOS | None = None

    @property
    def atoms(self) -> np.ndarray:
        """Number of atoms that each row covers, ``(rows,)``."""
        rows = zip(self.row_ids, self.samples, strict=True)
        return np.array([len(s.atoms) if r.atom is None else 1 for r, s in rows])


def compare(
    models: Sequence[DOSModel],
    sections: Iterable[Section],
    axis: TargetSpec,
    *,
    count_electrons: ElectronCounter | None = None,
    tail_weight: float = 1.0,
    shift_per: str = "sample",
    batch_size: int = DEFAULT_BATCH_SIZE,
) -> Iterator[Batch]:
    """
    Read, predict and align, with one batch at a time in memory.

    :param models: the model, or the members of a committee
    :param axis: energies of the columns of the prediction
    :param count_electrons: electrons of a structure; from its info unless given
    :param tail_weight: weight of the prediction in front of a target, in the alignment
    :param shift_per: ``"sample"``, or ``"structure"`` for a shift that atoms share
    :return: batches in the order of the data
    :raises ValueError: if a target does not fit the prediction, or a file cannot be
        read
    """
    check_batch_size(batch_size)

    def by_channel(rows: Sequence[np.ndarray]) -> np.ndarray:
        """Make spin channels a component, which has one shift for all."""
        together = np.concatenate(rows)
        shape = (len(together), axis.spin_channels, -1)
        return together.reshape(shape) if axis.spin_resolved else together

    count_electrons = count_electrons or electron_counter()
    target = models[0].target
    for section in sections:
        per_atom = section.entries[target]["sample_kind"] == "atom"
        found = _read(section, target)
        while batch := list(islice(found, batch_size)):
            row_ids, rows = [], []
            for sample in batch:
                _check(section, sample, axis, per_atom)
                atoms = range(len(sample.atoms)) if per_atom else [None]
                row_ids += [RowId(section.name, sample.index, atom) for atom in atoms]
                rows += [sample] * len(atoms)
            structures = [sample.atoms for sample in batch]
            predictions = [
                model.predict(structures, batch_size=batch_size, per_atom=per_atom)
                for model in models
            ]
            owners = np.repeat(range(len(batch)), [len(each.target) for each in batch])
            aligned, spread = align_committee(
                [by_channel([np.atleast_2d(row) for row in p]) for p in predictions],
                by_channel([sample.target for sample in batch]),
                by_channel([sample.counts for sample in batch]),
                grid_spacing=axis.grid.spacing,
                tail_weight=tail_weight,
                extra_targets=axis.extra_targets,
                structures=owners if shift_per == "structure" else None,
            )
            channels = aligned if axis.spin_resolved else None
            aligned = aligned.summed() if axis.spin_resolved else aligned
            levels = [
                level_pair(
                    aligned.predictions[i],
                    aligned.targets[i],
                    aligned.mask[i],
                    axis.grid.energies,
                    None if per_atom else count_electrons(sample.index, sample.atoms),
                    axis.smearing,
                )
                for i, sample in enumerate(rows)
            ]
            yield Batch(row_ids, rows, aligned, levels, spread, channels)


def _check(section: Section, sample: Sample, axis: TargetSpec, per_atom: bool) -> None:
    """Refuse a target that does not match the columns of the prediction."""
    rows = len(sample.atoms) if per_atom else 1
    extra, columns, channels = axis.extra_targets, axis.columns, axis.spin_channels
    widths = (columns, columns - channels * extra)
    where = f"{section.name}, structure {sample.index}"
    if len(sample.target) != rows or sample.target.shape[-1] not in widths:
        raise ValueError(
            f"{where}: expected a target of shape {(rows, columns)}, like the "
            f"prediction, or {widths[1]} columns without the extra_targets, got "
            f"{sample.target.shape}; give data that were made for this model"
        )
    mask = sample.mask
    if mask is None:
        return
    if mask.shape != sample.target.shape:
        raise ValueError(
            f"{where}: expected a mask of shape {sample.target.shape}, like the "
            f"target, got {mask.shape}; write the data set again"
        )
    padding = mask.reshape(rows, channels, -1)[..., :extra]
    if mask.shape[-1] == columns and (padding != 0).any():
        raise ValueError(
            f"{where}: expected {extra} columns of padding, but its mask is true "
            "inside them; give the extra_targets of these data with --extra-targets, "
            "or their grid.json with --grid"
        )


def _read(section: Section, target: str) -> Iterator[Sample]:
    """Read samples, and report the last good one when a file is damaged."""
    last = "at its beginning"
    try:
        for sample in samples(section, target):
            last = f"after structure {sample.index}"
            yield sample
    except Exception as error:  # files go wrong in many ways
        raise ValueError(
            f"data: expected structures with {target!r}, got {section.source}, which "
            f"cannot be read {last} ({shorten(error)}); correct the file"
        ) from error
