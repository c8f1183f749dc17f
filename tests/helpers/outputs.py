"""Real outputs of codes, which tests read without torch, too."""

import gzip
import signal
from pathlib import Path

import ase
import ase.io
import pytest
from helpers.paths import OUTPUTS

from metatrain_dos.data.readers import calculation_to_atoms, read_calculations


try:
    from compression import zstd
except ImportError:  # before Python 3.14
    from backports import zstd

__all__ = ["ONE_EACH", "VASP", "no_waiting", "run_of_vasp", "unpack", "zstd"]

# Outputs of VASP cannot be made here; ASE ships two.
VASP = Path(ase.__file__).parent / "test" / "testdata" / "vasp"
ONE_EACH = [
    "espresso-molecule.xml",
    "espresso-molecule.out",
    "abinit-molecule_GSR.nc",
    "gpaw-molecule.gpw",
    "vasprun_pstress.xml",
    "vaspout-opt.h5",
    "cp2k-spin.out",
    "structures.xyz",
]
"""One output of each format."""


@pytest.fixture
def unpack(tmp_path):
    """Copy an output to a folder of its own, with one piece of it exchanged."""

    def write(name, old=b"", new=b""):
        if name.startswith("vasprun"):
            if not (VASP / name).exists():
                pytest.skip("this ASE ships no outputs of VASP")
            content = (VASP / name).read_bytes()
        elif name == "structures.xyz":
            [calculation] = read_calculations(write("espresso-molecule.out"))
            ase.io.write(
                tmp_path / name, calculation_to_atoms(calculation), format="extxyz"
            )
            content = (tmp_path / name).read_bytes()
        else:
            content = gzip.decompress((OUTPUTS / f"{name}.gz").read_bytes())
        assert old in content
        path = tmp_path / name
        path.write_bytes(content.replace(old, new) if old else content)
        return path

    return write


@pytest.fixture
def no_waiting():
    """Fail, rather than wait for what never comes."""

    def fail(*_):
        raise RuntimeError("still waiting")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def run_of_vasp(
    symbols=("Si", "Si"),
    positions=((0, 0, 0), (0.25, 0.25, 0.25)),
    kpoints=((0, 0, 0), (0.5, 0, 0)),
    weights=(0.25, 0.75),
    energies=(0, -9, -9.5, -9.5),
    dos="<dos><i name='efermi'>-1.5</i></dos>",
    limit=60,
    icharg=2,
):
    """Write a vasprun.xml of two bands, with what tests exchange."""
    sites = "".join(f"<rc><c>{s}</c><c>1</c></rc>" for s in symbols)
    steps = "".join(
        f"<scstep><energy><i name='e_fr_energy'>{e}</i></energy></scstep>"
        for e in energies
    )
    bands = "".join(
        f"<set><r>{-5 + i} 1</r><r>{1 + i} 0</r></set>" for i in range(len(kpoints))
    )
    return f"""<?xml version="1.0" encoding="ISO-8859-1"?>
<modeling>
<kpoints>{_vectors("kpointlist", kpoints)}{_vectors("weights", [[w] for w in weights])}
</kpoints>
<parameters><i name="NELECT">2.0</i><i type="int" name="NELM">{limit}</i>
<i name="EDIFF">0.00001</i><i type="int" name="ICHARG">{icharg}</i>
<separator name="response functions"><i type="int" name="NELM">1</i></separator>
</parameters>
<atominfo><array name="atoms"><set>{sites}</set></array></atominfo>
<calculation>{steps}
<structure><crystal>{_vectors("basis", [[0, 2.7, 2.7], [2.7, 0, 2.7], [2.7, 2.7, 0]])}
</crystal>{_vectors("positions", positions)}</structure>
{_vectors("forces", [[0, 0, 1], [0, 0, -1]])}
{_vectors("stress", [[10, 0, 0], [0, 10, 0], [0, 0, 10]])}
<energy><i name="e_fr_energy">-10.0</i></energy>
<eigenvalues><array><set><set>{bands}</set></set></array></eigenvalues>{dos}
</calculation>
</modeling>
"""


def _vectors(name, rows):
    lines = "".join(f"<v>{' '.join(map(str, row))}</v>" for row in rows)
    return f"<varray name='{name}'>{lines}</varray>"
