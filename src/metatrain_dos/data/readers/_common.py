"""Units, error messages, checks and structures that several readers share."""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

import ase
import numpy as np
from ase.data import atomic_numbers
from ase.stress import voigt_6_to_full_3x3_stress

from ...utils.compressed import open_bytes
from ...utils.text import shorten
from ..calculation import Calculation, InputError
from ._grids import check_distances, is_path


F = TypeVar("F", bound=Callable[..., Any])

# CODATA 2018, as in Quantum ESPRESSO; those in ase.units are older.
BOHR = 0.529177210903
HARTREE = 27.211386245988
ATOMIC_UNITS = HARTREE, HARTREE / BOHR, HARTREE / BOHR**3
"""Units of energy, force and stress, for :func:`label`."""

NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")

# Largest difference of the eigenvalues of the same run, eV
SAME_RUN = 1e-3

# Arrays may be compressed, but those of calculations never by much.
LARGEST_RATIO = 20

HEAD = 4096
"""Size of the beginning of a file, by which formats are told apart, bytes."""


def head(path: Path) -> bytes:
    """Read the beginning of a file, compressed or not."""
    with open_bytes(path) as stream:
        return stream.read(HEAD)


@contextmanager
def reading(path: Path | str, kind: str) -> Iterator[None]:
    """
    Name the file in every error, and explain those that no user could understand.

    Incomplete or damaged files make parsers fail in ways that cannot be listed.

    :param path: file that is read, and where in it
    :param kind: description of a correct file
    :raises ValueError: instead of any other exception
    """
    try:
        yield
    except InputError as error:
        raise ValueError(f"{path}: {error}") from error
    except MemoryError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.strerror:  # not of a library
            problem = f"but it cannot be opened ({error.strerror}); check the path"
        else:
            problem = (
                "got content that is incomplete or damaged; check whether the run "
                "finished"
            )
        raise ValueError(f"{path}: expected {kind}, {problem}") from error


def reads(kind: str) -> Callable[[F], F]:
    """
    Make a function name the file that it reads in every error, as :func:`reading` does.

    :param kind: description of a correct file
    :return: decorator of a function whose first argument is the path
    """

    def decorate(read: F) -> F:
        @wraps(read)
        def named(path: str | Path, *arguments: Any, **options: Any) -> Any:
            with reading(path, kind):
                return read(path, *arguments, **options)

        return cast(F, named)

    return decorate


def crystal(
    elements: Sequence[str] | np.ndarray, scaled_positions: np.ndarray, cell: np.ndarray
) -> ase.Atoms:
    """
    Make a periodic structure from fractional coordinates.

    :param elements: symbols or atomic numbers, ``(atoms,)``
    :param scaled_positions: fractional coordinates, ``(atoms, 3)``
    :param cell: one vector in each row, ``(3, 3)``, Å
    :return: the structure
    :raises InputError: if the cell has no volume, or a symbol is of no element
    """
    if np.shape(cell) != (3, 3) or np.linalg.matrix_rank(cell) != 3:
        raise InputError(
            f"cell: expected three vectors that span a volume, got {np.array(cell)}; "
            "check whether the file is complete"
        )
    unknown = {str(name) for name in elements if isinstance(name, str)} - {
        *atomic_numbers
    }
    if unknown:
        raise InputError(
            f"elements: expected chemical symbols, got {', '.join(sorted(unknown))}; "
            "name the species after their elements"
        )
    return ase.Atoms(elements, cell=cell, scaled_positions=scaled_positions, pbc=True)


def make_calculation(
    atoms: ase.Atoms,
    eigenvalues: np.ndarray,
    kpoint_weights: np.ndarray,
    kpoints: np.ndarray | None,
    **more: Any,
) -> Calculation:
    """
    Make a calculation of the k-points that have a weight.

    :param atoms: its structure; like the others, a field of the class
    :param more: further fields
    :return: the calculation
    :raises InputError: as the class, and if the k-points are a path, or two atoms are
        too close
    """
    counted = kpoint_weights != 0
    if counted.any() and not counted.all():
        kpoints = None if kpoints is None else kpoints[counted]
        eigenvalues, kpoint_weights = eigenvalues[:, counted], kpoint_weights[counted]
    check_distances(atoms)
    made = Calculation(atoms, eigenvalues, kpoint_weights, kpoints=kpoints, **more)
    if made.kpoints is not None and is_path(made.kpoints, made.kpoint_weights):
        raise InputError(
            f"kpoints: expected a grid, got a path of {len(made.kpoints)} points; "
            "compute the bands on a k-point grid"
        )
    return made


def each_step(
    make: Callable[[int], Calculation], steps: Iterable[int]
) -> Iterator[Calculation]:
    """
    Make the calculations of all steps, counted from 1, that can be used.

    :raises InputError: after the others, if steps cannot be used
    """
    problems: list[str] = []
    for step in steps:
        try:
            calculation = make(step)
        except InputError as error:
            problems.append(f"step {step}: {error}")
        else:
            yield calculation
    if problems:
        others = f" (and {len(problems) - 1} more steps)" if problems[1:] else ""
        raise InputError(problems[0] + others)


def check_claim(name: str, shape: tuple[int, ...], dtype: np.dtype, size: int) -> None:
    """Refuse an array whose header claims far more bytes than its file has."""
    if math.prod(shape) * dtype.itemsize > LARGEST_RATIO * size:
        raise InputError(
            f"{name}: expected an array that fits a file of {size} bytes, got shape "
            f"{shape}; check whether the file is complete"
        )


def check_same_run(
    expected: np.ndarray, found: np.ndarray, names: tuple[str, str], fix: str
) -> None:
    """
    Refuse projections whose eigenvalues are not those of the calculation.

    :param expected: eigenvalues of the calculation, eV
    :param found: those beside the projections, in the same order, eV
    :param names: files that they are from, for the error
    :param fix: next step, for the error
    :raises InputError: if they differ
    """
    if (
        expected.size != found.size
        or np.abs(expected.ravel() - found.ravel()).max() > SAME_RUN
    ):
        raise InputError(
            f"projections: expected the eigenvalues of {names[0]} in {names[1]}, got "
            f"others; {fix}"
        )


def label(
    atoms: ase.Atoms,
    energy: float | np.ndarray | None,
    forces: np.ndarray | None = None,
    stress: np.ndarray | None = None,
    *,
    units: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> None:
    """
    Keep other results with a structure, for models that learn them beside the DOS.

    Results that are not known, or not finite, are left out.

    :param atoms: structure, which is changed
    :param energy: energy with which the forces are consistent
    :param forces: forces, ``(atoms, 3)``
    :param stress: stress, ``(3, 3)``, or ``(6,)`` as xx, yy, zz, yz, xz, xy
    :param units: of the three, in eV, eV/Å, and eV/Å³, positive where a positive stress
        stretches the cell
    """
    if energy is not None and np.isfinite(energy):
        atoms.info["energy"] = float(energy) * units[0]
    if forces is not None and np.isfinite(forces).all():
        atoms.set_array("forces", forces * units[1], dtype=np.float64, shape=(3,))
    if stress is not None and np.isfinite(stress).all():
        is_voigt = stress.shape == (6,)
        stress = voigt_6_to_full_3x3_stress(stress) if is_voigt else stress
        atoms.info["stress"] = stress * units[2]


def maybe(text: str | None) -> float | None:
    """Read a number that may be missing, or asterisks where it did not fit."""
    text = (text or "").strip()
    return float(text) if NUMBER.fullmatch(text) else None


def shown(value: float) -> str:
    """Show two digits of a number in a message, or that the run has none."""
    return f"{value:.2g}" if math.isfinite(value) else "none that can be read"


def rectangular(bands: Sequence[Sequence[Sequence[float] | np.ndarray]]) -> np.ndarray:
    """
    Convert nested lists to eigenvalues.

    :param bands: energies by spin channel, k-point and band
    :return: eigenvalues, ``(spin channels, k-points, bands)``
    :raises InputError: if k-points have different numbers of bands
    """
    sizes = sorted({np.size(energies) for channel in bands for energies in channel})
    if len(sizes) != 1 or len({len(channel) for channel in bands}) != 1:
        raise InputError(
            "eigenvalues: expected the same number of bands at every k-point, got "
            f"{sizes}; check whether the output is complete"
        )
    return np.array(bands, dtype=np.float64)


def numbers(text: str | None, name: str) -> np.ndarray:
    """
    Read numbers from text, separated by white space, ``(numbers,)``.

    :raises InputError: if there are none, or anything else, such as asterisks where
        a number did not fit into its columns
    """
    words = (text or "").split()
    try:
        if words:
            return np.array(words, dtype=np.float64)
    except ValueError:
        pass
    bad = next((word for word in words if not NUMBER.fullmatch(word)), "nothing")
    raise InputError(
        f"{name}: expected numbers, got {shorten(bad)}; check whether the run "
        "finished, and whether the number fits its columns"
    )
