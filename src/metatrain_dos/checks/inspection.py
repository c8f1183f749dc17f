"""Inspect the values of targets and masks, one structure at a time."""

from dataclasses import dataclass, field, replace

import numpy as np

from ..data.defaults import LARGE_KPOINT_ERROR
from ..data.samples import Sample
from ..data.sections import Section
from ..loss.options import MaskedDOSHypers
from .energy_zeros import EnergyZeros
from .findings import Occurrences


# Negative values, and values where the DOS should have ended, count from this fraction
# of its maximum on: rounding in a file is far below, a missing state far above.
NEGLIGIBLE = 1e-3


@dataclass
class Inspection:
    """
    Inspection of one target in all data sets of an options file.

    :param target: name of the target
    :param hypers: options of its loss
    :param problems: structures with a problem, for each problem and section
    :param with_nan: sections in which some target is NaN
    :param is_complete: whether all structures were read, and have the expected width
    :param trusted: columns that some structure trusts, ``(columns,)``, bool
    :param first_trusted: first column that some mask trusts
    :param empty_end: whether all targets end with as many empty columns as there is
        padding
    :param zeros: how far apart the energy zeros are
    """

    target: str
    hypers: MaskedDOSHypers
    problems: dict[tuple[str, Section], Occurrences] = field(default_factory=dict)
    with_nan: set[Section] = field(default_factory=set)
    is_complete: bool = True
    trusted: np.ndarray | None = None
    first_trusted: int | None = None
    empty_end: bool = True
    zeros: EnergyZeros = field(default_factory=EnergyZeros)

    def add(self, section: Section, sample: Sample) -> None:
        """Inspect one more structure."""
        problems = self._shape_problems(section, sample)
        if problems:
            self.is_complete = False
        else:
            problems = self._value_problems(section, sample)
        for name, number in problems.items():
            occurrences = self.problems.setdefault(
                (name, section), Occurrences(section.name)
            )
            occurrences.add(sample.index, sample.source, number)

    def _shape_problems(self, section: Section, sample: Sample) -> dict[str, float]:
        """Compare the shapes of target and mask with the options."""
        rows, columns = sample.target.shape
        # metatrain does not compare the widths in a zip file with the options
        is_free = section.source.suffix == ".zip"
        if columns != section.entries[self.target]["num_subtargets"] and not is_free:
            return {"target width": columns}
        if sample.mask is None:
            return {}
        mask_rows, mask_columns = sample.mask.shape
        # a mask of NaN is in the target itself
        entry = section.entries.get(f"{self.target}_mask", {})
        configured = entry.get("num_subtargets", mask_columns)
        if mask_columns != columns or (mask_columns != configured and not is_free):
            return {"mask width": mask_columns}
        return {} if mask_rows == rows else {"mask rows": mask_rows}

    def _value_problems(self, section: Section, sample: Sample) -> dict[str, float]:
        """Check the values of target and mask."""
        target, extra = sample.target, self.hypers.extra_targets
        problems: dict[str, float] = {}
        if target.shape[1] != section.entries[self.target]["num_subtargets"]:
            problems["ignored width"] = target.shape[1]
        if (channels := self.hypers.spin_channels) > 1:
            mask = sample.mask
            target = target.reshape(channels * len(target), -1)
            mask = None if mask is None else mask.reshape(target.shape)
            sample = replace(sample, target=target, mask=mask)
        undefined = np.isnan(target)
        if undefined.any():
            self.with_nan.add(section)
        # converted to booleans as in metatrain, where NaN becomes true
        promised = ~undefined if sample.mask is None else sample.mask != 0
        trusted = promised & ~undefined
        if sample.mask is not None:
            if not np.isin(sample.mask, (0, 1)).all():
                return {**problems, "mask values": 1}
            if (promised & undefined).any():
                problems["undefined"] = int(np.sum(promised & undefined))
            if promised[:, :extra].any():
                problems["padding"] = int(promised.any(axis=0).argmax())
        if np.isinf(target[trusted]).any():
            problems["infinite"] = int(np.sum(np.isinf(target) & trusted))
            return problems

        self._remember(sample, trusted)
        window, dos = trusted[:, extra:], np.where(trusted, target, 0.0)[:, extra:]
        if not window.any():
            return {**problems, "untrusted": 1}
        top = float(np.abs(dos).max())
        if top == 0:
            return {**problems, "empty": 1}
        if dos.min() < -NEGLIGIBLE * top:
            problems["negative"] = float(dos.min())
        if sample.kpoint_error > LARGE_KPOINT_ERROR:
            problems["k-points"] = 100 * sample.kpoint_error
        if extra and dos[:, 0].max() > NEGLIGIBLE * top:
            problems["edge"] = float(dos[:, 0].max())
        dropped = np.nan_to_num(np.abs(target[:, :extra]), posinf=0.0)
        if "padding" not in problems and dropped.max(initial=0.0) > NEGLIGIBLE * top:
            problems["lost"] = float(dropped.sum()) * self.hypers.grid_spacing
        if section.entries[self.target]["sample_kind"] == "system":
            self.zeros.add(
                f"{sample.index} of {section.name}",
                sample.composition,
                sample.density,
                dos.sum(axis=0) / len(sample.atoms),
                window.all(axis=0),
                self.hypers.grid_spacing,
            )
        return problems

    def _remember(self, sample: Sample, trusted: np.ndarray) -> None:
        """Update the columns that the data set as a whole trusts."""
        columns: np.ndarray = np.any(trusted, axis=0)
        if self.trusted is None:
            self.trusted = columns
        elif len(self.trusted) != len(columns):  # data sets on different grids
            self.is_complete = False
            return
        self.trusted = self.trusted | columns
        if sample.mask is not None and columns.any():
            first = int(columns.argmax())
            earlier = first if self.first_trusted is None else self.first_trusted
            self.first_trusted = min(first, earlier)
        end = slice(len(columns) - self.hypers.extra_targets, None)
        empty = not columns[end].any() and not sample.target[:, end].any()
        self.empty_end = self.empty_end and empty
