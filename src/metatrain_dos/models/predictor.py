"""Turn predictions of models into an energy axis, a Fermi level and a gap."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

import ase
import numpy as np

from ..data.target_spec import TargetSpec
from .axis import find_axis
from .block_average import BlockAverage
from .defaults import DEFAULT_THRESHOLD, DEFAULT_TOLERANCE, PARTS, ZEROS
from .electrons import electron_counter
from .integrated_dos import cumulative_dos, integrate
from .levels import band_edges
from .model import DOSModel
from .noise import count_states
from .prediction import LEVELS, PredictedDOS
from .thermal import ThermalProperties, sommerfeld_coefficient, thermal_properties


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
        self._temperatures = temperatures
        self.smearing = self.axis.smearing if smearing is None else smearing
        self._tolerance = tolerance
        self._threshold = threshold
        # Refuses options before anything is predicted.
        band_edges(np.ones(3), np.arange(3.0), 1.0, **self._options(1.0))
        for temperature in temperatures:
            thermal_properties(np.ones(9), np.arange(9.0) * 1e9, 1e9, temperature)

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
                    each = self._describe(row[None], axis, electrons)
                except ValueError as error:
                    raise ValueError(f"structure {number}: {error}") from error
                numbers = _shifted(each.numbers, each.axis_zero)
                names = list(numbers)
                average.add(np.concatenate([row, list(numbers.values())]))
        if electrons is None:
            raise ValueError("structures: expected frames, got none; check the files")
        size = len(names)
        members = [
            self._describe(each.mean[None, :-size], axis, electrons)
            for each, axis in zip(averages, self._axes, strict=True)
        ]
        # Each frame on the axis of its model, relative to the level of the mean DOS.
        means = [
            _shifted(
                dict(zip(names, each.mean[-size:], strict=True)), -member.axis_zero
            )
            for each, member in zip(averages, members, strict=True)
        ]
        combined = self._combine(members, means)
        errors = np.sqrt(np.mean([each.error[-size:] ** 2 for each in averages], 0))
        for name, uncertainty in zip(names, errors, strict=True):
            if name != "axis_zero":
                combined.numbers[f"{name}_error"] = float(uncertainty)
        combined.numbers["frames"] = averages[0].count
        curves = _on_first_axis(members, [each.error[:-size] for each in averages])
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
                return self._combine(
                    [
                        self._describe(each, axis, electrons, parts)
                        for each, axis in zip(rows, self._axes, strict=True)
                    ]
                )
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
        names = list(LEVELS)
        if self._temperatures:
            names.append("sommerfeld_coefficient")
        for temperature in self._temperatures:
            names += [
                f"{each.name}_{temperature:g}K" for each in fields(ThermalProperties)
            ]
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

    def _options(self, electrons: float) -> dict[str, Any]:
        """Collect options; the tolerance grows with the structure as errors do."""
        return {
            "smearing": self.smearing,
            "tolerance": self._tolerance * electrons,
            "threshold": self._threshold,
        }

    def _describe(
        self,
        rows: np.ndarray,
        axis: TargetSpec,
        electrons: float,
        parts: Sequence[str] = (),
    ) -> PredictedDOS:
        """Find the levels of one member, relative to its Fermi level."""
        energies, dos = axis.energies, rows[0]
        edges = band_edges(dos, energies, electrons, **self._options(electrons))
        ((raw,),) = integrate(dos, energies)
        curve, _ = count_states(raw, self._threshold * electrons, self.smearing)
        fermi_level = float(edges.fermi_level)
        numbers = {
            "electrons": electrons,
            "fermi_level": 0.0,
            "highest_occupied": float(edges.highest_occupied) - fermi_level,
            "lowest_unoccupied": float(edges.lowest_unoccupied) - fermi_level,
            "gap": float(edges.gap),
            "dos_at_fermi_level": float(np.interp(fermi_level, energies, curve.dos)),
            "axis_zero": fermi_level,
        }
        if self._temperatures:
            numbers["sommerfeld_coefficient"] = float(
                sommerfeld_coefficient(numbers["dos_at_fermi_level"])
            )
        for temperature in self._temperatures:
            found = thermal_properties(
                dos,
                energies - fermi_level,
                electrons,
                temperature,
                **self._options(electrons),
            )
            for name, value in vars(found).items():
                numbers[f"{name}_{temperature:g}K"] = float(value)
        return PredictedDOS(
            energies - fermi_level,
            dos,
            curve.states,
            numbers,
            parts=dict(zip(parts, rows[1:], strict=True)),
        )

    def _combine(
        self,
        members: Sequence[PredictedDOS],
        means: Sequence[dict[str, float]] | None = None,
    ) -> PredictedDOS:
        """Average over members that are aligned at their Fermi levels."""
        several = means or [each.numbers for each in members]
        numbers = {
            name: float(np.mean([each[name] for each in several]))
            for name in several[0]
        }
        zero = {
            "fermi": 0.0,
            "vbm": float(np.mean([each.highest_occupied for each in members])),
            "axis": -numbers["axis_zero"],
        }[self._zero]
        dos = _on_first_axis(members, [each.dos for each in members])
        states = _on_first_axis(members, [each.states for each in members])
        numbers = _shifted(numbers, -zero)
        curves = {}
        if len(members) > 1:
            curves["dos_std"] = dos.std(0, ddof=1)
            for name in several[0]:
                spread = np.std([each[name] for each in several], ddof=1)
                numbers[f"{name}_std"] = float(spread)
            # On the axis of the training data, because it is zero on their own.
            numbers["fermi_level_std"] = numbers["axis_zero_std"]
        return PredictedDOS(
            members[0].dos_energies - zero,
            dos.mean(0),
            states.mean(0),
            {name: numbers[name] for name in self.names},
            curves,
            {
                name: _on_first_axis(
                    members, [each.parts[name] for each in members]
                ).mean(0)
                for name in members[0].parts
            },
        )


def _on_first_axis(
    members: Sequence[PredictedDOS], curves: Sequence[np.ndarray]
) -> np.ndarray:
    """Interpolate a curve of each member at the energies of the first one."""
    return np.array(
        [
            np.interp(members[0].dos_energies, each.dos_energies, curve)
            for each, curve in zip(members, curves, strict=True)
        ]
    )


def _shifted(numbers: Mapping[str, float], shift: float) -> dict[str, float]:
    """Count energies from a zero that is lower by a shift, eV."""
    found = dict(numbers)
    for name in numbers:
        if name.startswith(
            ("fermi_level", "highest_occ", "lowest_unocc", "chemical_potential")
        ):
            found[name] += shift
        elif name.startswith(("band_energy", "free_energy")):
            found[name] += shift * numbers["electrons"]
    found["axis_zero"] -= shift
    return found
