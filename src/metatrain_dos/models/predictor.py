"""Turn predictions of models into an energy axis, a Fermi level and a gap."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import ase
import numpy as np

from .axis import find_axis
from .block_average import BlockAverage
from .committee import combine, on_first_axis
from .defaults import DEFAULT_THRESHOLD, DEFAULT_TOLERANCE, PARTS, ZEROS
from .electrons import electron_counter
from .integrated_dos import cumulative_dos
from .level_finder import LevelFinder
from .model import DOSModel
from .prediction import PredictedDOS, shifted


class DOSPredictor:
    """
    Predict the DOS and the levels of structures.

    The members of a committee are aligned at their Fermi levels, and give means and
    standard deviations.

    :param models: a loaded model, or several: a committee
    :param electrons: number of electrons or its source, as
        :func:`~metatrain_dos.models.electrons.electron_counter` takes it
    :param valences: electrons of each element, instead; those of the ``grid.json``
        unless one of both is given
    :param zero: zero of the energies, one of
        :data:`~metatrain_dos.models.defaults.ZEROS`
    :param tolerance: error of the integral of a prediction in a gap, as a fraction of
        the electrons
    :param threshold: predicted DOS for each electron that counts as none, 1/eV
    :param smearing: standard deviation of the Gaussians in the targets, eV; that of the
        ``grid.json`` unless given
    :param temperatures: temperatures of thermal properties, K
    :param parts: one of :data:`~metatrain_dos.models.defaults.PARTS`, to predict their
        DOS, too. Of a model that was trained on structures, these are a partition that
        it has learned: only the sum has been compared with calculations
    :param axis: keywords of :func:`~metatrain_dos.models.axis.find_axis`
    :raises ValueError: if an argument is out of range, or the energies of the columns
        cannot be found
    """

    def __init__(
        self,
        models: DOSModel | Sequence[DOSModel],
        *,
        electrons: str | float | None = None,
        valences: str | Mapping[str, float] | None = None,
        zero: str = "fermi",
        tolerance: float = DEFAULT_TOLERANCE,
        threshold: float = DEFAULT_THRESHOLD,
        smearing: float | None = None,
        temperatures: Sequence[float] = (),
        parts: str | None = None,
        **axis: Any,
    ) -> None:
        for name, value, allowed in (
            ("zero", zero, ZEROS),
            ("parts", parts, (None, *PARTS)),
        ):
            if value not in allowed:
                raise ValueError(
                    f"{name}: expected {', '.join(map(str, allowed))}, got {value!r}; "
                    "choose one of them"
                )
        self._models = list(models) if isinstance(models, Sequence) else [models]
        self._axes = [find_axis(model, **axis) for model in self._models]
        self.axis = self._axes[0]
        if len({axis.spin_resolved for axis in self._axes}) > 1:
            raise ValueError(
                "models: expected spin channels in all members of a committee, or in "
                "none; leave the others out"
            )
        if self.axis.spin_resolved and parts is not None:
            raise ValueError(
                f"parts: expected None for a model of spin channels, which are parts "
                f"themselves, got {parts!r}; leave it out"
            )
        self._count = electron_counter(electrons, valences, self.axis.valences)
        self._zero = zero
        self._parts = parts
        self.smearing = self.axis.smearing if smearing is None else smearing
        self._levels = LevelFinder(self.smearing, tolerance, threshold, temperatures)

    def predict(
        self, structures: Iterable[ase.Atoms], **batches: Any
    ) -> Iterator[tuple[ase.Atoms, PredictedDOS]]:
        """
        Predict structures one batch after the other.

        :param structures: any number of structures
        :param batches: keywords of :meth:`metatrain_dos.models.model.DOSModel.predict`
        :return: each structure with its DOS
        :raises ValueError: if the model cannot predict a structure, or its number of
            electrons is not where it should be
        """
        for number, atoms, rows, electrons in self._rows(structures, **batches):
            names: list[str] = []
            if self._parts == "atom":
                names = [str(i) for i in range(len(atoms))]
            elif self._parts == "element":
                symbols = np.array(atoms.get_chemical_symbols())
                names = sorted(set(symbols))
                rows = [
                    np.array([each[symbols == name].sum(0) for name in names])
                    for each in rows
                ]
            elif self.axis.spin_resolved:
                names = ["up", "down"]
            if names:
                rows = [np.vstack([each.sum(0), each]) for each in rows]
            try:
                yield atoms, self.describe(rows, electrons, names)
            except ValueError as error:
                raise ValueError(f"structure {number}: {error}") from error

    def average(
        self, structures: Iterable[ase.Atoms], **batches: Any
    ) -> tuple[ase.Atoms, PredictedDOS]:
        """
        Average over the frames of a trajectory, on one zero that they all share.

        The zero is that of their mean DOS: a model predicts all frames on one axis.
        Numbers are means of those of the frames, and ``dos_error`` and the names with
        ``_error`` standard errors that take correlated frames into account.

        :param structures: frames with the same atoms
        :param batches: as in :meth:`predict`
        :return: the last frame, and the means
        :raises ValueError: as :meth:`predict`, or if numbers of electrons differ or are
            unknown, or there are no frames
        """
        averages = [BlockAverage() for _ in self._models]
        names: list[str] = []
        last, first, electrons = ase.Atoms(), None, None
        for number, atoms, rows, electrons in self._rows(structures, **batches):
            last = atoms
            first = electrons if first is None else first
            if electrons is None or electrons != first:
                raise ValueError(
                    f"structure {number}: expected {first} electrons, as in the first "
                    f"frame, got {electrons}; average frames with the same atoms, and "
                    "give --valences or --electrons"
                )
            if self.axis.spin_resolved:
                rows = [each.sum(0) for each in rows]
            for average, row, axis in zip(averages, rows, self._axes, strict=True):
                try:
                    each = self._levels.find(row[None], axis, electrons)
                except ValueError as error:
                    raise ValueError(f"structure {number}: {error}") from error
                numbers = shifted(each.numbers, each.axis_zero)
                names = list(numbers)
                average.add(np.concatenate([row, list(numbers.values())]))
        if electrons is None:
            raise ValueError("structures: expected frames, got none; check the files")
        size = len(names)
        members = [
            self._levels.find(each.mean[None, :-size], axis, electrons)
            for each, axis in zip(averages, self._axes, strict=True)
        ]
        # Each frame on the axis of its model, relative to the level of the mean DOS.
        means = [
            shifted(dict(zip(names, each.mean[-size:], strict=True)), -member.axis_zero)
            for each, member in zip(averages, members, strict=True)
        ]
        combined = combine(members, self._zero, self.names, means)
        errors = np.sqrt(np.mean([each.error[-size:] ** 2 for each in averages], 0))
        for name, uncertainty in zip(names, errors, strict=True):
            if name != "axis_zero":
                combined.numbers[f"{name}_error"] = float(uncertainty)
        combined.numbers["frames"] = averages[0].count
        curves = on_first_axis(members, [each.error[:-size] for each in averages])
        combined.curves["dos_error"] = np.sqrt(np.mean(curves**2, 0))
        return last, combined

    def describe(
        self,
        rows: Sequence[np.ndarray] | np.ndarray,
        electrons: float | None,
        parts: Sequence[str] = (),
    ) -> PredictedDOS:
        """
        Find the levels of one prediction.

        :param rows: predicted DOS of each member, ``(columns,)``, or that of the
            structure and its parts, ``(1 + parts, columns)``, states/eV; of a single
            model, one array will do
        :param electrons: number of electrons, if known
        :param parts: names of the parts
        :return: DOS and levels
        :raises ValueError: if a prediction is not finite, or the members of a committee
            cannot be aligned because the number of electrons is unknown
        """
        if isinstance(rows, np.ndarray):
            rows = [rows]
        rows = [np.atleast_2d(each) for each in rows]
        problem = None
        if electrons is not None:
            try:
                members = [
                    self._levels.find(each, axis, electrons, parts)
                    for each, axis in zip(rows, self._axes, strict=True)
                ]
                return combine(members, self._zero, self.names)
            except ValueError as error:
                problem = str(error)
        elif len(rows) > 1:
            raise ValueError(
                "electrons: expected a number, by which the members of a committee are "
                "aligned, got none; give --electrons or --valences"
            )
        energies = self.axis.energies
        known = {"electrons": np.nan if electrons is None else electrons}
        numbers = dict.fromkeys(self.names, np.nan) | known | {"axis_zero": 0.0}
        unknown = {"dos_std": np.full(len(energies), np.nan)} if len(rows) > 1 else {}
        return PredictedDOS(
            energies,
            rows[0][0],
            cumulative_dos(rows[0][0], energies),
            numbers,
            unknown,
            parts=dict(zip(parts, rows[0][1:], strict=True)),
            problem=problem,
        )

    @property
    def names(self) -> list[str]:
        """Names of the numbers of a prediction."""
        names = self._levels.names
        if len(self._models) > 1:
            names += [f"{name}_std" for name in names if name != "axis_zero"]
        return names

    def _rows(
        self, structures: Iterable[ase.Atoms], **batches: Any
    ) -> Iterator[tuple[int, ase.Atoms, list[np.ndarray], float | None]]:
        """Predict rows with every member, and count electrons."""
        ours, *copies = itertools.tee(structures, 1 + len(self._models))
        rows = [
            model.predict(each, per_atom=self._parts is not None, **batches)
            for model, each in zip(self._models, copies, strict=True)
        ]
        for number, (atoms, *found) in enumerate(zip(ours, *rows, strict=True)):
            if self.axis.spin_resolved:
                found = [each.reshape(2, -1) for each in found]
            yield number, atoms, found, self._count(number, atoms)
