"""Read densities of states that other tools have saved: pymatgen, deepmd-kit, NumPy."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import ase
import numpy as np

from ...utils.compressed import open_text
from ..calculation import InputError
from ..gridded_dos import GriddedDOS
from ._common import check_claim, crystal, reading, reads
from ._dos import electrons_below, smearing_or
from ._grids import check_distances
from ._vasp_text import structure


# Electrons of an atom: one, but for states that the grid misses or cuts in two.
FEWEST = 0.9

HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
"""Version of a file of one array -> function that reads its header."""


def read_dos_json(
    path: str | Path, smearing: float | None = None
) -> Iterator[GriddedDOS]:
    """
    Read every ``CompleteDos`` of pymatgen in a JSON file, such as Materials Project's.

    A ``Dos`` has no structure, which ``CONTCAR`` or ``POSCAR`` beside it then gives.
    The number of electrons is the whole number at the Fermi level, if it is one.

    :param path: file with one of them, or any lists and objects around several
    :param smearing: standard deviation of its own Gaussians, eV, which the file does
        not say; 0 for tetrahedra
    :return: densities of states in the order of the file
    :raises ValueError: if the file cannot be read, has none, or lacks a structure
    """
    path = Path(path)
    with reading(path, "CompleteDos of pymatgen as JSON"):
        with open_text(path) as stream:
            found = list(_find_dos(json.load(stream)))
        if not found:
            raise InputError(
                "@class: expected Dos or CompleteDos, got neither; save the total DOS"
            )
        for each in found:
            yield _from_pymatgen(path, each, smearing_or(None, smearing))


def _find_dos(content: Any) -> Iterator[dict[str, Any]]:
    """Search JSON for densities of states."""
    if isinstance(content, dict):
        if content.get("@class") in ("Dos", "CompleteDos"):
            yield content
        else:
            content = list(content.values())
    if isinstance(content, list):
        for each in content:
            yield from _find_dos(each)


def _from_pymatgen(path: Path, content: dict[str, Any], smearing: float) -> GriddedDOS:
    """Convert a density of states."""
    energies = np.array(_plain(content["energies"]), dtype=np.float64)
    channels = [np.array(_plain(d), float) for d in content["densities"].values()]
    if "structure" in content:
        sites = content["structure"]["sites"]
        if any(len(site["species"]) != 1 for site in sites):
            raise InputError(
                "structure: expected one element on each site, got several; leave "
                "disordered structures out"
            )
        atoms = crystal(
            [site["species"][0]["element"] for site in sites],
            np.array([site["abc"] for site in sites], dtype=np.float64),
            np.array(content["structure"]["lattice"]["matrix"], dtype=np.float64),
        )
    else:
        atoms = structure(path.with_name("DOSCAR"), None)
    dos = GriddedDOS.from_samples(
        check_distances(atoms),
        energies,
        np.array(channels),
        smearing=smearing,
        fermi_level=content.get("efermi"),
    )
    edges = dos.edges
    if smearing > 0:
        # With Gaussians, VASP gives the mean since the energy before.
        edges = edges - np.diff(edges).mean() / 2
    electrons = electrons_below(edges, dos.states, dos.fermi_level)
    level = dos.fermi_level
    below = dos.states.sum(axis=0)[edges[1:] <= (level or edges[-1])].sum()
    if level is not None and 0 < below < FEWEST * len(atoms):
        raise InputError(
            f"densities: expected at least one electron of each atom below the Fermi "
            f"level, got {below:.3g} of {len(atoms)} atoms, as where pymatgen divides "
            "by the volume; save the DOS without normalize=True"
        )
    return GriddedDOS(atoms, edges, dos.states, smearing, level, electrons)


def _plain(value: Any) -> Any:
    """Take the numbers out of an array that monty has saved."""
    return value["data"] if isinstance(value, dict) else value


def files_of_system(path: Path) -> Iterator[Path]:
    """Find the files, and folders, of a system of deepmd-kit."""
    for pattern in ("type_map.raw", "nopbc", "set.*"):
        yield from path.parent.glob(pattern)


def read_deepmd(
    path: str | Path,
    smearing: float | None = None,
    energy_range: tuple[float, float] | None = None,
) -> Iterator[GriddedDOS]:
    """
    Read a system of deepmd-kit, whose ``dos.npy`` has no energies.

    :param path: its ``type.raw``, beside ``type_map.raw`` and ``set.*``
    :param smearing: standard deviation of its own Gaussians, eV
    :param energy_range: first and last energy of the densities of states, eV
    :return: densities of states in the order of the sets
    :raises ValueError: if the files cannot be read or do not fit
    """
    path = Path(path)
    with reading(path, "a system of deepmd-kit with type_map.raw and set.*/dos.npy"):
        if energy_range is None:
            raise InputError(
                "energies: expected those of dos.npy, which has none itself; give the "
                "first and the last with --dos-range"
            )
        width = smearing_or(None, smearing)
        symbols = np.array(path.with_name("type_map.raw").read_text().split())
        types = np.array(path.read_text().split(), dtype=np.int64)
        is_periodic = not path.with_name("nopbc").exists()
        for folder in sorted(path.parent.glob("set.*")):
            coord, dos = (_load(folder / f"{name}.npy") for name in ("coord", "dos"))
            boxes = np.zeros((len(dos), 9))
            if is_periodic:
                boxes = _load(folder / "box.npy")
            energies = np.linspace(*energy_range, dos.shape[1])
            mixed = folder / "real_atom_types.npy"
            each_types = _load(mixed) if mixed.exists() else [types] * len(dos)
            for frame in range(len(dos)):
                atoms = ase.Atoms(
                    list(symbols[each_types[frame]]),
                    positions=coord[frame].reshape(-1, 3),
                    cell=boxes[frame].reshape(3, 3),
                    pbc=is_periodic,
                )
                yield GriddedDOS.from_samples(
                    check_distances(atoms), energies, dos[frame], smearing=width
                )


@reads("arrays of a density of states")
def read_dos_npz(path: str | Path, smearing: float | None = None) -> GriddedDOS:
    """
    Read a density of states from arrays that ``numpy.savez`` has written.

    They are ``numbers``, ``positions`` (Å), ``cell`` (Å, rows; absent for a molecule),
    ``energies`` (eV) and ``dos`` (states/eV, ``(energies,)`` or ``(2, energies)``), and
    where they are known ``smearing`` (standard deviation, eV), ``fermi_level`` (eV),
    ``n_electrons`` and ``end`` (eV, up to which all bands were computed).

    :param path: file whose name has ``dos`` in it
    :param smearing: standard deviation of its own Gaussians, eV, where the file does
        not say it
    :return: the density of states
    :raises ValueError: if the file cannot be read, or lacks an array
    """
    path = Path(path)
    # NumPy does not close it where it is damaged.
    with path.open("rb") as stream, np.load(stream) as arrays:
        for name in arrays.zip.namelist():
            with arrays.zip.open(name) as member:
                _check_header(member, name, path.stat().st_size)
        missing = {"numbers", "positions", "energies", "dos"} - {*arrays}
        if missing:
            raise InputError(
                f"{', '.join(sorted(missing))}: expected among the arrays, got only "
                f"{', '.join(arrays)}; add them"
            )
        known = {
            name: float(arrays[name]) if name in arrays else None
            for name in ("smearing", "fermi_level", "n_electrons", "end")
        }
        width = smearing_or(known.pop("smearing"), smearing)
        atoms = ase.Atoms(
            arrays["numbers"],
            positions=arrays["positions"],
            cell=arrays.get("cell"),
            pbc="cell" in arrays,
        )
        return GriddedDOS.from_samples(
            check_distances(atoms),
            arrays["energies"],
            arrays["dos"],
            smearing=width,
            **known,
        )


def _load(path: Path) -> np.ndarray:
    """Read one array, without objects of Python."""
    with path.open("rb") as stream:
        _check_header(stream, path.name, path.stat().st_size)
    array: np.ndarray = np.load(path, allow_pickle=False)
    if array.size == 0:
        raise InputError(f"{path.name}: expected numbers, got none; check the file")
    return array


def _check_header(stream: IO[bytes], name: str, size: int) -> None:
    """Refuse an array of which NumPy would reserve more room than any file needs."""
    version = np.lib.format.read_magic(stream)
    shape, _, dtype = HEADERS[version](stream)
    check_claim(name, shape, dtype, size)
