"""
Compare estimated k-point errors of a DOS with the differences from a dense grid.

.. code-block:: bash

    python benchmarks/bench_kpoints.py

Takes every second, third and fourth point along each axis of the grids of
``examples/data``, and knows nothing of the others when it estimates. The second table
is about cures: the error that is left if the bands are interpolated, and if the DOS
is smeared more, with the best width for each structure.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from metatrain_dos.data.calculation import Calculation
from metatrain_dos.data.dos import density_of_states
from metatrain_dos.data.grid import EnergyGrid
from metatrain_dos.data.kpoint_error import full_grid, kpoint_error, refine
from metatrain_dos.data.readers import read_extxyz


DATA = Path(__file__).parent.parent / "examples" / "data" / "structures.xyz.xz"
SMEARINGS = (0.1, 0.2, 0.3, 0.5)  # eV
WIDER = (1.0, 1.15, 1.3, 1.6, 2.0, 2.5)


def pairs() -> Iterator[tuple[Calculation, np.ndarray, np.ndarray]]:
    """Iterate over bands on a dense and a coarse grid, with the calculation."""
    for calculation in read_extxyz(DATA):
        bands = full_grid(calculation)
        if bands is None or bands[0, ..., 0].size == 1:
            continue  # a molecule
        for every in (2, 3, 4):
            if not any(size % every and size > 1 for size in bands.shape[1:4]):
                steps = (
                    slice(None, None, every if n > 1 else 1) for n in bands.shape[1:4]
                )
                yield calculation, bands, bands[(slice(None), *steps)]


def coarse_calculation(calculation: Calculation, bands: np.ndarray) -> Calculation:
    """Make a calculation of bands on a grid around Gamma."""
    axes = [np.arange(size) / size for size in bands.shape[1:4]]
    kpoints = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    weights = np.full(len(kpoints), 2 / len(kpoints))
    flat = bands.reshape(1, len(kpoints), -1)
    return replace(
        calculation, eigenvalues=flat, kpoints=kpoints, kpoint_weights=weights
    )


def densities(
    calculation: Calculation,
    smearing: float,
    *bands: np.ndarray,
    width: float | None = None,
) -> list[np.ndarray]:
    """Compute the DOS of some grids over the trusted range."""
    last = calculation.complete - 3 * smearing
    first = calculation.lowest - 3 * smearing
    grid = EnergyGrid.covering(first, last, smearing / 3)
    flat = [each.reshape(1, -1, each.shape[-1]) for each in bands]
    weights = [np.full(each.shape[1], 2 / each.shape[1]) for each in flat]
    return [
        density_of_states(*each, grid, width or smearing)[0]
        for each in zip(flat, weights, strict=True)
    ]


def difference(wrong: np.ndarray, right: np.ndarray) -> float:
    """Compute the RMS error as a fraction of the RMS size."""
    return float(np.linalg.norm(wrong - right) / np.linalg.norm(right))


def main() -> None:
    found = list(pairs())
    print(f"{len(found)} pairs of grids")
    print(
        "smearing  error of the coarse grid  estimate / error      within a factor of 2"
    )
    for smearing in SMEARINGS:
        errors, ratios = [], []
        for calculation, dense, coarse in found:
            right, wrong = densities(calculation, smearing, dense, coarse)
            errors.append(difference(wrong, right))
            estimate = kpoint_error(coarse_calculation(calculation, coarse), smearing)
            ratios.append(estimate / errors[-1])
        low, middle, high = np.quantile(errors, (0.05, 0.5, 0.95))
        few, usual, many = np.quantile(ratios, (0.05, 0.5, 0.95))
        close = np.mean((np.array(ratios) > 0.5) & (np.array(ratios) < 2))
        print(
            f"{smearing:.1f} eV    {middle:.2f} ({low:.2f} to {high:.2f})       "
            f"{usual:.2f} ({few:.2f} to {many:.2f})   {close:.0%}"
        )
    cures = []
    for calculation, dense, coarse in found:
        right, *wrong = densities(calculation, 0.3, dense, coarse, refine(coarse))
        wider = (
            densities(calculation, 0.3, coarse, width=0.3 * factor)[0]
            for factor in WIDER
        )
        errors = [difference(each, right) for each in wrong]
        cures.append((*errors, min(difference(each, right) for each in wider)))
    plain, interpolated, wider = np.array(cures).T
    print("\nerror left at 0.3 eV, median, as a fraction of that of the coarse grid")
    print(f"interpolated bands       {np.median(interpolated / plain):.2f}")
    print(f"best of {len(WIDER)} smearings      {np.median(wider / plain):.2f}")
    print(f"interpolation better in {np.mean(interpolated < wider):.0%}")


if __name__ == "__main__":
    main()
