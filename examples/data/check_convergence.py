"""Compare targets of the example data set with those of a k-point grid twice as fine.

Goes on from the work folder of ``generate.py``, and writes a table: for each structure
the two grids, and the RMS difference of the two densities of states over the range that
both trust, as a fraction of the RMS size of the finer one::

    python check_convergence.py --index 1

Rows that the table has for the same grids are kept.
"""

import argparse
import csv
import itertools
from pathlib import Path

import numpy as np
from ase import Atoms
from generate import (
    HERE,
    MATERIALS,
    Task,
    dense_grid,
    distort,
    find_bands,
    grid_kpoints,
    interpolation_of,
    is_crystal,
)
from tqdm import tqdm

from metatrain_dos.grid import EnergyGrid
from metatrain_dos.targets import DEFAULT_SMEARING, density_of_states, trust_mask


COLUMNS = ("material", "index", "grid", "finer_grid", "rms_difference")
LENGTH_TOLERANCE = 1e-4  # Angstrom, for what is the same by symmetry


def rotations(atoms: Atoms) -> np.ndarray:
    """
    Find the rotations of a crystal and, for k and -k being the same, the inversion.

    :param atoms: structure
    :return: what they do to fractional coordinates, ``(rotations, 3, 3)``, int
    """
    metric = atoms.cell.array @ atoms.cell.array.T
    start = atoms.get_scaled_positions()
    found = []
    for entries in itertools.product((-1, 0, 1), repeat=9):
        rotation = np.reshape(entries, (3, 3))
        if not np.allclose(rotation.T @ metric @ rotation, metric, atol=1e-4):
            continue
        moved = start @ rotation.T
        # Some atom of the same element is where the first one comes to be.
        for target in start[atoms.numbers == atoms.numbers[0]]:
            difference = moved[:, None] + (target - moved[0]) - start
            difference -= np.rint(difference)
            near = np.linalg.norm(difference @ atoms.cell.array, axis=2)
            near[atoms.numbers[:, None] != atoms.numbers] = np.inf
            if near.min(axis=1).max() < LENGTH_TOLERANCE:
                found += [rotation, -rotation]
                break
    return np.unique(found, axis=0)


def irreducible_kpoints(
    atoms: Atoms, grid: tuple[int, int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """
    List the points of a Gamma-centred grid that differ by symmetry.

    :param atoms: structure
    :param grid: points along the reciprocal lattice vectors
    :return: points relative to these vectors, ``(k-points, 3)``, and the electrons that
        a band holds at each
    """
    index = np.indices(grid).reshape(3, -1).T
    number = np.arange(len(index))
    smallest = number.copy()
    for rotation in rotations(atoms):
        image = (index / grid) @ rotation * grid
        whole = np.rint(image).astype(int)
        if np.abs(image - whole).max() > 1e-6:
            continue  # the grid has not got this symmetry
        image_number = np.ravel_multi_index(tuple((whole % grid).T), grid)
        smallest = np.minimum(smallest, image_number)
    first, counts = np.unique(smallest, return_counts=True)
    return index[first] / grid, 2 * counts / len(index)


def difference(
    energies: np.ndarray,
    weights: np.ndarray,
    finer_energies: np.ndarray,
    finer_weights: np.ndarray,
) -> float:
    """
    Compare the DOS of two grids.

    :param energies: energies of the states, ``(k-points, bands)``, eV
    :param weights: electrons that a band holds at each k-point
    :param finer_energies: the same of the finer grid
    :param finer_weights: the same of the finer grid
    :return: RMS of the difference over the range that both trust, as a fraction of that
        of the DOS of the finer grid
    """
    start = finer_energies.min() - 10 * DEFAULT_SMEARING
    size = int(np.ptp(finer_energies) / 0.05) + 200
    grid = EnergyGrid(origin=float(start), spacing=0.05, size=size)
    mask = trust_mask(energies, grid) & trust_mask(finer_energies, grid)
    dos = density_of_states(energies, weights, grid)[mask]
    finer = density_of_states(finer_energies, finer_weights, grid)[mask]
    return float(np.sqrt(np.mean((dos - finer) ** 2) / np.mean(finer**2)))


def check(task: Task, factor: float) -> dict[str, object]:
    """
    Make one row of the table.

    :param task: calculation that ``generate.py`` has finished
    :param factor: how much finer the other grid is
    :return: row
    """
    grid = dense_grid(task.material, task.index)
    finer = finer_grid(grid, factor)
    if task.index == 0:
        kpoints, weights = irreducible_kpoints(distort(task.material, 0), finer)
    else:
        kpoints, weights = grid_kpoints(finer)
    error = difference(
        find_bands(task, grid),
        grid_kpoints(grid)[1],
        interpolation_of(task).energies(kpoints),
        weights,
    )
    return {
        "material": task.material.name,
        "index": task.index,
        "grid": _name(grid),
        "finer_grid": _name(finer),
        "rms_difference": f"{error:.4f}",
    }


def finer_grid(grid: tuple[int, int, int], factor: float) -> tuple[int, int, int]:
    """Multiply the points of a grid, but along axes that have one."""
    first, second, third = (1 if n == 1 else round(factor * n) for n in grid)
    return first, second, third


def _name(grid: tuple[int, int, int]) -> str:
    """Write a grid in the way of the table."""
    return "x".join(map(str, grid))


def main() -> None:
    """Compare the structures that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--work", type=Path, default=HERE / "work")
    parser.add_argument("--output", type=Path, default=HERE / "convergence.csv")
    parser.add_argument("--index", type=int, nargs="+", default=list(range(7)))
    parser.add_argument("--factor", type=float, default=2)
    parser.add_argument("--only", nargs="+", metavar="MATERIAL")
    arguments = parser.parse_args()
    tasks = [
        Task(material, index, arguments.work / f"{material.name}-{index}")
        for index in arguments.index
        for material in MATERIALS
        if is_crystal(material)
        and (arguments.only is None or material.name in arguments.only)
    ]
    rows = {}
    if arguments.output.exists():
        with arguments.output.open(newline="") as file:
            for row in csv.DictReader(file):
                rows[row["material"], int(row["index"])] = row
    for task in tqdm(tasks):
        grid = dense_grid(task.material, task.index)
        expected = (_name(grid), _name(finer_grid(grid, arguments.factor)))
        row = rows.get((task.material.name, task.index), {})
        if (row.get("grid"), row.get("finer_grid")) == expected:
            continue
        rows[task.material.name, task.index] = check(task, arguments.factor)
        order = [material.name for material in MATERIALS]
        with arguments.output.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            for key in sorted(rows, key=lambda key: (order.index(key[0]), key[1])):
                writer.writerow(rows[key])


if __name__ == "__main__":
    main()
