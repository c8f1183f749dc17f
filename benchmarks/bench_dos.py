"""
Time eigenvalues to density of states against the sum of Gaussians, in one process.

10^5 eigenvalues on 4000 points, medians over rounds, and the largest difference as a
fraction of the peak. The sum is evaluated k-point by k-point to bound its memory.
"""

import argparse
import statistics
import time
import tracemalloc

import numpy as np

from metatrain_dos import EnergyGrid, density_of_states


def sum_of_gaussians(eigenvalues, weights, grid, smearing):
    dos = np.zeros(grid.size)
    for energies, weight in zip(eigenvalues, weights, strict=True):
        x = (grid.energies[:, None] - energies) / smearing
        dos += weight * np.exp(-0.5 * x**2).sum(1)
    return dos / (smearing * np.sqrt(2 * np.pi))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds

    rng = np.random.default_rng(0)
    grid = EnergyGrid(-100.0, 0.05, 4000)
    eigenvalues = rng.uniform(-105, 105, (1000, 100))
    weights = rng.uniform(0.001, 0.003, 1000)
    functions = {"ours": density_of_states, "sum of Gaussians": sum_of_gaussians}
    print(
        "smearing   sum of Gaussians / ours   largest difference / peak   peak memory"
    )
    for smearing in (0.05, 0.1, 0.3, 1.0):
        times = {name: [] for name in functions}
        values = {}
        for _ in range(rounds):
            for name, function in functions.items():
                start = time.perf_counter()
                values[name] = function(eigenvalues, weights, grid, smearing)
                times[name].append(time.perf_counter() - start)
        tracemalloc.start()
        density_of_states(eigenvalues, weights, grid, smearing)
        memory = tracemalloc.get_traced_memory()[1] / eigenvalues.nbytes
        tracemalloc.stop()
        ours, dense = (statistics.median(times[name]) for name in functions)
        error = np.abs(np.subtract(*values.values())).max()
        error /= values["sum of Gaussians"].max()
        print(
            f"{smearing:5.2f} eV   {dense / ours:20.0f}   {error:25.1e}   "
            f"{memory:.0f} x the eigenvalues"
        )


if __name__ == "__main__":
    main()
