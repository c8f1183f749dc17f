"""Turn the prediction of a model into an energy axis, a Fermi level and a gap."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ase
import numpy as np

from .axis import find_axis
from .electrons import electron_counter
from .integrated_dos import cumulative_dos
from .levels import BandEdges, band_edges


if TYPE_CHECKING:
    from .model import DOSModel  # which needs torch


ZEROS = {
    "fermi": "the Fermi level; in a gap, its middle",
    "vbm": "the highest occupied state",
    "axis": "the zero of the training data, which is arbitrary",
}
"""Possible zeros of the energy axis."""

# Predictions are noisier than computed DOS: docs/predicting.md has the measurements.
DEFAULT_TOLERANCE = 0.06
"""Error of the integral of a predicted DOS in a gap, as a fraction of the electrons."""

DEFAULT_THRESHOLD = 0.02
"""Predicted DOS for each electron that counts as none, 1/eV."""


@dataclass(frozen=True)
class PredictedDOS:
    """
    The predicted DOS of one structure and its levels.

    Energies are relative to the chosen zero. Without a number of electrons, there are
    no levels, and the zero is that of the training data.

    :param dos_energies: energy of each point, ``(points,)``, eV
    :param dos: density of states, ``(points,)``, states/eV
    :param states: number of states below each point, ``(points,)``
    :param electrons: number of electrons; ``None`` if unknown, like the levels then
    :param fermi_level: Fermi level, eV
    :param highest_occupied: valence band maximum, or HOMO, eV
    :param lowest_unoccupied: conduction band minimum, or LUMO, eV; NaN if the axis ends
        before it
    :param gap: distance between the last two, eV
    :param axis_zero: energy on the axis of the training data that is zero here, eV
    :param problem: reason for missing levels although the number of electrons is known
    """

    dos_energies: np.ndarray
    dos: np.ndarray
    states: np.ndarray
    electrons: float | None = None
    fermi_level: float | None = None
    highest_occupied: float | None = None
    lowest_unoccupied: float | None = None
    gap: float | None = None
    axis_zero: float = 0.0
    problem: str | None = None


class DOSPredictor:
    """
    Predict the DOS and the levels of structures.

    :param model: a loaded model
    :param electrons: number of electrons or its source, as
        :func:`~metatrain_dos.models.electrons.electron_counter` takes it
    :param valences: electrons of each element, instead
    :param zero: zero of the energies, one of :data:`ZEROS`
    :param tolerance: error of the integral of a prediction in a gap, as a fraction of
        the electrons
    :param threshold: predicted DOS for each electron that counts as none, 1/eV
    :param smearing: standard deviation of the Gaussians in the targets, eV; that of the
        ``grid.json`` unless given
    :param axis: keywords of :func:`~metatrain_dos.models.axis.find_axis`
    :raises ValueError: if an argument is out of range, or the energies of the columns
        cannot be found
    """

    def __init__(
        self,
        model: "DOSModel",
        *,
        electrons: str | float | None = None,
        valences: str | Mapping[str, float] | None = None,
        zero: str = "fermi",
        tolerance: float = DEFAULT_TOLERANCE,
        threshold: float = DEFAULT_THRESHOLD,
        smearing: float | None = None,
        **axis: Any,
    ) -> None:
        if zero not in ZEROS:
            raise ValueError(
                f"zero: expected {', '.join(ZEROS)}, got {zero!r}; 'fermi' is common "
                "in figures"
            )
        self._count = electron_counter(electrons, valences)
        self._model = model
        self._zero = zero
        self.axis = find_axis(model, **axis)
        self.smearing = self.axis.smearing if smearing is None else smearing
        self._tolerance = tolerance
        self._threshold = threshold
        # Refuses options before anything is predicted.
        self._edges(np.ones(3), np.arange(3.0), 1.0)

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
        structures, ours = itertools.tee(structures)
        rows = self._model.predict(structures, **batches)
        for number, (row, atoms) in enumerate(zip(rows, ours, strict=True)):
            electrons = self._count(number, atoms)
            try:
                yield atoms, self.describe(row, electrons)
            except ValueError as error:
                raise ValueError(f"structure {number}: {error}") from error

    def describe(self, row: np.ndarray, electrons: float | None) -> PredictedDOS:
        """
        Find the levels of one prediction.

        :param row: predicted DOS, ``(columns,)``, states/eV
        :param electrons: number of electrons, if known
        :return: DOS and levels
        :raises ValueError: if the prediction is not finite
        """
        energies = self.axis.energies
        states = cumulative_dos(row, energies)
        if electrons is None:
            return PredictedDOS(energies, row, states)
        try:
            edges = self._edges(row, energies, electrons)
        except ValueError as error:
            return PredictedDOS(energies, row, states, electrons, problem=str(error))
        zero = {
            "fermi": float(edges.fermi_level),
            "vbm": float(edges.highest_occupied),
            "axis": 0.0,
        }[self._zero]
        return PredictedDOS(
            dos_energies=energies - zero,
            dos=row,
            states=states,
            electrons=electrons,
            fermi_level=float(edges.fermi_level) - zero,
            highest_occupied=float(edges.highest_occupied) - zero,
            lowest_unoccupied=float(edges.lowest_unoccupied) - zero,
            gap=float(edges.gap),
            axis_zero=zero,
        )

    def _edges(
        self, dos: np.ndarray, energies: np.ndarray, electrons: float
    ) -> BandEdges:
        """Find levels, with a tolerance that grows with the structure as errors do."""
        return band_edges(
            dos,
            energies,
            electrons,
            smearing=self.smearing,
            tolerance=self._tolerance * electrons,
            threshold=self._threshold,
        )
