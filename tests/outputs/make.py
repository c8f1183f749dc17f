"""Make the outputs of other runs than those of the first tests, see README.md.

Needs the Debian packages ``quantum-espresso``, ``abinit``, ``abinit-data``, ``gpaw``,
``gpaw-data`` and ``cp2k-data`` (the Goedecker-Teter-Hutter pseudopotentials), and from
``examples/data`` the function that converts them. All runs take half a minute on one
core::

    PYTHONPATH=../../examples/data python make.py WORK_FOLDER PYTHON_WITH_NEW_GPAW
"""

import gzip
import os
import shutil
import subprocess
import sys
from pathlib import Path

from generate import gth_file


HERE = Path(__file__).parent
POTENTIALS = Path("/usr/share/cp2k/GTH_POTENTIALS")
ABINIT_HYDROGEN = "/usr/share/abinit/psp/01h.pspgth"

SILICON = """
 ibrav = 2, celldm(1) = 10.2612, nat = 2, ntyp = 1, ecutwfc = 16, nbnd = {bands}
"""
BOX = " ibrav = 1, celldm(1) = 8.0, nat = {atoms}, ntyp = 1, ecutwfc = 12, nbnd = 4\n"
ALUMINIUM = """
 ibrav = 2, celldm(1) = 7.6, nat = 1, ntyp = 1, ecutwfc = 12, nbnd = 7
 occupations = 'smearing', smearing = 'gaussian', degauss = 0.02
"""
TWO_SILICON = "Si 0 0 0\nSi 0.25 0.25 0.25"
SMEARED = " occupations = 'smearing', smearing = 'gaussian', degauss = 0.02\n"

# name: calculation, more of &control, &system, more of &electrons, positions in units
# of the lattice constant, k-points
ESPRESSO = {
    "espresso-silicon": (
        "scf",
        "",
        SILICON.format(bands=8),
        TWO_SILICON,
        "automatic\n4 4 4 0 0 0",
    ),
    "espresso-bands": (
        "bands",
        "",
        SILICON.format(bands=8),
        TWO_SILICON,
        "tpiba\n3\n0 0 0 1\n0.5 0 0 1\n1 0 0 1",
    ),
    "espresso-nscf": (
        "nscf",
        "",
        SILICON.format(bands=10),
        TWO_SILICON,
        "automatic\n2 3 3 0 0 0",
    ),
    "espresso-cell": (
        "vc-relax",
        "",
        SILICON.format(bands=8),
        "Si 0 0 0\nSi 0.25 0.26 0.25",
        "automatic\n2 2 2 1 1 1",
    ),
    "espresso-aluminium": (
        "scf",
        "verbosity = 'high'",
        ALUMINIUM,
        "Al 0 0 0",
        "automatic\n6 6 6 0 0 0",
    ),
    "espresso-unprinted": (
        "scf",
        "",
        ALUMINIUM + " nosym = .true.\n",
        "Al 0 0 0",
        "automatic\n6 6 6 0 0 0",
    ),
    "espresso-molecule": (
        "relax",
        "nstep = 3",
        BOX.format(atoms=2),
        "H 0 0 0\nH 0 0 0.2",
        "gamma",
    ),
    "espresso-spin": (
        "scf",
        "",
        BOX.format(atoms=1) + SMEARED + " nspin = 2, starting_magnetization(1) = 1\n",
        "H 0 0 0",
        "automatic\n2 2 1 0 0 0",
    ),
    "espresso-two-levels": (
        "scf",
        "",
        BOX.format(atoms=2) + SMEARED + " nspin = 2, tot_magnetization = 1\n",
        "H 0 0 0\nH 0 0 0.2",
        "automatic\n2 1 1 0 0 0",
    ),
    "espresso-spinors": (
        "scf",
        "",
        BOX.format(atoms=1)
        + SMEARED
        + " noncolin = .true., starting_magnetization(1) = 1\n",
        "H 0 0 0",
        "automatic\n2 1 1 0 0 0",
    ),
}

ABINIT_SILICON = """
acell 3*10.2612  rprim 0 .5 .5 .5 0 .5 .5 .5 0
natom 2  typat 1 1  xred 0 0 0 .25 .25 .25  ecut 8
"""
ABINIT_BOX = "acell 3*8.0  ecut 6  "
ABINIT = {
    "abinit-silicon": ("Si", ABINIT_SILICON + "nband 8  ngkpt 4 4 4 shiftk 0 0 0"),
    # k-points with 6 and with 9 bands
    "abinit-bands": (
        "Si",
        ABINIT_SILICON + "occopt 2  kptopt 0  nkpt 2  kpt 0 0 0 .5 0 0  wtk 0.125 0.875"
        "  nband 6 9  occ 4*2 2*0 4*2 5*0",
    ),
    "abinit-spinors": (
        "Si",
        ABINIT_SILICON + "nspinor 2  nband 12  ngkpt 2 2 2 shiftk 0 0 0",
    ),
    "abinit-aluminium": (
        "Al",
        "acell 3*7.6  rprim 0 .5 .5 .5 0 .5 .5 .5 0  natom 1  typat 1  xred 0 0 0"
        "  ecut 6  nband 7  ngkpt 6 6 6 shiftk 0 0 0  occopt 7  tsmear 0.02",
    ),
    "abinit-molecule": (
        "H",
        ABINIT_BOX + "natom 2  typat 1 1  xred 0 0 0 0 0 .2  nband 4  kptopt 0  nkpt 1"
        "  kpt 0 0 0",
    ),
    "abinit-spin": (
        "H",
        ABINIT_BOX + "natom 1  typat 1  xred 0 0 0  nband 4  ngkpt 2 2 2 shiftk 0 0 0"
        "  nsppol 2  spinat 0 0 1  occopt 7  tsmear 0.01",
    ),
}

GPAW = """
from ase import Atoms
from ase.build import bulk
from gpaw import GPAW, PW

def run(name, atoms, kpoints, bands, **settings):
    settings = {"xc": "LDA", "nbands": bands, "txt": name + ".txt", **settings}
    kpoints = {"size": kpoints, "gamma": True}
    atoms.calc = GPAW(mode=PW(120), kpts=kpoints, **settings)
    atoms.get_potential_energy()
    atoms.calc.write(name + ".gpw")

two, three, seven, eight = ({"bands": n} for n in (2, 3, 7, 8))
silicon = bulk("Si", a=5.43)
hydrogen = Atoms("H", cell=[2.5] * 3, pbc=True, magmoms=[1])
molecule = Atoms("H2", [[0, 0, 0], [0, 0, 0.76]], cell=[3.5] * 3, pbc=True)
smeared = {"name": "fermi-dirac", "width": 0.1}
"""
# GPAW 22.8 from Debian, whose files have version 3
OLD_GPAW = """
run("gpaw-default", silicon, (2, 1, 1), 7)
run("gpaw-aluminium", bulk("Al", a=4.02), (4, 4, 4), 8, convergence=seven,
    occupations={**smeared, "width": 0.2})
run("gpaw-spin", hydrogen, (2, 2, 1), 5, convergence=three, occupations=smeared)
run("gpaw-two-levels", hydrogen, (2, 1, 1), 5, convergence=three,
    occupations={**smeared, "fixmagmom": True})
"""
# GPAW 26.7, installed with pip, whose files have version 7, but for molecules
NEW_GPAW = """
run("gpaw-molecule", molecule, (1, 1, 1), 6, convergence=three, eigensolver="cg")
run("gpaw-silicon", silicon, (2, 2, 2), 8, convergence=eight,
    occupations={"name": "fixed-uniform"})
del hydrogen.arrays["initial_magmoms"]
hydrogen.set_cell([2.7] * 3)
run("gpaw-spinors", hydrogen, (1, 1, 2), 4, convergence=two, occupations=smeared,
    symmetry="off", magmoms=[[0, 0, 1]])
"""


def main(work: Path, new_gpaw: str) -> None:
    """Make all outputs in a folder, and pack those that the tests read."""
    work.mkdir(parents=True, exist_ok=True)
    for symbol in ("H", "Al", "Si"):
        text = gth_file(symbol, POTENTIALS.read_text())
        (work / f"{symbol}.gth").write_text(text)
    for name, settings in ESPRESSO.items():
        espresso(work, name, *settings)
    for name, (symbol, text) in ABINIT.items():
        number = {"H": 1, "Al": 13, "Si": 14}[symbol]
        # ABINIT does not take the converted file of a potential without projectors.
        potential = ABINIT_HYDROGEN if symbol == "H" else f"{symbol}.gth"
        (work / f"{name}.abi").write_text(
            f'pseudos "{potential}"  ntypat 1  znucl {number}  {text}\n'
            "nstep 50  tolwfr 1e-10  ixc 1\n"
        )
        run(work, ["abinit", f"{name}.abi"])
        pack(work / f"{name}o_GSR.nc", f"{name}_GSR.nc")
        (work / f"{name}.abo").unlink()
    for python, runs in (("/usr/bin/python3", OLD_GPAW), (new_gpaw, NEW_GPAW)):
        (work / "runs.py").write_text(GPAW + runs)
        run(work, [python, "runs.py"])
    for path in sorted(work.glob("gpaw-*.gpw")):
        pack(path, path.name)


def espresso(work, name, calculation, control, system, positions, kpoints):
    """Run ``pw.x``, after a self-consistent calculation where it needs one."""
    symbol = positions.split()[0]
    kinds = {"bands": [], "nscf": []}.get(calculation, [calculation])
    for kind in kinds or ["scf", calculation]:
        path = work / f"{name}.in"
        grid = kpoints if kind == calculation else "automatic\n2 2 2 0 0 0"
        path.write_text(
            f"&control\n calculation = '{kind}', prefix = '{name}', outdir = 'scratch',"
            f" pseudo_dir = '.'\n {control}\n/\n&system{system} input_dft = 'PZ'\n/\n"
            "&electrons\n conv_thr = 1e-9, diago_full_acc = .true.\n/\n&ions\n/\n"
            f"&cell\n/\nATOMIC_SPECIES\n{symbol} 1.0 {symbol}.gth\n"
            f"ATOMIC_POSITIONS alat\n{positions}\nK_POINTS {grid}\n"
        )
        output = run(work, ["pw.x", "-in", path.name])
    (work / f"{name}.out").write_text(output)
    pack(work / f"{name}.out", f"{name}.out")
    if name not in ("espresso-bands", "espresso-unprinted"):
        pack(work / "scratch" / f"{name}.xml", f"{name}.xml")
    shutil.rmtree(work / "scratch")


def run(work: Path, command: list[str]) -> str:
    """Run one program on one core; return its output."""
    environment = {"OMP_NUM_THREADS": "1", "OMPI_MCA_ess_singleton_isolated": "1"}
    done = subprocess.run(
        command,
        cwd=work,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def pack(path: Path, name: str) -> None:
    """Compress a file into this folder; the same content gives the same bytes."""
    (HERE / f"{name}.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
