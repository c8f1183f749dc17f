"""``mtt-dos prepare`` on densities of states that are on a grid already."""

import gzip

import ase.io
import numpy as np
import pytest
from helpers.calculations import crystal, made_up
from helpers.dos_files import sampled_dos, write_doscar
from helpers.paths import OUTPUTS
from helpers.prepare import prepare, report

from metatrain_dos.data.readers import read_calculations
from metatrain_dos.data.target_spec import TargetSpec


@pytest.fixture
def folder(tmp_path):
    """Write a DOSCAR for each of three structures, in a folder of its own."""
    frames = [made_up(crystal(seed), seed=seed) for seed in range(3)]
    ase.io.write(tmp_path / "all.xyz", frames, format="extxyz")
    for number, calculation in enumerate(read_calculations(tmp_path / "all.xyz")):
        place = tmp_path / "runs" / str(number)
        place.mkdir(parents=True)
        write_doscar(place / "DOSCAR", calculation)
    return tmp_path


OPTIONS = (
    *("--group-by", "none", "--split", "0.4,0.3,0.3"),
    *("--reference", "raw"),  # the neutral level needs a number of electrons
)


def test_it_needs_their_smearing(folder, capsys):
    with pytest.raises(SystemExit, match=r"--dos-smearing, 0 for tetrahedra"):
        prepare(folder / "runs", "-o", folder / "dos", *OPTIONS)
    prepare(folder / "runs", "-o", folder / "dos", "--dos-smearing", "0.05", *OPTIONS)
    assert "3 without eigenvalues" in capsys.readouterr().out
    assert report(folder / "dos")["on_a_grid"] == 3
    spec = TargetSpec.read(folder / "dos" / "grid.json")
    calculations = {
        str(each.atoms.symbols) + f"{each.atoms.cell.volume:.3f}": each
        for each in read_calculations(folder / "all.xyz")
    }
    for path in (folder / "dos").glob("*.xyz"):
        for frame in ase.io.read(path, ":"):
            name = f"{frame.symbols}{frame.cell.volume:.3f}"
            expected, _ = spec.dos_and_mask(calculations.pop(name))
            found, mask = (
                np.array(frame.info[key])[spec.extra_targets :]
                for key in ("dos", "dos_mask")
            )
            mask = mask.astype(bool)
            np.testing.assert_allclose(
                found[mask], expected[mask], 0, 2e-3 * expected.max()
            )
    assert not calculations


def test_eigenvalues_of_the_same_structure_win(folder):
    prepare(
        *(folder / "runs", folder / "all.xyz", "-o", folder / "dos"),
        *("--dos-smearing", "0.05", *OPTIONS),
    )
    found = report(folder / "dos")
    assert (found["structures"], found["on_a_grid"]) == (3, 0)
    assert len(found["duplicates"]) == 3
    for each in found["duplicates"]:
        assert each["source"].endswith("DOSCAR")
        assert each["same_as"]["source"].endswith("all.xyz")


def write_npz(path, calculation, smearing):
    """Write the DOS of a calculation with a smearing of its own."""
    energies = np.arange(-40, 40, 0.02)
    arrays = {
        "numbers": calculation.atoms.numbers,
        "positions": calculation.atoms.positions,
        "cell": calculation.atoms.cell.array,
        "energies": energies,
        "dos": sampled_dos(calculation, energies, 0.02, smearing)[0],
        "smearing": smearing,
    }
    np.savez(path, **arrays)


@pytest.mark.parametrize("names", ["abc", "acb", "bac", "bca", "cab", "cba"])
def test_which_of_several_dos(folder, names):
    """The one that is smeared least, and the later of two that are alike."""
    calculations = list(read_calculations(folder / "all.xyz"))
    for name, smearing in zip(names, (0.1, 0.05, 0.2), strict=True):
        for number, calculation in enumerate(calculations):
            place = folder / "three" / f"{number}"
            place.mkdir(parents=True, exist_ok=True)
            write_npz(place / f"dos-{name}.npz", calculation, smearing)
    prepare(folder / "three", "-o", folder / "dos", *OPTIONS)
    found = report(folder / "dos")
    assert (found["structures"], found["on_a_grid"]) == (3, 3)
    assert len(found["duplicates"]) == 6
    kept = {each["same_as"]["source"][-9:] for each in found["duplicates"]}
    assert kept == {f"dos-{names[1]}.npz"}
    for place in (folder / "three").iterdir():
        for file in place.iterdir():
            write_npz(file, calculations[int(place.name)], 0.1)
    prepare(folder / "three", "-o", folder / "alike", *OPTIONS)
    found = report(folder / "alike")
    kept = {each["same_as"]["source"][-9:] for each in found["duplicates"]}
    assert kept == {"dos-c.npz"}


def test_wider_than_asked_is_left_out(folder, capsys):
    arguments = (folder / "runs", "-o", folder / "dos", "--dos-smearing", "0.4")
    reason = r"expected at most 0.3 eV, got a DOS on a grid that has 0.4 eV already"
    with pytest.raises(SystemExit, match=reason):
        prepare(*arguments, *OPTIONS)
    prepare(folder / "all.xyz", *arguments, "--keep-duplicates", *OPTIONS)
    assert "3 left out" in capsys.readouterr().out


def test_a_better_file_beside_it(folder):
    content = gzip.decompress((OUTPUTS / "silicon.xml.gz").read_bytes())
    (folder / "runs" / "0" / "vasprun.xml").write_bytes(content)
    prepare(
        *(folder / "runs", folder / "all.xyz", "-o", folder / "dos"),
        *("--dos-smearing", "0.05", *OPTIONS),
    )
    assert report(folder / "dos")["unread"] == {"VASP DOSCAR beside a better file": 1}
