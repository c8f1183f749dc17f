"""Readers against what pw.x itself printed, and files written and read again."""

import gzip
import tracemalloc
from dataclasses import replace
from math import erfc

import ase
import ase.io
import numpy as np
import pytest
from helpers.paths import OUTPUTS, STRUCTURES

from metatrain_dos.data.readers import (
    READERS,
    Calculation,
    Reader,
    calculation_to_atoms,
    read_calculations,
    read_espresso_xml,
    read_extxyz,
)
from metatrain_dos.data.readers._common import BOHR, HARTREE


# tests/outputs: outputs of pw.x 6.7 with 12 to 14 Ry, Gaussian smearing of 0.02 Ry.
RYDBERG = 13.605693122994  # eV
SMEARING = 0.02 * RYDBERG
# The text output of pw.x has four digits.
PRINTED = 0.6e-4


@pytest.fixture
def unpack(tmp_path):
    """Unpack an output of pw.x, with one piece of its text exchanged."""

    def write(name, old="", new=""):
        text = gzip.decompress((OUTPUTS / f"{name}.xml.gz").read_bytes()).decode()
        assert old in text
        path = tmp_path / f"{name}.xml"
        path.write_text(text.replace(old, new) if old else text)
        return path

    return write


@pytest.fixture
def write(tmp_path):
    """Write structures to an extended XYZ file."""

    def write(*structures):
        path = tmp_path / "structures.xyz"
        ase.io.write(path, structures, format="extxyz")
        return path

    return write


def example(channels=1, kpoints=3, bands=4, **changes):
    """Make a calculation with numbers that are all different."""
    rng = np.random.default_rng(7)
    weights = rng.uniform(1, 2, size=kpoints)
    values = {
        "atoms": ase.Atoms("CO", [[0, 0, 0], [0, 0, 1.13]], cell=[5, 6, 7], pbc=True),
        "eigenvalues": rng.normal(scale=10, size=(channels, kpoints, bands)),
        "kpoint_weights": (2 / channels) * weights / weights.sum(),
        "fermi_level": -1.5,
        "n_electrons": 5.0,
    }
    return Calculation(**{**values, **changes})


def assert_same(one, other, tolerance=0.0):
    """Compare two calculations; text without rounding loses no digit."""
    np.testing.assert_allclose(other.eigenvalues, one.eigenvalues, 0, tolerance)
    np.testing.assert_allclose(other.kpoint_weights, one.kpoint_weights, 0, tolerance)
    assert other.fermi_level == one.fermi_level
    assert other.n_electrons == one.n_electrons
    # ASE writes eight digits.
    np.testing.assert_allclose(
        other.atoms.positions, one.atoms.positions, 0, atol=0.6e-8
    )
    np.testing.assert_allclose(other.atoms.cell, one.atoms.cell, 0, atol=1e-12)
    assert other.atoms.get_chemical_symbols() == one.atoms.get_chemical_symbols()
    assert other.atoms.info == one.atoms.info


def electrons(calculation, smearing):
    """Count electrons with the occupations of Gaussian smearing in pw.x."""
    x = (calculation.eigenvalues - calculation.fermi_level) / smearing
    occupations = 0.5 * np.vectorize(erfc)(x)
    return (calculation.kpoint_weights[:, None] * occupations).sum()


# ---------------------------------------------------------------- Quantum ESPRESSO


def test_espresso(unpack):
    calculation = read_espresso_xml(unpack("silicon"))
    assert calculation.eigenvalues.shape == (1, 4, 8)
    assert calculation.eigenvalues.dtype == np.float64
    np.testing.assert_allclose(
        calculation.eigenvalues[0, [0, 3]],
        [
            [-5.6517, 6.1266, 6.3627, 6.5103, 8.6678, 8.7604, 8.8457, 9.5276],
            [-1.4642, -1.4534, 3.3921, 3.4081, 6.7686, 6.8371, 16.2212, 16.2754],
        ],
        atol=PRINTED,
    )
    np.testing.assert_allclose(calculation.kpoint_weights, [0.5] * 4, atol=1e-12)
    assert calculation.fermi_level == pytest.approx(6.6257, abs=PRINTED)
    assert calculation.n_electrons == 8


def test_espresso_structure(unpack):
    atoms = read_espresso_xml(unpack("silicon")).atoms
    # The input, in Angstrom; a wrong constant shows in the tenth digit.
    cell = [[0.0, 2.7, 2.72], [2.73, 0.0, 2.71], [2.7, 2.74, 0.0]]
    np.testing.assert_allclose(atoms.cell, cell, rtol=0, atol=1e-11)
    np.testing.assert_allclose(
        atoms.positions, [[0, 0, 0], [1.4, 1.33, 1.36]], rtol=0, atol=1e-11
    )
    assert atoms.get_chemical_symbols() == ["Si", "Si"]
    assert atoms.pbc.all()
    assert set(atoms.info) == {"energy"}


def test_espresso_units():
    # e^2 / (4 pi epsilon_0) in eV Angstrom, CODATA 2018.
    assert pytest.approx(14.3996454784, rel=1e-11) == HARTREE * BOHR


def test_espresso_nscf(unpack):
    # nscf runs say that they have not converged.
    calculation = read_espresso_xml(unpack("silicon-nscf"))
    np.testing.assert_allclose(
        calculation.kpoint_weights, [1 / 3, 1 / 3, 2 / 3, 2 / 3], atol=1e-12
    )
    assert calculation.fermi_level == pytest.approx(6.7918, abs=PRINTED)


def test_espresso_two_spin_channels(unpack):
    calculation = read_espresso_xml(unpack("hydrogen-lsda"))
    up = [[-7.1765, 0.0024, 3.8328], [-6.9547, -0.3848, 2.0337]]
    down = [[-3.0725, 2.2092, 5.2262], [-2.3223, 0.4554, 4.0176]]
    np.testing.assert_allclose(calculation.eigenvalues, [up, down], atol=PRINTED)
    np.testing.assert_allclose(calculation.kpoint_weights, [0.5, 0.5], atol=1e-12)
    assert calculation.fermi_level == pytest.approx(-4.3479, abs=PRINTED)
    assert calculation.atoms.get_chemical_symbols() == ["H"]


def test_espresso_noncollinear(unpack):
    calculation = read_espresso_xml(unpack("hydrogen-noncollinear"))
    spinors = [[-7.1762, -3.0860, 0.0026], [-6.9545, -2.3413, -0.3846]]
    np.testing.assert_allclose(calculation.eigenvalues, [spinors], atol=PRINTED)
    np.testing.assert_allclose(calculation.kpoint_weights, [0.5, 0.5], atol=1e-12)


@pytest.mark.parametrize(
    "name", ["silicon", "silicon-nscf", "hydrogen-lsda", "hydrogen-noncollinear"]
)
def test_espresso_electrons(unpack, name):
    # Fails for a wrong unit, weight, channel or Fermi level. pw.x stops its own search
    # for the Fermi level at 1e-10 electrons.
    calculation = read_espresso_xml(unpack(name))
    assert electrons(calculation, SMEARING) == pytest.approx(
        calculation.n_electrons, abs=1e-8
    )


def test_espresso_without_one_fermi_level(unpack):
    calculation = read_espresso_xml(unpack("hydrogen-two-levels"))
    assert calculation.fermi_level is None
    assert calculation.eigenvalues.shape == (2, 3, 3)
    assert calculation.n_electrons == 2


def test_espresso_highest_occupied_level(unpack):
    tag = "highestOccupiedLevel"
    path = unpack("silicon", "fermi_energy>", f"{tag}>")
    assert read_espresso_xml(path).fermi_level == pytest.approx(6.6257, abs=PRINTED)


def test_espresso_folder(unpack, tmp_path):
    folder = tmp_path / "prefix.save"
    folder.mkdir()
    unpack("silicon").rename(folder / "data-file-schema.xml")
    for calculation in (read_espresso_xml(folder), *read_calculations(folder)):
        assert calculation.n_electrons == 8


@pytest.mark.parametrize(
    ("label", "symbol"),
    [("Si", "Si"), ("si2", "Si"), ("H", "H"), ("h_u", "H"), ("C-1", "C"), ("Oh", "O")],
)
def test_espresso_species(unpack, label, symbol):
    path = unpack("silicon", '"Si1"', f'"{label}"')
    assert read_espresso_xml(path).atoms.get_chemical_symbols() == [symbol, "Si"]


@pytest.mark.parametrize("label", ["X1", "1Si", "_", ""])
def test_espresso_unknown_species(unpack, label):
    path = unpack("silicon", '"Si1"', f'"{label}"')
    with pytest.raises(ValueError, match=rf"silicon\.xml: species: .* got '{label}'"):
        read_espresso_xml(path)


def test_espresso_missing_file(tmp_path):
    with pytest.raises(ValueError, match=r"nothing\.xml: .*No such file.*check the pa"):
        read_espresso_xml(tmp_path / "nothing.xml")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.99])
def test_espresso_truncated_file(unpack, share):
    path = unpack("silicon")
    text = path.read_text()
    path.write_text(text[: int(share * len(text))])
    with pytest.raises(
        ValueError, match=r"silicon\.xml: .*incomplete or damag.*finish"
    ):
        read_espresso_xml(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("qes:espresso", "qes:other", r"root element: expected espresso, got .*other"),
        (">scf<", ">bands<", "calculation: expected a k-point grid, got 'bands'"),
        ("achieved>true", "achieved>false", "convergence_achieved: .* got false"),
        ("scf_conv>", "conv>", "convergence_achieved: expected true, got nothing"),
        ("nelec>", "charge>", "output/band_structure/nelec: expected .* the run fin"),
        ("band_structure>", "bands>", "output/band_structure: expected in the output"),
        ('weight="', 'other="', "kpoint_weights: expected numbers, got .*?"),
        (
            "-2.0769",
            "********",
            r"eigenvalues: expected numbers, got '\*{8}.*; check",
        ),
    ],
)
def test_espresso_other_content(unpack, old, new, message):
    path = unpack("silicon", old, new)
    with pytest.raises(ValueError, match=rf"silicon\.xml: {message}"):
        read_espresso_xml(path)


# -------------------------------------------------------------------- extended XYZ


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("kpoints", [1, 3])
@pytest.mark.parametrize("bands", [3, 4])
def test_extxyz_round_trip(write, channels, kpoints, bands):
    # One k-point: the list of weights has one number, which ASE makes a scalar.
    calculation = example(channels, kpoints, bands)
    calculation.atoms.info["material"] = "CO"
    [found] = read_extxyz(write(calculation_to_atoms(calculation)))
    assert_same(calculation, found)


def test_extxyz_one_eigenvalue(write):
    calculation = example(kpoints=1, bands=1, n_electrons=2)
    [found] = read_extxyz(write(calculation_to_atoms(calculation)))
    assert found.eigenvalues.shape == (1, 1, 1)
    assert_same(calculation, found)


def test_extxyz_without_optional_keys(write):
    calculation = example(fermi_level=None, n_electrons=None)
    atoms = calculation_to_atoms(calculation)
    assert set(atoms.info) == {"eigenvalues", "kpoint_weights"}
    [found] = read_extxyz(write(atoms))
    assert_same(calculation, found)


def test_extxyz_order(write):
    calculations = [example(kpoints=kpoints) for kpoints in (2, 1, 5)]
    path = write(*map(calculation_to_atoms, calculations))
    found = list(read_extxyz(str(path)))
    assert len(found) == 3
    for one, other in zip(calculations, found, strict=True):
        assert_same(one, other)


def test_extxyz_of_espresso(unpack, write):
    calculation = read_espresso_xml(unpack("hydrogen-lsda"))
    [found] = read_extxyz(write(calculation_to_atoms(calculation)))
    assert_same(calculation, found)


def test_calculation_to_atoms():
    calculation = example(channels=2)
    calculation.atoms.info = {"material": "CO", "spin_channels": 7}
    atoms = calculation_to_atoms(calculation)
    # Channels are outermost and bands innermost.
    assert atoms.info["eigenvalues"][1] == calculation.eigenvalues[0, 0, 1]
    assert atoms.info["eigenvalues"][4] == calculation.eigenvalues[0, 1, 0]
    assert atoms.info["eigenvalues"][12] == calculation.eigenvalues[1, 0, 0]
    assert atoms.info["spin_channels"] == 2
    assert calculation.atoms.info == {"material": "CO", "spin_channels": 7}
    # What is left from another calculation does not survive.
    one = example(atoms=atoms, fermi_level=None, n_electrons=None)
    assert set(calculation_to_atoms(one).info) == {
        "material",
        "eigenvalues",
        "kpoint_weights",
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eigenvalues": None}, r"eigenvalues: expected in the info.*'fermi_level'"),
        ({"kpoint_weights": None}, "kpoint_weights: expected in the info"),
        ({"spin_channels": 3}, "spin_channels: expected 1 or 2, got .*3"),
        ({"spin_channels": 2}, "eigenvalues: expected a multiple of 2 .* x 3 .* got 9"),
        ({"eigenvalues": np.arange(8.0)}, "a multiple of 1 .* x 3 .* got 8;"),
        ({"kpoint_weights": "none"}, "kpoint_weights: expected real numbers, got <U4"),
        ({"kpoint_weights": []}, r"a multiple of 1 \(.*\) x 0 \(k-points\)"),
        ({"kpoint_weights": [0.3, 0.3, 0.3]}, "kpoint_weights: expected a sum of 1 or"),
        (
            {"fermi_level": "high"},
            "fermi_level: expected a finite number .* got 'high'",
        ),
    ],
)
def test_extxyz_other_content(write, changes, message):
    good = calculation_to_atoms(example(bands=3))
    bad = good.copy()
    for key, value in changes.items():
        if value is None:
            del bad.info[key]
        else:
            bad.info[key] = value
    found = read_extxyz(write(good, bad))
    next(found)
    with pytest.raises(ValueError, match=rf"structures\.xyz, structure 1: .*{message}"):
        next(found)


ONE_FRAME = (
    '{count}\nProperties={columns} eigenvalues="0 1" kpoint_weights=2 {more}\nH 0 0 0\n'
)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"count": "1000000000000"},
            "expected 1000000000000 complete lines .* got 1 ",
        ),
        (
            {"count": "9" * 5000},
            "structure 0: .* incomplete or damaged",
        ),
        (
            {"count": "-1"},
            "structure 0: .* incomplete or damaged",
        ),
        (
            {"columns": "species:S:1:pos:R:3:x:R:1000000000000"},
            "expected the 1000000000004 columns that Properties announces, got 4",
        ),
        (
            {"columns": "species:S:1:pos:R:3" + ":x:R:1" * 5000},
            "expected the 5004 columns",
        ),
        (
            {"more": 'x="_JSON {\\"__ndarray__\\": [[9999999], \\"O\\", [1]]}"'},
            "info: expected numbers.*'__ndarray__'",
        ),
        ({"more": "fermi_level=1e999"}, "fermi_level: expected a finite number"),
        ({"more": "n_electrons=1e300"}, "n_electrons: .* at most the 4 that"),
        (
            {"more": "y=" + "x" * 9999 + " spin_channels=" + "x" * 9999},
            "got 'x{,110}\\.",
        ),
    ],
    ids=lambda value: None if isinstance(value, str) else next(iter(value)),
)
def test_extxyz_that_announces_too_much(tmp_path, changes, message):
    path = tmp_path / "a.xyz"
    given = {"count": "1", "columns": "species:S:1:pos:R:3", "more": "", **changes}
    path.write_text(ONE_FRAME.format(**given))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=rf"a\.xyz.*({message})") as error:
            list(read_extxyz(path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20e6 and len(str(error.value)) < 1000


def test_kpoints_without_weight_are_left_out(write):
    atoms = calculation_to_atoms(example(kpoint_weights=[0.5, 0.5, 1.0]))
    atoms.info["kpoints"] = np.arange(9) / 10
    atoms.info["kpoint_weights"] = np.array([0.5, 0.0, 1.5])
    [found] = read_extxyz(write(atoms))
    expected = example().eigenvalues
    np.testing.assert_allclose(found.eigenvalues, expected[:, ::2], 0, 1e-7)
    np.testing.assert_allclose(found.kpoints, [[0, 0.1, 0.2], [0.6, 0.7, 0.8]], 1e-7)
    assert found.kpoint_weights.tolist() == [0.5, 1.5]
    atoms.info["kpoint_weights"] = np.zeros(3)
    with pytest.raises(ValueError, match=r"kpoint_weights: expected positive .* got 0"):
        list(read_extxyz(write(atoms)))


def test_extxyz_truncated_file(write):
    atoms = calculation_to_atoms(example())
    path = write(atoms, atoms)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    with pytest.raises(
        ValueError,
        match=r"xyz, structure 1: expected 2 complete .* 1 ",
    ):
        list(read_extxyz(path))


def test_extxyz_empty_file(tmp_path):
    path = tmp_path / "structures.xyz"
    path.touch()
    with pytest.raises(ValueError, match=r"structures\.xyz.*: expected one at least"):
        list(read_extxyz(path))


def test_extxyz_missing_file(tmp_path):
    with pytest.raises(ValueError, match=r"nothing\.xyz.*: expected .*No such file"):
        next(read_extxyz(tmp_path / "nothing.xyz"))


# ------------------------------------------------------------------- Calculation


def test_calculation_is_normalised():
    calculation = example(
        eigenvalues=[[[1, 2]]],
        kpoint_weights=[2],
        fermi_level=np.float32(1.5),
        n_electrons=2,
    )
    assert calculation.eigenvalues.dtype == np.float64
    assert calculation.kpoint_weights.dtype == np.float64
    assert type(calculation.fermi_level) is float
    assert type(calculation.n_electrons) is float


@pytest.mark.parametrize(
    ("error", "changes", "message"),
    [
        (ValueError, {"atoms": "CO"}, r"atoms: expected ase\.Atoms, got str"),
        (ValueError, {"atoms": ase.Atoms()}, r"atoms: expected atomic num.* got \[\]"),
        (ValueError, {"atoms": ase.Atoms("X")}, r"numbers from 1 to 118, got \[0\]"),
        (ValueError, {"atoms": ase.Atoms([119])}, r"from 1 to 118, got \[119\]"),
        (
            ValueError,
            {"atoms": ase.Atoms("H", positions=[[0, np.nan, 0]])},
            "positions: expected finite numbers, got 1 that are not",
        ),
        (
            ValueError,
            {"atoms": ase.Atoms("H", cell=[np.inf, 1, 1])},
            "cell: expected finite numbers, got 1 that are not",
        ),
        (ValueError, {"eigenvalues": [[["a"]]]}, "eigenvalues: expected real numbers"),
        (ValueError, {"eigenvalues": [[[1j]]]}, "eigenvalues: .* got complex128"),
        (ValueError, {"kpoint_weights": [True] * 3}, "kpoint_weights: .* got bool"),
        (
            ValueError,
            {"eigenvalues": np.ones((3, 4))},
            r"eigenvalues: .* \(spin channels, k-points, bands\) .* got \(3, 4\)",
        ),
        (
            ValueError,
            {"eigenvalues": np.ones((1, 3, 0))},
            r"no empty axis, got \(1",
        ),
        (
            ValueError,
            {"eigenvalues": np.ones((3, 3, 4))},
            "1 or 2 spin .* got 3",
        ),
        (
            ValueError,
            {"eigenvalues": np.full((1, 3, 2), np.nan)},
            "eigenvalues: expected finite numbers, got 6",
        ),
        (
            ValueError,
            {"kpoint_weights": 2.0},
            r"expected shape \(k-points\) .* got \(\)",
        ),
        (
            ValueError,
            {"kpoint_weights": [1, 1]},
            "kpoint_weights: expected one for each of the 3 k-points .* got 2",
        ),
        (ValueError, {"kpoint_weights": [1, 1, 0]}, "expected positive numbers, got 0"),
        (ValueError, {"kpoint_weights": [1, np.inf, 1]}, "kpoint_weights: .*finite"),
        (ValueError, {"kpoint_weights": [1, 1, 1]}, "a sum of 1 or 2 .* got 3; scale"),
        (ValueError, {"fermi_level": np.nan}, "fermi_level: expected a finite number"),
        (
            ValueError,
            {"fermi_level": True},
            "fermi_level: .* None, got True",
        ),
        (ValueError, {"n_electrons": "8"}, "n_electrons: .* number or None, got '8'"),
        (ValueError, {"n_electrons": 0}, "n_electrons: expected more than 0 .* got 0"),
        (
            ValueError,
            {"n_electrons": 8.1},
            r"at most the 8 that .* got 8\.1",
        ),
    ],
)
def test_calculation_refuses(error, changes, message):
    with pytest.raises(error, match=message):
        example(**changes)


def test_calculation_refuses_weights_of_two_channels():
    with pytest.raises(ValueError, match="a sum of 1 where spin channels are 2, got 2"):
        example(channels=2, kpoint_weights=[0.5, 0.5, 1.0])


def test_calculation_accepts_rounded_weights():
    # Twelve weights of 2/12 with four digits.
    assert example(kpoints=12, kpoint_weights=[0.1667] * 12).n_electrons == 5


# ----------------------------------------------------------------- table of readers


def test_read_calculations(unpack, write):
    [found] = read_calculations(unpack("silicon"))
    assert_same(read_espresso_xml(unpack("silicon")), found)
    calculation = example()
    path = write(*[calculation_to_atoms(calculation)] * 2)
    for name in ("structures.xyz", "STRUCTURES.ExtXYZ"):
        first, second = read_calculations(str(path.rename(path.with_name(name))))
        path = path.with_name(name)
        assert_same(calculation, first)
        assert_same(calculation, second)


def test_read_calculations_takes_new_rows(monkeypatch, tmp_path):
    calculation = example()
    monkeypatch.setitem(READERS, "own", Reader(("*.own",), lambda path: calculation))
    assert list(read_calculations(tmp_path / "a.own")) == [calculation]


def test_read_calculations_unknown_format(tmp_path):
    with pytest.raises(ValueError, match=r"\*\.xml\* \(Quantum.* 'a\.txt'; rename"):
        list(read_calculations(tmp_path / "a.txt"))


# --------------------------------------------------------------------- example data


def test_example_data():
    smearing = 0.01 * RYDBERG
    materials = {}
    for calculation in read_extxyz(STRUCTURES):
        # The eigenvalues are rounded to 1e-4 eV, which moves up to 6e-5 electrons.
        assert electrons(calculation, smearing) == pytest.approx(
            calculation.n_electrons, abs=2e-4
        )
        top = calculation.eigenvalues[..., -1].min()
        assert top > calculation.fermi_level + 4
        materials.setdefault(calculation.atoms.info["material"], []).append(calculation)
    assert len(materials) >= 16
    assert {len(structures) for structures in materials.values()} == {7}


def test_replace_checks_again():
    with pytest.raises(ValueError, match="kpoint_weights"):
        replace(example(), kpoint_weights=np.ones(3))
