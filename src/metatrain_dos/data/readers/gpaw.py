"""Read the files that GPAW restarts from."""

import json
import math
import os
import struct
from pathlib import Path
from typing import Any, BinaryIO

import ase
import numpy as np
from ase.io import ulm

from ...utils.compressed import open_seekable
from ..calculation import Calculation, InputError
from ._common import check_claim, label, make_calculation, reads


# Versions of the file. Before the first, names are different; before the second, the
# occupations of non-collinear calculations are.
OLDEST, OLDEST_NONCOLLINEAR = 3, 7
# Bands that fewer electrons than this are in count as empty.
EMPTY = 1e-6


@reads("a .gpw file of GPAW")
def read_gpw(path: str | Path) -> Calculation:
    """
    Read the ``.gpw`` file of GPAW, for which GPAW itself is not needed.

    Only bands that GPAW was told to converge are taken: by default those with
    electrons, so that calculations for a density of states should set
    ``convergence={"bands": n}``. The others are in the file, but are no result.

    :param path: file that ``calc.write`` has written
    :return: the calculation
    :raises ValueError: if the file cannot be read, is not complete, has not converged,
        or has k-points along a path
    """
    with open_seekable(path) as stream:
        # Arrays are binary and the rest is JSON: nothing in the file is executed.
        size = stream.seek(0, os.SEEK_END)
        _check_announced(stream, size)
        file = ulm.Reader(stream)
        atoms, waves, parameters = file.atoms, file.wave_functions, file.parameters
        version = file.version
        # Files of version 7 have results only if the density was found.
        converged = file.scf.converged if "scf" in file else "energy" in file.results
        kpoints = parameters.get("kpts")
        wanted = parameters.get("convergence", {}).get("bands", "occupied")
        structure = ase.Atoms(
            numbers=_array(atoms, "numbers", size),
            positions=_array(atoms, "positions", size),
            cell=atoms.cell,
            pbc=atoms.pbc,
        )
        eigenvalues = _array(waves, "eigenvalues", size)
        occupations = _array(waves, "occupations", size)
        weights = _array(waves.kpts, "weights", size)
        levels = _array(waves, "fermi_levels", size)
        points = _array(waves.kpts, "ibzkpts", size)
        results = file.results
        energy = results.get("free_energy", results.get("energy"))
        forces, stress = (
            _array(results, name, size) if name in results else None
            for name in ("forces", "stress")
        )
    label(structure, energy, forces, stress)
    _check(version, converged, kpoints, eigenvalues.ndim)
    # Occupations are between 0 and 1; the weights of a .gpw file sum to 1.
    if eigenvalues.ndim == 2:
        eigenvalues, occupations = eigenvalues[None], occupations[None]
    else:
        weights = weights * (2 / len(eigenvalues))
    bands = _converged_bands(wanted, occupations)
    return make_calculation(
        atoms=structure,
        eigenvalues=eigenvalues[..., :bands],
        kpoint_weights=weights,
        kpoints=points,
        # A calculation with a fixed magnetic moment has one for each channel.
        fermi_level=levels[0] if len(levels) == 1 else None,
        n_electrons=(weights[:, None] * occupations).sum(),
    )


def _check_announced(stream: BinaryIO, size: int) -> None:
    """Read the JSON of a file once before ASE, which takes all counts at their word."""
    stream.seek(0)
    if stream.read(8) != b"- of Ulm":
        raise InputError(
            "expected a file of GPAW 1.0 or later, got another format; read the file "
            "with an old GPAW, or run it again"
        )
    stream.seek(32)  # behind magic, tag and version
    items, place = _integers(stream, 2)
    if not 0 < items <= size // 8:
        raise InputError(f"expected a complete file, got {items} items in {size} bytes")
    stream.seek(place)
    [begin] = _integers(stream, 1)
    stream.seek(begin)
    [length] = _integers(stream, 1)
    if not 0 < length <= size:
        raise InputError(
            f"expected a complete file, got {length} bytes of JSON in {size} bytes"
        )
    json.loads(stream.read(length), object_hook=_check_object)


def _integers(stream: BinaryIO, count: int) -> tuple[int, ...]:
    """Read some integers."""
    return struct.unpack(f"<{count}q", stream.read(8 * count))


def _check_object(entry: dict[str, Any]) -> dict[str, Any]:
    """Refuse JSON that ASE would make a large array of."""
    if "__ndarray__" in entry:
        shape, dtype, numbers = entry["__ndarray__"]
        if math.prod(shape) > len(numbers) or np.dtype(dtype).kind not in "biufc":
            raise InputError(
                f"expected arrays of numbers, got {dtype} of shape {shape} from "
                f"{len(numbers)} numbers; check whether the file is complete"
            )
    return entry


def _array(file: ulm.Reader, name: str, size: int) -> np.ndarray:
    """Read an array, whose header may claim more than a file of that size holds."""
    proxy = file.proxy(name)
    check_claim(name, proxy.shape, proxy.dtype, size)
    return proxy.read()


def _check(version: int, converged: bool, kpoints: Any, axes: int) -> None:
    """Refuse calculations that give no density of states."""
    oldest = OLDEST if axes == 3 else OLDEST_NONCOLLINEAR
    if version < oldest:
        raise InputError(
            f"version: expected {oldest} or later, got {version}; read the file with a "
            "newer GPAW and write it again"
        )
    if not converged:
        raise InputError(
            f"converged: expected true, got {converged}; run GPAW until it finds the "
            "self-consistent density"
        )
    if hasattr(kpoints, "path") or (isinstance(kpoints, dict) and "path" in kpoints):
        raise InputError(
            "kpts: expected a grid, got a path; run GPAW with a k-point grid"
        )


def _converged_bands(wanted: int | str, occupations: np.ndarray) -> int:
    """Count the bands that GPAW was told to converge."""
    bands = occupations.shape[-1]
    if wanted == "all":
        return bands
    if isinstance(wanted, int):
        return min(wanted, bands) if wanted > 0 else bands + wanted
    # "occupied", or everything up to some energy, which includes that.
    return int((occupations > EMPTY).any(axis=(0, 1)).sum())
