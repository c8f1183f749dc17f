"""Calculations that are made up, each with bands of its own."""

import ase
import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator

from metatrain_dos.data.calculation import Calculation, calculation_to_atoms


def made_up(atoms, *, mesh=8, bands=6, seed=0, results=False, **info):
    """Make a structure with random bands, four electrons per atom, for extended XYZ."""
    rng = np.random.default_rng(seed)
    electrons = 4 * len(atoms)
    count = max(bands, electrons // 2 + 2)
    eigenvalues = np.sort(rng.uniform(-12, 8, (1, mesh, count)), axis=-1)
    calculation = Calculation(
        atoms=atoms,
        eigenvalues=eigenvalues,
        kpoint_weights=np.full(mesh, 2 / mesh),
        fermi_level=float(
            eigenvalues[..., electrons // 2 - 1 : electrons // 2 + 1].mean()
        ),
        n_electrons=electrons,
    )
    frame = calculation_to_atoms(calculation)
    frame.info.update(info)
    if results:
        stress = rng.normal(scale=0.01, size=6)
        frame.calc = SinglePointCalculator(
            frame,
            energy=-5.0 * len(atoms) + rng.normal(),
            forces=rng.normal(size=(len(atoms), 3)),
            stress=stress,
        )
    return frame


def crystal(seed, symbols="Si2"):
    """Make a crystal that is like no other one."""
    rng = np.random.default_rng(seed)
    cell = np.diag(rng.uniform(5, 12, 3))
    places = [[0, 0, 0], rng.uniform(0.3, 0.7, 3)]
    return ase.Atoms(symbols, cell=cell, pbc=True, scaled_positions=places)


def rattled(atoms, seed, size=0.05):
    """Displace the atoms of a structure."""
    atoms = atoms.copy()
    atoms.positions += np.random.default_rng(seed).normal(scale=size, size=(2, 3))
    return atoms
