"""
Compare the electronic entropy of smeared DOS with the sum over the eigenvalues.

Prints the error for the metals of the shipped data (ideal structures), at several
smearings and temperatures. The sentence on it in docs/predicting.md comes from here.
"""

from pathlib import Path

import numpy as np
from ase.units import kB
from scipy.optimize import brentq
from scipy.special import entr, expit

from metatrain_dos import EnergyGrid, density_of_states
from metatrain_dos.data.readers import read_extxyz
from metatrain_dos.models.thermal import thermal_properties


DATA = Path(__file__).parents[1] / "examples" / "data" / "structures.xyz.xz"
METALS = ("Al-fcc", "Cu-fcc", "Mg-hcp", "Na-bcc", "Be-hcp")
SMEARINGS = (0.05, 0.1, 0.3)


def entropy(calculation, temperature):
    """Sum the entropy over the eigenvalues, eV/K."""
    levels = calculation.eigenvalues[0]
    weights = np.broadcast_to(calculation.kpoint_weights[:, None], levels.shape)
    width = kB * temperature

    def excess(level):
        occupied = (weights * expit((level - levels) / width)).sum()
        return occupied - calculation.n_electrons

    f = expit((brentq(excess, levels.min(), levels.max()) - levels) / width)
    return kB * (weights * (entr(f) + entr(1 - f))).sum()


def main():
    print("error of the entropy at a smearing of", *SMEARINGS, "eV")
    seen = set()
    for each in read_extxyz(DATA):
        material = each.atoms.info["material"]
        if material not in METALS or material in seen:
            continue
        seen.add(material)
        levels = each.eigenvalues[0]
        grid = EnergyGrid(levels.min() - 3, 0.01, int(np.ptp(levels) / 0.01) + 600)
        for temperature in (1000, 3000):
            expected = entropy(each, temperature)
            errors = []
            for smearing in SMEARINGS:
                dos = density_of_states(levels, each.kpoint_weights, grid, smearing)
                found = thermal_properties(
                    *(dos, grid.energies, each.n_electrons, temperature),
                    smearing=smearing,
                )
                errors.append(found.entropy / expected - 1)
            print(material, f"{temperature} K", *(f"{x:+.1%}" for x in errors))


if __name__ == "__main__":
    main()
