"""Compute the example data set: the electronic DOS of small cells of many materials.

Every structure is one self-consistent calculation with Quantum ESPRESSO on a coarse
k-point grid, which is enough for the density. The bands that a DOS is made from are
then interpolated to a dense grid, in a basis in which that is no approximation to speak
of (``interpolate.py``). The table below says which materials; of each, the first
structure is the ideal one and the others are strained and rattled. Cut-offs are coarse,
for seconds per calculation: good to try things out, not to publish on.

Needs the Debian packages ``quantum-espresso`` (``pw.x``, ``pp.x``) and ``cp2k-data``
(the Goedecker-Teter-Hutter pseudopotentials), and the Python packages ``metatrain-dos``
and ``tqdm``. All 224 structures take about an hour of one core::

    OMP_NUM_THREADS=1 python generate.py --jobs 2

A run that was stopped goes on where it was: finished calculations are kept in the work
folder and only computed again when their input has changed. The first structures of all
materials are computed first, so that ``--per-material 4`` writes what a run has so far.
"""

import argparse
import io
import lzma
import math
import os
import shutil
import subprocess
import sys
import zlib
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.build import bulk, molecule
from ase.data import atomic_numbers
from ase.spacegroup import crystal
from interpolate import RYDBERG, Interpolation
from scipy.optimize import brentq
from scipy.special import erfc
from tqdm import tqdm

from metatrain_dos.data.readers import calculation_to_atoms, read_espresso_xml


HERE = Path(__file__).parent

SEED = 20250818
SMEARING = 0.01  # Gaussian smearing of the occupations, Ry
BOX = 7.0  # cubic box of the molecules, Angstrom
MIN_DISTANCE = 0.8  # shortest distance, in units of that in the ideal structure
TIME_LIMIT = 900  # seconds per calculation
IDEAL_FACTOR = 0.75  # spacing of k-points in ideal structures, over that in the others
LEVEL_TOLERANCE = 1e-6  # electrons by which a Fermi level in a gap may be wrong

POTENTIAL_INPUT = """&inputpp
    prefix = 'pw', outdir = 'scratch', plot_num = 1, filplot = 'potential'
/
"""

# Valence electrons of the pseudopotentials, which are all of one family (Pade LDA).
# Where there are two for an element, this is the softer one, but for Ca and Cu.
VALENCE = {
    "H": 1, "Li": 1, "Be": 2, "B": 3, "C": 4, "N": 5, "O": 6, "F": 7,
    "Na": 1, "Mg": 2, "Al": 3, "Si": 4, "P": 5, "Cl": 7,
    "Ca": 10, "Cu": 11, "Ga": 3, "Ge": 4, "As": 5, "Se": 6,
}  # fmt: skip


@dataclass(frozen=True)
class Material:
    """
    Describe one material and how to compute it.

    :param name: name, written to the data set
    :param atoms: ideal structure
    :param cutoff: plane-wave cut-off, Ry
    :param kpoints: Gamma-centred k-point grid of the self-consistent calculation
    :param spacing: largest distance of neighbouring k-points on the grid of the DOS
        (with the factor of 2 pi) of the distorted structures, 1/Angstrom
    :param bands: number of bands; the highest stays some 5 eV above the lowest empty
        state
    :param rattle: largest standard deviation of the displacements, Angstrom
    :param strain: largest change of all lengths alike; half of it is the largest that
        every component of the strain may add
    """

    name: str
    atoms: Atoms
    cutoff: float
    kpoints: tuple[int, int, int]
    spacing: float
    bands: int
    rattle: float
    strain: float = 0.04


def _crystal(symbols: list[str], sites: list, group: int, cell: list) -> Atoms:
    """Build the primitive cell of a crystal from its space group."""
    return crystal(symbols, sites, spacegroup=group, cellpar=cell, primitive_cell=True)


def _molecule(name: str, bands: int, cutoff: float = 60) -> Material:
    """Make the row of a molecule, in a box that is the same for all."""
    atoms = molecule(name)
    atoms.set_initial_magnetic_moments(None)
    atoms.set_cell([BOX] * 3)
    atoms.center()
    atoms.pbc = True
    return Material(
        name, atoms, cutoff, (1, 1, 1), math.inf, bands, rattle=0.06, strain=0.0
    )


ARSENIC = _crystal(["As"], [(0, 0, 0.227)], 166, [3.76, 3.76, 10.44, 90, 90, 120])
SELENIUM = _crystal(["Se"], [(0.22, 0, 1 / 3)], 152, [4.37, 4.37, 4.95, 90, 90, 120])
MG2SI = _crystal(
    ["Mg", "Si"], [(0.25, 0.25, 0.25), (0, 0, 0)], 225, [6.35, 6.35, 6.35, 90, 90, 90]
)
BETA_TIN = Atoms(
    "Si2",
    cell=[[-2.345, 2.345, 1.29], [2.345, -2.345, 1.29], [2.345, 2.345, -1.29]],
    scaled_positions=[(0, 0, 0), (0.25, 0.75, 0.5)],
    pbc=True,
)
GRAPHENE = Atoms(
    "C2",
    cell=[2.46, 2.46, 8.0, 90, 90, 120],
    scaled_positions=[(1 / 3, 2 / 3, 0.5), (2 / 3, 1 / 3, 0.5)],
    pbc=True,
)
# fcc with two atoms, so that there is something to rattle.
COPPER = Atoms(
    "Cu2",
    cell=[2.553, 2.553, 3.61],
    scaled_positions=[(0, 0, 0), (0.5, 0.5, 0.5)],
    pbc=True,
)

MATERIALS = [
    # semiconductors
    Material("Si-diamond", bulk("Si", a=5.43), 24, (5, 5, 5), 0.17, 10, 0.20),
    Material("Si-cubic", bulk("Si", a=5.43, cubic=True), 20, (3, 3, 3), 0.19, 34, 0.25),
    Material("C-diamond", bulk("C", a=3.56), 60, (5, 5, 5), 0.20, 8, 0.10),
    Material("Ge-diamond", bulk("Ge", a=5.64), 24, (6, 6, 6), 0.19, 10, 0.20),
    Material("SiC", bulk("SiC", "zincblende", 4.35), 50, (5, 5, 5), 0.18, 9, 0.12),
    Material("BN", bulk("BN", "zincblende", 3.6), 70, (4, 4, 4), 0.19, 9, 0.10),
    Material("BP", bulk("BP", "zincblende", 4.51), 40, (5, 5, 5), 0.165, 9, 0.12),
    Material("AlN", bulk("AlN", "wurtzite", 3.1, 4.96), 60, (4, 4, 3), 0.22, 15, 0.12),
    Material("AlAs", bulk("AlAs", "zincblende", 5.63), 24, (5, 5, 5), 0.18, 10, 0.20),
    Material("GaAs", bulk("GaAs", "zincblende", 5.6), 24, (5, 5, 5), 0.18, 10, 0.20),
    Material("Mg2Si", MG2SI, 24, (4, 4, 4), 0.19, 12, 0.20),
    Material("Se-trigonal", SELENIUM, 24, (4, 4, 4), 0.19, 15, 0.15),
    # ionic insulators
    Material("MgO", bulk("MgO", "rocksalt", 4.2), 90, (5, 5, 5), 0.22, 8, 0.15),
    Material("CaO", bulk("CaO", "rocksalt", 4.8), 80, (4, 4, 4), 0.22, 15, 0.15),
    Material("LiF", bulk("LiF", "rocksalt", 4.0), 120, (4, 4, 4), 0.24, 8, 0.15),
    Material("NaCl", bulk("NaCl", "rocksalt", 5.6), 36, (4, 4, 4), 0.22, 9, 0.20),
    # metals and semimetals
    Material("Al-fcc", bulk("Al", a=4.05, cubic=True), 20, (4, 4, 4), 0.17, 18, 0.20),
    Material("Mg-hcp", bulk("Mg", a=3.2, c=5.2), 20, (6, 6, 4), 0.15, 8, 0.20),
    Material("Na-bcc", bulk("Na", a=4.23, cubic=True), 20, (5, 5, 5), 0.16, 10, 0.25),
    Material("Be-hcp", bulk("Be", a=2.28, c=3.58), 30, (6, 6, 4), 0.12, 8, 0.15),
    Material("Cu-fcc", COPPER, 120, (3, 3, 3), 0.20, 16, 0.15),
    Material("Si-beta-tin", BETA_TIN, 24, (6, 6, 6), 0.16, 10, 0.15),
    Material("As-gray", ARSENIC, 24, (5, 5, 5), 0.17, 11, 0.15),
    Material("C-graphene", GRAPHENE, 50, (9, 9, 1), 0.13, 11, 0.08),
    # molecules
    _molecule("H2", 13, cutoff=50),
    _molecule("N2", 17),
    _molecule("HF", 16, cutoff=120),
    _molecule("H2O", 16, cutoff=80),
    _molecule("CO2", 20, cutoff=80),
    _molecule("NH3", 16),
    _molecule("CH4", 16),
    _molecule("SiH4", 16, cutoff=50),
]


@dataclass(frozen=True)
class Task:
    """
    Name one calculation: structure ``index`` of a material, and its folder."""

    material: Material
    index: int
    folder: Path


def distort(material: Material, index: int) -> Atoms:
    """
    Strain and rattle a material; structure 0 is the ideal one.

    :param material: row of the table
    :param index: number of the structure, which with the name seeds the generator, so
        that no structure depends on which others are made
    :return: the structure
    """
    atoms = material.atoms.copy()
    atoms.info = {}
    if index == 0:
        return atoms
    name = zlib.crc32(material.name.encode())
    rng = np.random.default_rng([SEED, name, index])
    limit = MIN_DISTANCE * _shortest_distance(atoms)
    if material.strain:
        shear = rng.uniform(-material.strain / 2, material.strain / 2, size=(3, 3))
        scale = 1 + rng.uniform(-material.strain, material.strain)
        deformation = scale * np.eye(3) + (shear + shear.T) / 2
        atoms.set_cell(atoms.cell @ deformation, scale_atoms=True)
    start = atoms.positions.copy()
    for _ in range(100):
        sigma = rng.uniform(0.1, 1.0) * material.rattle
        atoms.positions = start + rng.normal(scale=sigma, size=start.shape)
        if _shortest_distance(atoms) > limit:
            return atoms
    raise ValueError(
        f"rattle: expected distances above {limit:.2f} Angstrom in {material.name}, "
        "got none in 100 attempts; choose a smaller rattle"
    )


def _shortest_distance(atoms: Atoms) -> float:
    """Find the shortest distance of two different atoms in a periodic cell."""
    distances = atoms.get_all_distances(mic=True)
    return distances[np.triu_indices(len(atoms), k=1)].min()


def gth_file(symbol: str, potentials: str) -> str:
    """
    Convert a GTH pseudopotential from CP2K's table to the form ``pw.x`` reads.

    That form is ABINIT's (``pspcod`` 10). The numbers are the same, with lines of
    spin-orbit coefficients (zero here) after the projectors of every l > 0.

    :param symbol: chemical symbol
    :param potentials: text of CP2K's ``GTH_POTENTIALS``
    :return: text of the file
    """
    valence = VALENCE[symbol]
    title = f"GTH-PADE-q{valence}"
    lines = iter(potentials.splitlines())
    for line in lines:
        words = line.split()
        if words[:1] == [symbol] and title in words:
            break
    else:
        raise ValueError(f"no {title} for {symbol} in CP2K's potentials")
    next(lines)  # electrons per angular momentum
    local = next(lines).strip()
    channels = int(next(lines))
    rows = [
        f"{symbol} {title}",
        f"{atomic_numbers[symbol]} {valence} 0",
        f"10 1 {max(channels - 1, 0)} 0 2001 0",
        local,
        str(channels),
    ]
    if channels == 0:
        rows.append("0.2 0")  # pw.x reads the line of l = 0 even where there is none
    for angular in range(channels):
        rows.append(next(lines).strip())
        projectors = int(rows[-1].split()[1])
        rows += [next(lines).strip() for _ in range(projectors - 1)]
        if angular > 0:
            rows += ["0.0 " * (projectors - row) for row in range(projectors)]
    return "\n".join(rows) + "\n"


def espresso_input(material: Material, atoms: Atoms) -> str:
    """
    Write the input of ``pw.x``.

    :param material: row of the table, for the settings
    :param atoms: structure
    :return: text of the file
    """
    symbols = list(dict.fromkeys(atoms.get_chemical_symbols()))
    species = "\n".join(f"{symbol} 1.0 {symbol}.gth" for symbol in symbols)
    cell = "\n".join(" ".join(f"{x:.10f}" for x in row) for row in atoms.cell)
    positions = "\n".join(
        " ".join([atom.symbol, *(f"{x:.10f}" for x in atom.position)]) for atom in atoms
    )
    if material.kpoints == (1, 1, 1):
        kpoints = "K_POINTS gamma"
    else:
        kpoints = "K_POINTS automatic\n{} {} {} 0 0 0".format(*material.kpoints)
    # disk_io: by default, wave functions are read and written at every step.
    # diago_full_acc: empty bands are otherwise converged to a looser threshold.
    return f"""&control
    calculation = 'scf', prefix = 'pw', outdir = 'scratch', pseudo_dir = '.'
    disk_io = 'low'
/
&system
    ibrav = 0, nat = {len(atoms)}, ntyp = {len(symbols)}, nosym = .true.
    ecutwfc = {material.cutoff}, nbnd = {material.bands}, input_dft = 'PZ'
    occupations = 'smearing', smearing = 'gaussian', degauss = {SMEARING}
/
&electrons
    conv_thr = 1e-8, diago_full_acc = .true., mixing_beta = 0.6
/
ATOMIC_SPECIES
{species}
CELL_PARAMETERS angstrom
{cell}
ATOMIC_POSITIONS angstrom
{positions}
{kpoints}
"""


def find_density(task: Task, potentials: str) -> None:
    """
    Run ``pw.x``, unless the folder holds the result for the same input.

    What stays are ``pw.in``, ``pw.out``, ``pw.xml`` and, of crystals, what the bands
    are interpolated from: ``pw.save`` and the local potential.

    :param task: calculation to run
    :param potentials: text of CP2K's ``GTH_POTENTIALS``
    :raises RuntimeError: if a program fails
    """
    folder = task.folder
    text = espresso_input(task.material, distort(task.material, task.index))
    source, result = folder / "pw.in", folder / "pw.xml"
    if result.exists() and source.read_text() == text:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    source.write_text(text)
    for symbol in set(task.material.atoms.get_chemical_symbols()):
        (folder / f"{symbol}.gth").write_text(gth_file(symbol, potentials))
    _run("pw", folder)
    if is_crystal(task.material):
        (folder / "pp.in").write_text(POTENTIAL_INPUT)
        _run("pp", folder)
        (folder / "scratch" / "pw.save").rename(folder / "pw.save")
    # Only a complete run gets the name that says finished.
    (folder / "scratch" / "pw.xml").rename(result)
    shutil.rmtree(folder / "scratch")


def _run(program: str, folder: Path) -> None:
    """Run a program of Quantum ESPRESSO with its input in the folder."""
    # One core for each; Open MPI otherwise spends seconds on starting its daemon.
    environment = {"OMP_NUM_THREADS": "1", "OMPI_MCA_ess_singleton_isolated": "1"}
    log = folder / f"{program}.out"
    with log.open("w") as stream:
        status = subprocess.run(
            [f"{program}.x", "-in", f"{program}.in"],
            cwd=folder,
            env={**os.environ, **environment},
            stdout=stream,
            stderr=subprocess.STDOUT,
            timeout=TIME_LIMIT,
        ).returncode
    if status != 0:
        raise RuntimeError(f"{program}.x ended with status {status}, see {log}")


def is_crystal(material: Material) -> bool:
    """Say whether the bands of a material depend on the k-point."""
    return math.isfinite(material.spacing)


def dense_grid(material: Material, index: int) -> tuple[int, int, int]:
    """
    Choose the k-point grid of the DOS.

    It is finer for the ideal structure, whose bands have sharper features: k-points
    that are equivalent there differ from each other in the others.

    :param material: row of the table
    :param index: number of the structure
    :return: points along the reciprocal lattice vectors; one where the coarse grid has
        one
    """
    spacing = material.spacing * (IDEAL_FACTOR if index == 0 else 1)
    lengths = 2 * np.pi * np.linalg.norm(material.atoms.cell.reciprocal(), axis=1)
    first, second, third = (
        1 if coarse == 1 else math.ceil(length / spacing)
        for coarse, length in zip(material.kpoints, lengths, strict=True)
    )
    return first, second, third


def grid_kpoints(grid: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """
    List the points of a Gamma-centred grid, of k and -k only one.

    :param grid: points along the reciprocal lattice vectors
    :return: points relative to these vectors, ``(k-points, 3)``, and the electrons that
        a band holds at each
    """
    index = np.indices(grid).reshape(3, -1).T
    opposite = -index % grid
    number = np.ravel_multi_index(tuple(index.T), grid)
    of_opposite = np.ravel_multi_index(tuple(opposite.T), grid)
    first = number <= of_opposite
    weights = np.where(number == of_opposite, 2, 4) / math.prod(grid)
    kpoints = index[first] / grid
    return np.where(kpoints > 0.5, kpoints - 1, kpoints), weights[first]


def interpolation_of(task: Task) -> Interpolation:
    """
    Prepare to interpolate the bands of a calculation.

    :param task: calculation whose density is found
    :return: what gives bands at any k-points
    """
    symbols = set(task.material.atoms.get_chemical_symbols())
    pseudopotentials = {
        symbol: (task.folder / f"{symbol}.gth").read_text() for symbol in symbols
    }
    return Interpolation(task.folder, pseudopotentials, task.material.bands)


def find_bands(task: Task, grid: tuple[int, int, int]) -> np.ndarray:
    """
    Interpolate the bands to a grid, unless the folder holds them.

    :param task: calculation whose density is found
    :param grid: points along the reciprocal lattice vectors
    :return: energies at the points of :func:`grid_kpoints`, ``(k-points, bands)``, eV
    """
    path = task.folder / "bands-{}-{}-{}.npy".format(*grid)
    if path.exists():
        return np.load(path)
    energies = interpolation_of(task).energies(grid_kpoints(grid)[0])
    partial = path.with_suffix(".partial.npy")
    np.save(partial, energies)
    partial.rename(path)
    return energies


def compute(task: Task, potentials: str) -> None:
    """
    Run all of one calculation that the folder does not hold yet.

    :param task: calculation to run
    :param potentials: text of CP2K's ``GTH_POTENTIALS``
    """
    find_density(task, potentials)
    if is_crystal(task.material):
        find_bands(task, dense_grid(task.material, task.index))


def level(energies: np.ndarray, weights: np.ndarray, electrons: float) -> float:
    """
    Find the Fermi level, in a gap the middle of it.

    :param energies: energies of the states, ``(k-points, bands)``, eV
    :param weights: electrons that a band holds at each k-point
    :param electrons: number of electrons
    :return: Fermi level, eV
    """
    width = SMEARING * RYDBERG

    def excess(energy: float) -> float:
        filled = 0.5 * erfc((energies - energy) / width)
        return float(weights @ filled.sum(axis=1)) - electrons

    start, end = energies.min() - 1, energies.max() + 1
    below = brentq(lambda energy: excess(energy) + LEVEL_TOLERANCE, start, end)
    above = brentq(lambda energy: excess(energy) - LEVEL_TOLERANCE, start, end)
    return 0.5 * (below + above)


def collect(tasks: Iterable[Task]) -> Iterable[Atoms]:
    """
    Read finished calculations into structures for the data set.

    :param tasks: calculations that are finished
    :return: structures with eigenvalues (rounded to 1e-3 eV) and the other entries
    """
    for task in tasks:
        found = read_espresso_xml(task.folder / "pw.xml")
        grid = (1, 1, 1)
        energies, weights = found.eigenvalues[0], found.kpoint_weights
        if is_crystal(task.material):
            grid = dense_grid(task.material, task.index)
            energies, weights = find_bands(task, grid), grid_kpoints(grid)[1]
        energies = np.round(energies, 3)
        found.atoms.info["material"] = task.material.name
        found.atoms.info["kpoint_grid"] = np.array(grid)
        found.atoms.info["kpoints"] = np.round(grid_kpoints(grid)[0], 6).ravel()
        # The Fermi level keeps its digits: metals are sensitive to it.
        fermi_level = round(level(energies, weights, found.n_electrons), 6)
        yield calculation_to_atoms(
            replace(
                found,
                eigenvalues=energies[None],
                kpoint_weights=np.round(weights, 10),
                fermi_level=fermi_level,
            )
        )


def write(path: Path, structures: Iterable[Atoms]) -> None:
    """
    Write extended XYZ, compressed if the name ends in ``.xz``.

    :param path: file to write
    :param structures: what to write
    """
    stream = io.StringIO()
    ase.io.write(stream, list(structures), format="extxyz")
    content = stream.getvalue().encode()
    if path.suffix == ".xz":
        content = lzma.compress(content, preset=9 | lzma.PRESET_EXTREME)
    path.write_bytes(content)


def main() -> None:
    """Run all calculations and write the data set."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument(
        "--output", type=Path, default=HERE / "structures.xyz.xz", help="file to write"
    )
    parser.add_argument(
        "--work", type=Path, default=HERE / "work", help="folder of the calculations"
    )
    parser.add_argument(
        "--potentials",
        type=Path,
        default=Path("/usr/share/cp2k/GTH_POTENTIALS"),
        help="CP2K's table of pseudopotentials",
    )
    parser.add_argument("--jobs", type=int, default=1, help="calculations at a time")
    parser.add_argument(
        "--per-material", type=int, default=7, help="structures of each material"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=[material.name for material in MATERIALS],
        metavar="MATERIAL",
        help="compute and write only these",
    )
    arguments = parser.parse_args()
    for program in ("pw.x", "pp.x"):
        if shutil.which(program) is None:
            parser.error(f"{program} not found; install Debian's quantum-espresso")
    if not arguments.potentials.exists():
        parser.error(
            f"--potentials: {arguments.potentials} not found; install the Debian "
            "package cp2k-data"
        )
    potentials = arguments.potentials.read_text()
    tasks = [
        Task(material, index, arguments.work / f"{material.name}-{index}")
        for material in MATERIALS
        if arguments.only is None or material.name in arguments.only
        for index in range(arguments.per_material)
    ]
    failed = {}
    with ProcessPoolExecutor(arguments.jobs) as pool:
        running = {
            pool.submit(compute, task, potentials): task
            for task in sorted(tasks, key=lambda task: task.index)
        }
        try:
            for future in tqdm(as_completed(running), total=len(tasks), unit="run"):
                if error := future.exception():
                    failed[running[future].folder.name] = error
        except KeyboardInterrupt:
            # Leaving the block would otherwise wait for everything that is queued.
            pool.shutdown(cancel_futures=True)
            raise
    done = [task for task in tasks if task.folder.name not in failed]
    write(arguments.output, collect(done))
    print(f"{len(done)} structures written to {arguments.output}")
    for name, error in failed.items():
        print(f"{name} failed: {error}", file=sys.stderr)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
