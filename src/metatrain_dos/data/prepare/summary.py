"""Describe each calculation of a source by some numbers and labels."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.formula import Formula

from ..calculation import Calculation
from ..gridded_dos import AnyCalculation
from ..identity import SIZE, fingerprint
from ..kpoint_error import kpoint_error
from ..projection import parts_on_atoms
from ..readers import NoProjectionsError, NoReaderError
from ..references import highest_occupied, missing_electrons, neutral_level
from ..writers import find_result
from .find import kind_of


ROW = np.dtype(
    [
        ("record", np.int32),
        ("number", np.int32),
        ("offset", np.int64),
        ("step", np.int32),
        ("steps", np.int32),
        ("atoms", np.int32),
        ("channels", np.int8),
        ("is_exact", np.bool_),
        ("mesh", np.int32),
        ("bands", np.int32),
        ("resolution", np.float64),
        ("lowest", np.float64),
        ("complete", np.float64),
        ("fermi", np.float64),
        ("occupied", np.float64),
        ("neutral", np.float64),
        ("electrons", np.float64),
        ("missing", np.float64),
        ("kpoint_error", np.float64),
        ("on_atoms", np.float64),
        ("empty_on_atoms", np.float64),
        ("fingerprint", np.float64, SIZE),
    ]
)
"""
Numbers that are kept in memory for each structure; NaN if unknown.

``number`` in its source and ``offset`` in the record; ``step`` of the ``steps`` in its
file; spin ``channels``, 0 for spinors;
whether eigenvalues have more than printed digits (``is_exact``); k-points of the full
``mesh`` and ``bands``, 0 for a DOS on a grid, whose smearing and steps limit its
``resolution``, eV; ``lowest`` state, end of the ``complete`` states, ``fermi`` level,
highest ``occupied`` state and ``neutral`` level, eV; ``electrons`` and those
``missing`` up to the Fermi level; ``kpoint_error`` of the DOS, as a fraction of its
size; part of the occupied states that projections have ``on_atoms``, and of the empty
ones.
"""

PRINTED_DIGITS = 4
"""Decimals of eigenvalues (eV) in the text output of VASP and Quantum ESPRESSO."""

LABELS = ("composition", "material", "results")
"""
Labels of every structure: chemical formula; ``material`` of its info, or its reduced
formula; and names of its further results, such as the energy.
"""

RESULTS = ("energy", "forces", "stress")
"""Results of a calculation that metatrain can train on, besides numbers in the info."""


@dataclass(frozen=True)
class SourceSummary:
    """
    The content of a source.

    :param source: path
    :param record: name of the record in the cache that it is in
    :param rows: one row of :data:`ROW` for each calculation, ``(calculations,)``
    :param labels: values of the labels for each calculation
    :param error: reason why all or the rest of the source cannot be read
    :param unread: kind of file if no reader reads it, perhaps without a name; ``None``
        for others
    """

    source: str
    record: str
    rows: np.ndarray
    labels: list[tuple[str, ...]]
    error: str | None = None
    unread: str | None = None


class UnreadableError(Exception):
    """A fault of the source, and not of the cache."""


def summarize(
    source: str,
    record: str,
    found: Iterator[tuple[int, AnyCalculation]],
    labels: tuple[str, ...],
    smearing: float,
) -> SourceSummary:
    """
    Describe the calculations of a source.

    :param source: path
    :param record: name of the record that they are in
    :param found: position in the record, and calculation; may raise
        :class:`UnreadableError`
    :param labels: as :func:`~.cache.read_sources` takes them
    :param smearing: the same
    :return: the content
    """
    rows: list[tuple[Any, ...]] = []
    values = []
    failure = unread = None
    try:
        for offset, calculation in found:
            rows.append((0, len(rows), offset, *_numbers(calculation, smearing)))
            values.append(tuple(_label(calculation, name, source) for name in labels))
    except UnreadableError as error:
        failure = str(error)
        unread = _kind_if_unread(source, error.__cause__)
    return SourceSummary(source, record, np.array(rows, ROW), values, failure, unread)


def _kind_if_unread(source: str, error: BaseException | None) -> str | None:
    """Tell the kind of a file that no reader reads; ``None`` of others."""
    if isinstance(error, NoProjectionsError):
        return "outputs without projections"
    # A run that died at once leaves an empty file, which must not go unnoticed.
    if isinstance(error, NoReaderError) and os.path.getsize(source) > 0:
        return kind_of(os.path.basename(source)) or ""
    return None


def _numbers(calculation: AnyCalculation, smearing: float) -> tuple[Any, ...]:
    """Compute a row of :data:`ROW` from ``step`` on."""
    mesh = bands = 0
    is_exact, error = False, None
    parts = np.nan, np.nan
    if isinstance(calculation, Calculation):
        energies, weights = calculation.eigenvalues, calculation.kpoint_weights
        printed = np.abs(energies - np.round(energies, PRINTED_DIGITS)).max() < 1e-9
        is_exact = not printed
        # A point that no symmetry maps to another one has the smallest weight.
        mesh = min(round(weights.sum() / weights.min()), 2**31 - 1)
        bands = energies.shape[-1]
        error = kpoint_error(calculation, smearing)
        parts = parts_on_atoms(calculation)
    known = [
        calculation.fermi_level,
        highest_occupied(calculation),
        neutral_level(calculation, smearing),
        calculation.n_electrons,
        missing_electrons(calculation),
        error,
    ]
    return (
        calculation.step,
        calculation.steps,
        len(calculation.atoms),
        calculation.channels,
        is_exact,
        mesh,
        bands,
        calculation.resolution,
        calculation.lowest,
        calculation.complete,
        *(np.nan if value is None else value for value in known),
        *parts,
        fingerprint(calculation.atoms),
    )


def _label(calculation: AnyCalculation, name: str, source: str) -> str:
    """Find one label of a calculation."""
    atoms = calculation.atoms
    if name == "folder":
        return os.path.dirname(source)
    if name == "composition":
        return str(atoms.get_chemical_formula())
    if name == "results":
        found = [key for key in RESULTS if find_result(atoms, key) is not None]
        numbers = [
            key
            for key, value in atoms.info.items()
            if key not in RESULTS and isinstance(value, (int, float, np.number))
        ]
        return " ".join([*found, *sorted(numbers)])
    if name == "formula" or (name == "material" and name not in atoms.info):
        return str(Formula(atoms.get_chemical_formula()).reduce()[0])
    return str(atoms.info.get(name, ""))
