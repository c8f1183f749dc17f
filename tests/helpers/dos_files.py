"""Write a density of states as other codes and tools do."""

import numpy as np
from scipy.special import ndtr

from metatrain_dos.data.dos import density_of_states
from metatrain_dos.data.grid import EnergyGrid


def sampled_dos(calculation, energies, step=0.05, smearing=0.1):
    """Compute the DOS of each spin channel at energies in equal steps."""
    return density_of_states(
        calculation.eigenvalues,
        calculation.kpoint_weights,
        EnergyGrid(energies[0], step, len(energies)),
        smearing,
    )


def write_poscar(path, atoms):
    """Write the structure of VASP."""
    cell = "\n".join(" ".join(f"{x:.10f}" for x in row) for row in atoms.cell)
    symbols = list(dict.fromkeys(atoms.symbols))
    places = [
        " ".join(f"{x:.10f}" for x in atoms.get_scaled_positions()[i])
        for symbol in symbols
        for i in np.flatnonzero(np.array(atoms.symbols) == symbol)
    ]
    counts = " ".join(str(list(atoms.symbols).count(each)) for each in symbols)
    path.write_text(
        f"made up\n1.0\n{cell}\n{' '.join(symbols)}\n{counts}\nDirect\n"
        + "\n".join(places)
        + "\n"
    )


def smeared_below(calculation, energies, sigma):
    """Count the states below energies, in each spin channel."""
    weights = calculation.kpoint_weights[:, None, None]
    if sigma == 0:
        share = calculation.eigenvalues[..., None] <= energies
    else:
        share = ndtr((energies - calculation.eigenvalues[..., None]) / sigma)
    return (weights * share).sum(axis=(1, 2))


def write_doscar(path, calculation, sigma=0.05, step=0.05, first=None, last=None):
    """
    Write ``DOSCAR`` as VASP does with Gaussians, whose width VASP calls 1.4 sigma.

    A row has the states up to its energy, and the mean density since the one before.
    """
    first = calculation.eigenvalues.min() - 1 if first is None else first
    last = calculation.eigenvalues.max() + 1 if last is None else last
    size = round((last - first) / step) + 1
    energies = first + step * np.arange(-1, size)
    last = energies[-1]
    below = smeared_below(calculation, energies, sigma)
    dos = np.diff(below, axis=1) / step
    rows = "".join(
        f"{energy:11.3f} " + " ".join(f"{x:11.4E}" for x in (*d, *n)) + "\n"
        for energy, d, n in zip(energies[1:], dos.T, below[:, 1:].T, strict=True)
    )
    level = calculation.fermi_level
    path.write_text(
        f"   2   2   0   0\n 0.2E+02 0.4E-09 0.4E-09 0.4E-09 0.5E-15\n  1.0E-004\n"
        f"  CAR\n made up\n{last:16.8f}{first:16.8f}{size:5d}{level:16.8f} 1.0\n{rows}"
    )
    write_poscar(path.with_name("POSCAR"), calculation.atoms)
    return path


def write_outcar(path, calculation, ismear=0, sigma=0.05 * 2**0.5, rows=()):
    """Write the pieces of ``OUTCAR`` that are read beside ``DOSCAR``."""
    bands = "".join(
        f" k-point {i:5d} :  0 0 0\n  band No.  band energies     occupation\n"
        + "".join(
            f"{n:7d}{energy:14.4f}{1.0:12.5f}\n" for n, energy in enumerate(point, 1)
        )
        + "\n"
        for channel in calculation.eigenvalues
        for i, point in enumerate(channel, 1)
    )
    table = "".join(f"  {x:.8f}  {y:.8f}  {z:.8f}  {w:8.3f}\n" for x, y, z, w in rows)
    path.write_text(
        f"   ISMEAR = {ismear:5d};   SIGMA  = {sigma:8.5f}  broadening in eV\n"
        f"   NELECT = {calculation.n_electrons:12.4f}  total number of electrons\n"
        f" k-points in reciprocal lattice and weights: made up\n{table}\n\n"
        f" E-fermi : {calculation.fermi_level:8.4f}\n\n{bands}\n"
    )
