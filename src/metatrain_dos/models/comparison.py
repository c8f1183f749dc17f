"""Compare predictions with targets, one batch after the other."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np

from ..data.samples import Sample, samples
from ..data.sections import Section
from ..data.target_spec import TargetSpec
from ..utils.text import shorten
from .errors import AlignedDOS, align
from .model import DEFAULT_BATCH_SIZE, DOSModel, check_batch_size


class Place(NamedTuple):
    """
    Say what a row of numbers is about.

    :param data: name of the data set
    :param structure: position in it
    :param atom: position in the structure; ``None`` for all of its atoms
    """

    data: str
    structure: int
    atom: int | None = None


@dataclass(frozen=True)
class Batch:
    """
    Hold some structures, or atoms where the target has rows for atoms.

    :param places: what each row is about
    :param rows: structure of each row
    :param aligned: predictions and targets; states/eV for the whole structure
    """

    places: Sequence[Place]
    rows: Sequence[Sample]
    aligned: AlignedDOS

    @property
    def atoms(self) -> np.ndarray:
        """Number of atoms that each row is for, ``(rows,)``."""
        sizes = zip(self.places, self.rows, strict=True)
        return np.array([len(s.atoms) if p.atom is None else 1 for p, s in sizes])


@dataclass(frozen=True)
class Comparison:
    """
    Compare a model with data.

    :param model: the model
    :param sections: the data
    :param axis: what the columns of the prediction are
    :param tail_weight: weight of what is predicted in front of a target, for alignment
    :param batch_size: structures that are predicted at once
    :raises ValueError: if the batch size is not positive
    """

    model: DOSModel
    sections: Sequence[Section]
    axis: TargetSpec
    tail_weight: float = 1.0
    batch_size: int = DEFAULT_BATCH_SIZE

    def __post_init__(self) -> None:
        check_batch_size(self.batch_size)

    def batches(
        self, only: Collection[tuple[str, int]] | None = None
    ) -> Iterator[Batch]:
        """
        Read, predict and align, with no more than a batch in memory.

        :param only: data set and position of the structures that are wanted; all of
            them unless given
        :return: batches in the order of the data
        :raises ValueError: if a target does not fit the prediction, or a file cannot be
            read
        """
        for section in self.sections:
            found = _wanted(section, self.model.target, only)
            while batch := list(islice(found, self.batch_size)):
                yield self._compare(section, batch)

    def _compare(self, section: Section, batch: list[Sample]) -> Batch:
        """Predict and align one batch."""
        per_atom = section.entries[self.model.target]["sample_kind"] == "atom"
        for sample in batch:
            self._check(section, sample, per_atom)
        predictions = self.model.predict(
            (sample.atoms for sample in batch),
            batch_size=self.batch_size,
            per_atom=per_atom,
        )
        places, rows = [], []
        for sample in batch:
            atoms = range(len(sample.atoms)) if per_atom else [None]
            places += [Place(section.name, sample.index, atom) for atom in atoms]
            rows += [sample] * len(atoms)
        masks = [sample.mask for sample in batch if sample.mask is not None]
        aligned = align(
            np.vstack(list(predictions)),
            np.concatenate([sample.target for sample in batch]),
            np.concatenate(masks) if masks else None,
            grid_spacing=self.axis.spacing,
            tail_weight=self.tail_weight,
            extra_targets=self.axis.extra_targets,
        )
        return Batch(places, rows, aligned)

    def _check(self, section: Section, sample: Sample, per_atom: bool) -> None:
        """Refuse a target that is not for these columns."""
        rows = len(sample.atoms) if per_atom else 1
        extra, columns = self.axis.extra_targets, self.axis.columns
        widths = (columns, columns - extra)
        where = f"{section.name}, structure {sample.index}"
        if len(sample.target) != rows or sample.target.shape[-1] not in widths:
            raise ValueError(
                f"{where}: expected a target of shape {(rows, columns)}, as the "
                f"prediction, or {widths[1]} columns without the extra_targets, got "
                f"{sample.target.shape}; give data that were made for this model"
            )
        mask = sample.mask
        if mask is None:
            return
        if mask.shape != sample.target.shape:
            raise ValueError(
                f"{where}: expected a mask of shape {sample.target.shape}, as the "
                f"target, got {mask.shape}; write the data set again"
            )
        if mask.shape[-1] == columns and (mask[:, :extra] != 0).any():
            raise ValueError(
                f"{where}: expected {extra} columns of padding, but its mask is true "
                "inside them; give the extra_targets of these data with "
                "--extra-targets, or their grid.json with --grid"
            )


def _wanted(
    section: Section, target: str, only: Collection[tuple[str, int]] | None
) -> Iterator[Sample]:
    """Read what is wanted, and no further."""
    left = None if only is None else {i for name, i in only if name == section.name}
    found = samples(section, target)
    last = "at its beginning"
    while left is None or left:
        try:
            sample = next(found, None)
        except Exception as error:  # files go wrong in many ways
            raise ValueError(
                f"data: expected structures with {target!r}, got {section.source}, "
                f"which cannot be read {last} ({shorten(error)}); correct it there"
            ) from error
        if sample is None:
            return
        last = f"after structure {sample.index}"
        if left is None or sample.index in left:
            yield sample
        if left is not None:
            left.discard(sample.index)
