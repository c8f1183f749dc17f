"""Real outputs of codes, which tests read without torch, too."""

import gzip
import signal
from pathlib import Path

import ase
import ase.io
import pytest
from helpers.paths import OUTPUTS

from metatrain_dos.data.readers import calculation_to_atoms, read_calculations


# Outputs of VASP cannot be made here; ASE ships two.
VASP = Path(ase.__file__).parent / "test" / "testdata" / "vasp"
ONE_EACH = [
    "espresso-molecule.xml",
    "espresso-molecule.out",
    "abinit-molecule_GSR.nc",
    "gpaw-molecule.gpw",
    "vasprun_pstress.xml",
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
