"""A finished calculation, in the form that the rest of the package works with."""

from dataclasses import dataclass
from numbers import Real
from typing import Any

import ase
import numpy as np

from ..utils.text import shorten


# Printed weights are rounded, so that they do not sum to exactly 1 or 2.
WEIGHT_SUM_TOLERANCE = 1e-3

LAST_ELEMENT = 118

INFO_KEYS = (
    "eigenvalues",
    "kpoint_weights",
    "kpoints",
    "spin_channels",
    "fermi_level",
    "n_electrons",
)
"""Entries that a calculation adds to the info of its structure in extended XYZ."""

# Of the arrays of a calculation
AXES = {
    "eigenvalues": ("spin channels", "k-points", "bands"),
    "kpoint_weights": ("k-points",),
    "kpoints": ("k-points", "3"),
    "projections": ("atoms", "spin channels", "k-points", "bands"),
}


class InputError(ValueError):
    """A file, or a value in it, that cannot be used; the message is for the user."""


@dataclass(frozen=True, eq=False)
class Calculation:
    """
    A structure and its eigenvalues, from which a density of states is made.

    :param atoms: structure; entries of its info other than :data:`INFO_KEYS`, such as
        ``material``, are kept
    :param eigenvalues: energies of the states, ``(spin channels, k-points, bands)``, eV
    :param kpoint_weights: number of electrons that a band holds at each k-point,
        ``(k-points,)``; the sum is 2 without spin, and 1 with two spin channels or
        with spinors
    :param kpoints: fractional coordinates of the k-points, ``(k-points, 3)``; ``None``
        where they are not known
    :param fermi_level: Fermi level, eV; ``None`` where there is no single one
    :param n_electrons: number of electrons; ``None`` where it is not known
    :param step: its number in a relaxation or trajectory, counted from 1
    :param steps: number of steps in the file
    :param projections: share of each state that is on each atom,
        ``(atoms, spin channels, k-points, bands)``; their sum over atoms need not be 1;
        ``None`` where they are not read
    :raises InputError: if a value is not of its kind, shapes do not fit, a number is
        not finite or has the wrong sign, the weights do not sum to 1 or 2, or an atom
        is of no element
    """

    atoms: ase.Atoms
    eigenvalues: np.ndarray
    kpoint_weights: np.ndarray
    fermi_level: float | None = None
    n_electrons: float | None = None
    kpoints: np.ndarray | None = None
    step: int = 1
    steps: int = 1
    projections: np.ndarray | None = None

    # Eigenvalues are not smeared, as the states of a GriddedDOS are.
    smearing = resolution = blur = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.atoms, ase.Atoms):
            raise InputError(
                f"atoms: expected ase.Atoms, got {type(self.atoms).__name__}; read the "
                "structure with ase.io.read"
            )
        check_structure(self.atoms)
        # A frozen dataclass can only be normalised this way.
        for name, axes in AXES.items():
            value = getattr(self, name)
            if value is not None or name in ("eigenvalues", "kpoint_weights"):
                object.__setattr__(self, name, finite_array(name, value, axes))
        for name in ("fermi_level", "n_electrons"):
            object.__setattr__(self, name, finite_number(name, getattr(self, name)))
        shape, n_electrons = self.eigenvalues.shape, self.n_electrons
        capacity = _check_bands(shape, self.kpoint_weights)
        if n_electrons is not None and not (
            0 < n_electrons <= capacity * (1 + WEIGHT_SUM_TOLERANCE)
        ):
            raise InputError(
                f"n_electrons: expected more than 0 and at most the {capacity:g} that "
                f"the bands hold, got {n_electrons:g}; check the sum of kpoint_weights "
                "and the number of bands"
            )
        for name, expected in (
            ("kpoints", (shape[1], 3)),
            ("projections", (len(self.atoms), *shape)),
        ):
            value = getattr(self, name)
            if value is not None and value.shape != expected:
                raise InputError(
                    f"{name}: expected shape {expected}, to fit the eigenvalues, got "
                    f"{value.shape}; check the order of the axes, and whether both "
                    "are of the same run"
                )

    @property
    def levels(self) -> tuple[np.ndarray, np.ndarray]:
        """Energies of all states, eV, and electrons that each holds, ``(states,)``."""
        # Full bands hold their electrons, though printed weights do not sum to 1 or 2.
        total = self.kpoint_weights.sum()
        weights = self.kpoint_weights[:, None] * (round(total) / total)
        spread = np.broadcast_to(weights, self.eigenvalues.shape)
        return self.eigenvalues.ravel(), spread.ravel()

    @property
    def lowest(self) -> float:
        """Energy of the lowest state, eV."""
        return float(self.eigenvalues.min())

    @property
    def complete(self) -> float:
        """Energy up to which no state is missing, eV: where the highest band begins."""
        return float(self.eigenvalues.max(axis=-1).min())

    @property
    def channels(self) -> int:
        """Number of spin channels; 0 with spinors, in bands of one electron each."""
        # The weights sum to 1 or, within their rounding, to 2.
        channels = len(self.eigenvalues)
        return 0 if channels == 1 and self.kpoint_weights.sum() < 1.5 else channels


def calculation_to_atoms(calculation: Calculation) -> ase.Atoms:
    """
    Copy the structure, with everything that ``read_extxyz`` needs in its info.

    The eigenvalues become one flat list: spin channels outermost, then k-points, then
    bands. ``spin_channels`` is only there when there are two.

    :param calculation: calculation to write
    :return: structure for ``ase.io.write(..., format="extxyz")``
    """
    atoms = calculation.atoms.copy()
    for key in INFO_KEYS:
        atoms.info.pop(key, None)
        value = getattr(calculation, key, None)
        if value is not None:
            atoms.info[key] = value.ravel() if isinstance(value, np.ndarray) else value
    if len(calculation.eigenvalues) == 2:
        atoms.info["spin_channels"] = 2
    return atoms


def check_structure(atoms: ase.Atoms) -> None:
    """Refuse a structure without atoms, with unknown elements or infinite numbers."""
    numbers = atoms.numbers
    if len(atoms) == 0 or numbers.min() < 1 or numbers.max() > LAST_ELEMENT:
        raise InputError(
            f"atoms: expected atomic numbers from 1 to {LAST_ELEMENT}, got "
            f"{sorted(set(numbers.tolist()))}; check the chemical symbols"
        )
    check_finite("positions", atoms.positions)
    check_finite("cell", atoms.cell.array)


def check_finite(name: str, values: np.ndarray) -> None:
    """Refuse NaN and infinity, and name the argument."""
    if not np.isfinite(values).all():
        raise InputError(
            f"{name}: expected finite numbers, got "
            f"{np.count_nonzero(~np.isfinite(values))} that are not; check whether the "
            "calculation finished"
        )


def _check_bands(shape: tuple[int, ...], weights: np.ndarray) -> float:
    """Check weights against the shape of the bands; return the electrons they hold."""
    channels, kpoints, bands = shape
    if channels not in (1, 2):
        raise InputError(
            f"eigenvalues: expected 1 or 2 spin channels, got {channels} in shape "
            f"{shape}; order the axes as (spin channels, k-points, bands)"
        )
    if len(weights) != kpoints:
        raise InputError(
            f"kpoint_weights: expected one for each of the {kpoints} k-points of the "
            f"eigenvalues, got {len(weights)}; check which axis holds the k-points"
        )
    if weights.min() <= 0:
        raise InputError(
            f"kpoint_weights: expected positive numbers, got {weights.min():g}; leave "
            "k-points out that count for nothing"
        )
    total = float(weights.sum())
    sums = (1, 2) if channels == 1 else (1,)
    if all(abs(total - allowed) > WEIGHT_SUM_TOLERANCE for allowed in sums):
        raise InputError(
            f"kpoint_weights: expected a sum of {' or '.join(map(str, sums))} where "
            f"spin channels are {channels}, got {total:g}; scale them to the electrons "
            "that a band holds: 2 without spin, else 1"
        )
    return total * channels * bands


def finite_array(name: str, value: Any, axes: tuple[str, ...]) -> np.ndarray:
    """Convert to float64; refuse other axes than those named, and infinite numbers."""
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise InputError(
            f"{name}: expected real numbers, got {array.dtype}; convert them to floats"
        )
    if array.ndim != len(axes) or array.size == 0:
        raise InputError(
            f"{name}: expected shape ({', '.join(axes)}) and no empty axis, got "
            f"{array.shape}; reshape it"
        )
    check_finite(name, array)
    return array.astype(np.float64)


def finite_number(name: str, value: Any) -> float | None:
    """Convert to a finite float, or refuse; keep ``None``."""
    if value is None:
        return None
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not (is_number and np.isfinite(float(value))):
        raise InputError(
            f"{name}: expected a finite number or None, got {shorten(value)}; leave it "
            "out if it is not known"
        )
    return float(value)
