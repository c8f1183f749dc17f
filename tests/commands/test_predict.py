"""``mtt-dos predict`` and the calculator, with a model whose levels are known."""

import csv
import json
import os
import re
import subprocess
import sys

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.calculator import all_properties
from ase.units import kB
from helpers.level_model import CHOICES, write_model

from metatrain_dos import DOSCalculator
from metatrain_dos.commands.main import main
from metatrain_dos.models.electrons import electron_counter, read_valences
from metatrain_dos.models.model import DOSModel
from metatrain_dos.models.predictor import DOSPredictor


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Make the model, with its grid next to it."""
    folder = tmp_path_factory.mktemp("model")
    write_model(folder)
    return folder


@pytest.fixture
def structures(tmp_path):
    """Write a molecule with a gap, a metal, and a molecule without H."""
    hydrogen, metal, carbon = molecule("H2"), Atoms("Na", pbc=True), Atoms("C")
    metal.cell = np.diag([4.0, 4.0, 4.0])
    electrons = [2.0, 1.0, 4.0]
    for atoms, number in zip((hydrogen, metal, carbon), electrons, strict=True):
        atoms.info = {
            "material": str(atoms.symbols),
            "n_electrons": number,
            "fermi_level": 77.0,  # of a calculation
            "dos": np.ones(5),
        }
    path = tmp_path / "structures.xyz"
    ase.io.write(path, [hydrogen, metal, carbon])
    return path


def predict(folder, *arguments):
    """Run the command."""
    main(["predict", str(folder / "model.pt"), *map(str, arguments)])


def columns_of(path):
    """Read what is in a file as arrays by name."""
    if path.suffix == ".npz":
        with np.load(path) as file:
            return dict(file)
    if path.suffix == ".csv":
        with path.open() as file:
            rows = list(csv.DictReader(file))
        number = [int(row["structure"]) for row in rows]
        table = {
            name: np.array([float(row[name] or "nan") for row in rows])
            for name in rows[0]
            if name not in ("structure", "formula")
        }
        starts = np.flatnonzero(np.diff([-1, *number]))
        wide = {"dos_energies", "dos", "states"}
        return {
            name: v.reshape(len(starts), -1) if name in wide else v[starts]
            for name, v in table.items()
        }
    frames = ase.io.read(path, ":")
    names = {name for frame in frames for name in frame.info} - {"material"}
    return {
        name: np.array([f.info.get(name, np.nan) for f in frames]) for name in names
    }


@pytest.mark.parametrize("ending", ["xyz", "csv", "npz"])
def test_what_is_written(folder, structures, tmp_path, ending, capsys):
    output = tmp_path / f"out.{ending}"
    predict(folder, structures, "-o", output, "--states")
    found = columns_of(output)

    # Of two atoms, the lower level holds four electrons, and there are two of them: the
    # Fermi level is in it. Carbon has a gap, to which the smearing of 0.3 eV is known.
    np.testing.assert_array_equal(found["electrons"], [2, 1, 4])
    np.testing.assert_array_equal(found["fermi_level"], 0.0)
    np.testing.assert_allclose(found["gap"], [0, 0, 7.0], atol=0.01)
    np.testing.assert_allclose(found["axis_zero"], [-5.0, -2.5, -2.0], atol=0.1)
    np.testing.assert_allclose(found["highest_occupied"], [0, 0, -3.5], atol=0.01)
    np.testing.assert_allclose(found["lowest_unoccupied"], [0, 0, 3.5], atol=0.01)

    energies, dos, states = (found[name] for name in ("dos_energies", "dos", "states"))
    assert energies.shape == dos.shape == states.shape == (3, CHOICES.columns)
    on_axis = energies + found["axis_zero"][:, None]
    np.testing.assert_allclose(on_axis, [CHOICES.energies] * 3, atol=2e-6)  # rounding
    at_zero = [np.interp(0.0, x, n) for x, n in zip(energies, states, strict=True)]
    # The count is a parabola between two points, not a line.
    np.testing.assert_allclose(at_zero, found["electrons"], atol=1e-3)
    np.testing.assert_allclose(states[:, -1], [8, 12, 6], atol=1e-5)

    said = capsys.readouterr().out
    assert "structures: 3, 1 with a gap\n" in said
    assert "energy zero: the Fermi level; in a gap, its middle\n" in said
    assert re.search(r"2  C +4 electrons  gap 7.0\d eV\n", said)
    assert "no Fermi level" not in said
    assert sorted(tmp_path.iterdir()) == sorted([output, structures])


def test_extended_xyz_holds_nothing_of_other_calculations(folder, structures, tmp_path):
    output = tmp_path / "out.xyz"
    predict(folder, structures, "-o", output)
    for before, after in zip(
        ase.io.read(structures, ":"), ase.io.read(output, ":"), strict=True
    ):
        assert after.info["material"] == before.info["material"]
        assert after.info["fermi_level"] == 0.0
        assert "n_electrons" not in after.info and "states" not in after.info
        assert len(after.info["dos"]) == CHOICES.columns
        np.testing.assert_allclose(after.positions, before.positions, atol=1e-7)


@pytest.mark.parametrize("zero", ["fermi", "vbm", "axis"])
def test_the_calculator_is_the_same(folder, structures, tmp_path, zero):
    output = tmp_path / "out.npz"
    predict(folder, structures, "-o", output, "--zero", zero, "--states")
    found = columns_of(output)
    calculator = DOSCalculator(folder / "model.pt", zero=zero)
    for i, atoms in enumerate(ase.io.read(structures, ":")):
        atoms.calc = calculator
        energies, dos = calculator.get_dos(atoms)
        results = calculator.results
        np.testing.assert_array_equal(energies, results["dos_energies"])
        np.testing.assert_array_equal(dos, results["dos"])
        for name in found.keys() - {"formula"}:
            values, written = results[name], found[name][i]
            # Arrays over energies are single precision in the file.
            values = np.float32(values) if np.ndim(values) else values
            np.testing.assert_array_equal(values, written)
        assert calculator.get_property("gap", atoms) == found["gap"][i]
    # Energies are relative to what is asked for.
    zeros = {"fermi": "fermi_level", "vbm": "highest_occupied"}
    if zero in zeros:
        np.testing.assert_array_equal(found[zeros[zero]], 0.0)
    else:
        np.testing.assert_array_equal(found["axis_zero"], 0.0)
        np.testing.assert_allclose(found["fermi_level"], [-5.0, -2.5, -2.0], atol=0.1)


def test_the_calculator_sees_changes(folder):
    atoms = Atoms("C")
    # Nothing here may pass for a property that ASE knows.
    assert not set(DOSCalculator.implemented_properties) & set(all_properties)
    atoms.calc = DOSCalculator(DOSModel.load(folder / "model.pt"), electrons=4)
    _, first = atoms.calc.get_dos(atoms)
    assert atoms.calc.get_property("gap", atoms, allow_calculation=False) > 6.9
    atoms.set_atomic_numbers([11])
    _, second = atoms.calc.get_dos()  # that of the last structure
    np.testing.assert_array_equal(second, first)
    _, second = atoms.calc.get_dos(atoms)
    assert np.abs(second - first).max() > 1
    atoms.calc = DOSCalculator(folder / "model.pt", electrons=99)
    with pytest.raises(ValueError, match=r"expected at most the 12\.00 that"):
        atoms.calc.get_dos(atoms)


@pytest.mark.parametrize(
    "source",
    [
        ["--electrons", "n_electrons"],
        ["--electrons", "electrons.txt"],
        ["--valences", "H=1 Na=1 C=4"],
        ["--valences", "H=1,Na=1,C=4.0"],
        ["--valences", "valences.yaml"],
        ["--valences", "valences.json"],
    ],
    ids=" ".join,
)
def test_where_electrons_come_from(folder, structures, tmp_path, source, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "electrons.txt").write_text("2\n1\n4\n")
    valences = {"H": 1, "Na": 1, "C": 4, "No": 16}
    (tmp_path / "valences.json").write_text(json.dumps(valences))
    (tmp_path / "valences.yaml").write_text("H: 1\nNa: 1\nC: 4\nNo: 16\n")
    predict(folder, structures, "-o", "out.npz", *source)
    np.testing.assert_array_equal(
        columns_of(tmp_path / "out.npz")["electrons"], [2, 1, 4]
    )


def test_one_number_for_all(folder, structures, tmp_path, capsys):
    output = tmp_path / "out.npz"
    # Carbon's levels hold 6 electrons, the others 8 and 12.
    predict(folder, structures, "-o", output, "--electrons", "7")
    found = columns_of(output)
    np.testing.assert_array_equal(np.isnan(found["gap"]), [False, False, True])
    said = capsys.readouterr().out
    assert (
        "no Fermi level for 1, whose electrons do not fit; the first is structure 2: "
        "electrons: expected at most the 6.00 that the states from" in said
    )


def test_without_electrons_there_is_still_a_dos(folder, tmp_path, capsys):
    structures, output = tmp_path / "structures.xyz", tmp_path / "out.npz"
    ase.io.write(structures, [Atoms("C"), Atoms("Na")])
    message = 'electrons: expected .* give --valences "C=... Na=..."'
    with pytest.raises(SystemExit, match=message):
        predict(folder, structures, "-o", output)
    # Nothing is in the way of the corrected command.
    predict(folder, structures, "-o", output, "--zero", "axis")
    found = columns_of(output)
    np.testing.assert_allclose(found["dos_energies"], [CHOICES.energies] * 2)
    assert np.isnan(found["gap"]).all() and np.isnan(found["electrons"]).all()
    assert (
        "no Fermi level for 2, with energies on the axis of the training data, whose "
        "zero is arbitrary: the number of electrons is missing; give --electrons, "
    ) in capsys.readouterr().out
    atoms = Atoms("C", calculator=DOSCalculator(folder / "model.pt"))
    energies, _ = atoms.calc.get_dos(atoms)
    np.testing.assert_array_equal(np.float32(energies), found["dos_energies"][0])


def test_without_a_grid_the_smearing_is_missing(folder, structures, tmp_path, capsys):
    lonely = tmp_path / "elsewhere"
    lonely.mkdir()
    (lonely / "model.pt").write_bytes((folder / "model.pt").read_bytes())
    output = tmp_path / "out.npz"
    axis = ["--grid-spacing", "0.05", "--extra-targets", "40"]
    predict(lonely, structures, "-o", output, *axis)
    found = columns_of(output)
    # Edges where the DOS is 0.02 states/eV, not where the levels are.
    assert 4.9 < found["gap"][2] < 5.4
    assert "gaps are too small: the smearing is unknown" in capsys.readouterr().out
    predict(lonely, structures, "-o", output, *axis, "--smearing", "0.3", "--force")
    np.testing.assert_allclose(columns_of(output)["gap"][2], 7.0, atol=0.01)
    # Relative to the Fermi level, it does not matter where the axis begins.
    np.testing.assert_allclose(
        columns_of(output)["dos_energies"], found["dos_energies"], atol=0.1
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "out.dat"], r"output: expected a file that ends in \.xyz, \.extxyz,"),
        (
            ["-o", "there.npz"],
            r"output: there\.npz already exists; choose .* pass --force",
        ),
        (
            ["-o", ".", "--format", "csv", "--force"],
            "output: . already exists",
        ),
        (["-o", "no/out.npz"], "output: expected an existing folder, got no"),
        (
            ["-o", "o.csv", "--electrons", "key"],
            "no file 'key', and structure 0 ",
        ),
        (
            ["-o", "o.csv", "--electrons", "few"],
            "got the 1 of few, and none for structure 1",
        ),
        (
            ["-o", "o.csv", "--electrons", "many"],
            "got the 4 of many for 3 structures",
        ),
        (["-o", "o.csv", "--electrons", "bad"], "a file with one number in each line"),
        (["-o", "o.csv", "--electrons", "pairs"], r"pairs \(2 in a line\)"),
        (
            ["-o", "o.csv", "--valences", "H=1 C=4"],
            r"valences: .* structure 1 \(Na\), got none for Na; add Na=\.\.\.",
        ),
        (["-o", "o.csv", "--valences", "Xx=1"], "valences: .* got 'Xx' with '1'"),
        (["-o", "o.csv", "--valences", "H=one"], "valences: .* got 'H' with 'one'"),
        (["-o", "o.csv", "--valences", "H=-1"], "valences: .* got 'H' with '-1'"),
        (["-o", "o.csv", "--valences", "few"], "valences: .* got 'few'"),
        (
            ["-o", "o.csv", "--valences", "C=4", "--electrons", "1"],
            "got both; leave",
        ),
        (["-o", "o.csv", "--threshold", "0"], "threshold: expected a number > 0"),
        (["-o", "o.csv", "--tolerance", "0"], "tolerance: expected a number of states"),
        (["-o", "o.csv", "--target", "mtt::no"], "target: expected 'mtt::no' among"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes(folder, structures, tmp_path, arguments, message, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "there.npz": "",
        "few": "1\n",
        "many": "1\n1\n1\n1\n",
        "bad": "one\n",
        "pairs": "1 2\n3 4\n",
    }.items():
        (tmp_path / name).write_text(text)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit, match=f"^mtt-dos predict: .*{message}"):
        predict(folder, structures, *arguments)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("ending", ["xyz", "csv", "npz"])
def test_a_failure_leaves_what_was_there(folder, tmp_path, ending):
    structures, output = tmp_path / "structures.xyz", tmp_path / f"out.{ending}"
    output.write_text("as it was")
    ase.io.write(structures, [Atoms("C"), Atoms("C"), Atoms("U")])
    with pytest.raises(SystemExit, match=r"structure 2: .* atomic numbers \[92\]"):
        predict(
            *(folder, structures, "-o", output, "--force", "--batch-size", "1"),
            *("--electrons", "4"),
        )
    assert output.read_text() == "as it was"
    assert sorted(tmp_path.iterdir()) == sorted([structures, output])
    ase.io.write(structures, Atoms("C"))
    predict(folder, structures, structures, "-o", output, "--force", "--electrons", "4")
    np.testing.assert_array_equal(columns_of(output)["electrons"], [4, 4])


@pytest.mark.parametrize("text", ["", "3\nnonsense\n"])
def test_files_without_structures(folder, tmp_path, text):
    structures = tmp_path / "structures.xyz"
    structures.write_text(text)
    with pytest.raises(SystemExit, match="structures: expected "):
        predict(folder, structures, "-o", tmp_path / "out.npz")
    assert list(tmp_path.iterdir()) == [structures]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "1000000000000\n\nH 0 0 0\n",
            "expected 1000000000000 complete lines of atoms, got 1 ",
        ),
        (
            "1\nProperties=species:S:1:pos:R:3:x:R:99999999999\nH 0 0 0\n",
            "columns that Prop",
        ),
        ("1\n\nH nan 0 0\n", "structure 0: expected finite positions and cell"),
    ],
)
def test_files_that_announce_too_much(folder, tmp_path, text, message):
    structures = tmp_path / "structures.xyz"
    structures.write_text(text)
    with pytest.raises(SystemExit, match=message):
        predict(folder, structures, "-o", tmp_path / "out.npz")
    assert list(tmp_path.iterdir()) == [structures]


def test_a_last_line_without_an_end(folder, tmp_path):
    structures = tmp_path / "structures.xyz"
    structures.write_text("1\n\nH 0 0 0")
    predict(folder, structures, "-o", tmp_path / "out.csv", "--electrons", "2")
    assert (tmp_path / "out.csv").exists()


def test_structures_that_have_no_end(folder, tmp_path, no_waiting):
    os.mkfifo(tmp_path / "pipe.xyz")
    os.mkfifo(tmp_path / "pipe.cif")
    for name in ("pipe.xyz", "pipe.cif"):
        with pytest.raises(SystemExit, match=rf"{name}: expected a file, got a pipe"):
            predict(folder, tmp_path / name, "-o", tmp_path / "out.csv")


@pytest.mark.parametrize("device", ["cpu:99999", "cpu:1", "cpu:x", "cpu:-1", "gpu"])
def test_devices_that_are_not_there(folder, device):
    with pytest.raises(ValueError, match=f"device: expected one .* got '{device}'"):
        DOSModel.load(folder / "model.pt", device=device)
    assert DOSModel.load(folder / "model.pt", device="cpu:0").device.type == "cpu"


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "a: " + "[" * 50_000,
        "Si: &a [*a]",
        "".join(
            f"x{i}: &x{i} [{', '.join([f'*x{i - 1}' if i else 'x'] * 10)}]\n"
            for i in range(10)
        ),
    ],
    ids=["cut", "deep", "loop", "bomb"],
)
def test_valences_that_are_none(tmp_path, text):
    path = tmp_path / "valences.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match="valences: expected electrons") as error:
        read_valences(str(path))
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize("value", ["many", [1.0, 2.0], None])
def test_numbers_of_electrons_that_are_none(value):
    atoms = Atoms("H", info={"n_electrons": value})
    for electrons in (None, "n_electrons"):
        message = "electrons: expected a number > 0, got .* from 'n_electrons'"
        with pytest.raises(ValueError, match=message):
            electron_counter(electrons)(0, atoms)


def test_no_more_than_a_batch_is_in_memory(folder):
    read = []

    def structures():
        for number in range(20):
            read.append(number)
            yield Atoms("C")

    predictor = DOSPredictor(DOSModel.load(folder / "model.pt"), electrons=4)
    for number, _ in enumerate(predictor.predict(structures(), batch_size=3)):
        assert len(read) <= 3 * (number // 3 + 1)


@pytest.mark.parametrize("ending", ["xyz", "csv", "npz"])
def test_temperatures(folder, tmp_path, ending):
    """Of an atom of H with one electron: half of its lower level is occupied."""
    structures, output = tmp_path / "structures.xyz", tmp_path / f"out.{ending}"
    ase.io.write(structures, [Atoms("H"), Atoms("Na")])
    arguments = ["--electrons", "1", "--temperature", "300", "5000"]
    predict(folder, structures, "-o", output, *arguments)
    found = columns_of(output)
    level = 2 / (0.3 * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(found["dos_at_fermi_level"][0], level, rtol=2e-3)
    gamma = np.pi**2 / 3 * kB**2 * level
    np.testing.assert_allclose(found["sommerfeld_coefficient"][0], gamma, rtol=2e-3)
    # At the maximum of a Gaussian, the next term is 7 (pi kT / 0.3)^2 / 10 = 5 %.
    np.testing.assert_allclose(found["heat_capacity_300K"][0] / 300, gamma, rtol=0.06)
    np.testing.assert_allclose(found["chemical_potential_300K"][0], 0.0, atol=1e-3)
    # One electron in the lower half of a Gaussian, relative to its middle.
    energy = -0.3 * np.sqrt(2 / np.pi) + gamma * 300**2 / 2
    np.testing.assert_allclose(found["band_energy_300K"][0], energy, atol=2e-3)
    np.testing.assert_allclose(
        found["free_energy_5000K"],
        found["band_energy_5000K"] - 5000 * found["entropy_5000K"],
        atol=1e-5,  # decimals of text
    )
    predicted = DOSCalculator(
        folder / "model.pt", electrons=1, temperatures=[300.0, 5000.0]
    ).get_property("entropy_5000K", Atoms("Na"))
    np.testing.assert_allclose(found["entropy_5000K"][1], predicted, rtol=1e-6)


@pytest.mark.parametrize("kind", ["atom", "element"])
@pytest.mark.parametrize("ending", ["xyz", "csv", "npz"])
def test_parts(tmp_path, ending, kind):
    write_model(tmp_path, kind="atom")
    structures, output = tmp_path / "structures.xyz", tmp_path / f"out.{ending}"
    methane = molecule("CH4")
    ase.io.write(structures, [methane, Atoms("C")])
    arguments = ["--valences", "C=4 H=1", f"--per-{kind}"]
    predict(tmp_path, structures, "-o", output, *arguments)
    predictor = DOSPredictor(DOSModel.load(tmp_path / "model.pt"), valences="C=4 H=1")
    alone = {
        symbol: predictor.describe(
            next(predictor._models[0].predict([Atoms(symbol)])), None
        ).dos
        for symbol in "CH"
    }
    names = {"atom": list("01234"), "element": ["C", "H"]}[kind]
    parts = [alone["C"], *([alone["H"]] * 4 if kind == "atom" else [4 * alone["H"]])]
    if ending == "xyz":
        atoms = ase.io.read(output, "0")
        total = atoms.info["dos"]
        found = (
            atoms.arrays["dos_of_atoms"]
            if kind == "atom"
            else [atoms.info["dos_C"], atoms.info["dos_H"]]
        )
    elif ending == "npz":
        with np.load(output) as file:
            assert list(file["part"]) == ["all", *names, "all", names[0]]
            assert list(file["structure"]) == [0] * (len(names) + 1) + [1, 1]
            total, *found = file["dos"][: len(names) + 1]
    else:
        with output.open() as file:
            rows = list(csv.DictReader(file))
        found = [
            [
                float(r["dos"])
                for r in rows
                if (r["structure"], r["part"]) == ("0", name)
            ]
            for name in ("all", *names)
        ]
        total, *found = found
    # six decimals in text
    np.testing.assert_allclose(found, parts, atol=1e-6)
    np.testing.assert_allclose(total, np.sum(parts, 0), atol=1e-6)


def test_parts_of_a_model_without_rows_for_atoms(folder, structures, tmp_path):
    with pytest.raises(SystemExit, match="has one row for each system; leave it out"):
        predict(folder, structures, "-o", tmp_path / "out.npz", "--per-atom")


@pytest.fixture(scope="module")
def committee(tmp_path_factory):
    """Three members, whose zeros have nothing to do with each other."""
    folder = tmp_path_factory.mktemp("committee")
    for name, moved, stretched in (("a", -1.0, 0.9), ("b", 0.5, 1.0), ("c", 2.0, 1.1)):
        write_model(folder, f"{name}.pt", moved=moved, stretched=stretched)
    return [folder / f"{name}.pt" for name in "abc"]


def test_a_committee(committee, tmp_path, capsys):
    structures, output = tmp_path / "structures.xyz", tmp_path / "out.npz"
    ase.io.write(structures, [Atoms("C"), Atoms("Na")])
    arguments = ["--valences", "C=4 Na=1", "--temperature", "1000", "-o", output]
    main(["predict", *map(str, [*committee, structures, *arguments])])
    found = columns_of(output)
    # The gap of carbon is 7 eV, give or take 10 %.
    np.testing.assert_allclose(found["gap"], [7.0, 0.0], atol=0.02)
    np.testing.assert_allclose(found["gap_std"], [0.7, 0.0], atol=0.02)
    # Levels -2, 0.9 * -2 - 1 and so on; members agree at their Fermi levels.
    axis = [0.9 * -2 - 1, -2 + 0.5, 1.1 * -2 + 2]
    np.testing.assert_allclose(found["fermi_level"], 0.0)
    np.testing.assert_allclose(
        found["fermi_level_std"][0], np.std(axis, ddof=1), atol=0.02
    )
    np.testing.assert_allclose(found["axis_zero"][0], np.mean(axis), atol=0.02)
    np.testing.assert_allclose(found["highest_occupied_std"][0], 0.35, atol=0.01)
    one = DOSPredictor(DOSModel.load(committee[1]), valences="C=4 Na=1")
    ((_, alone),) = one.predict([Atoms("Na")])
    # Levels 0.09 to 0.11 eV apart, smeared by 0.3 eV: the middle of the band is flat.
    middle = (alone.dos_energies > 1.5) & (alone.dos_energies < 3.0)
    mean = np.interp(alone.dos_energies, found["dos_energies"][1], found["dos"][1])
    np.testing.assert_allclose(mean[middle], alone.dos[middle], rtol=0.02)
    deviation = np.interp(2.0, found["dos_energies"][1], found["dos_std"][1])
    np.testing.assert_allclose(deviation, 0.2, atol=0.01)
    assert (found["heat_capacity_1000K_std"] >= 0).all()
    said = capsys.readouterr().out
    line = r"0  C +4 electrons  gap 7\.0\d eV \+- 0\.70, DOS \+- (\d+)%\n"
    (size,) = re.findall(line, said)
    sizes = [np.sqrt((found[name][0] ** 2).mean()) for name in ("dos_std", "dos")]
    assert float(size) == pytest.approx(100 * sizes[0] / sizes[1], abs=0.6)
    for zero, name in (("vbm", "highest_occupied"), ("fermi", "fermi_level")):
        members = [DOSModel.load(path) for path in committee]
        ((_, each),) = DOSPredictor(members, electrons=4, zero=zero).predict(
            [Atoms("C")]
        )
        assert getattr(each, name) == 0.0
    message = "members of a committee are aligned, got none; give"
    with pytest.raises(ValueError, match=message):
        list(DOSPredictor(members).predict([Atoms("C")]))


def test_a_mean_has_one_zero(tmp_path, capsys):
    """Frames of C and Na_4 with 4 electrons: a gap comes and goes."""
    write_model(tmp_path)
    structures, output = tmp_path / "md.traj", tmp_path / "mean.npz"
    frames = [molecule("CH4") for _ in range(64)]
    ase.io.write(structures, frames)
    arguments = ["--electrons", "8", "--mean", "--temperature", "3000", "-o", output]
    predict(tmp_path, structures, *arguments)
    found = columns_of(output)
    predict(tmp_path, structures, *arguments[:2], "-o", tmp_path / "one.npz")
    one = columns_of(tmp_path / "one.npz")
    np.testing.assert_allclose(found["dos"][0], one["dos"][0])
    np.testing.assert_allclose(found["dos_energies"][0], one["dos_energies"][0])
    assert found["frames"] == 64
    for name in ("dos_error", "gap_error", "fermi_level_error", "entropy_3000K_error"):
        np.testing.assert_allclose(found[name], 0.0, atol=1e-9)
    assert "mean over 64 structures\n  fermi_level" in capsys.readouterr().out
    ase.io.write(structures, [*frames, Atoms("C", info={"n_electrons": 4})])
    with pytest.raises(
        SystemExit, match=r"structure 64: expected 8\.0 electrons, as in"
    ):
        predict(
            *(tmp_path, structures, "--valences", "C=4 H=1", "--mean", "--force"),
            *("-o", output),
        )


def test_a_mean_over_frames_whose_gap_comes_and_goes(folder):
    """Single frames have zeros 2 eV apart; their mean is on the axis of the model."""
    predictor = DOSPredictor(
        DOSModel.load(folder / "model.pt"), electrons=4, zero="axis"
    )
    frames = [Atoms("C"), Atoms("Na4")] * 8
    _, mean = predictor.average(frames)
    rows = [next(predictor._models[0].predict([each])) for each in frames[:2]]
    np.testing.assert_allclose(mean.dos, np.mean(rows, 0), atol=1e-12)
    np.testing.assert_allclose(mean.dos_energies, CHOICES.energies, atol=1e-12)
    levels = [predictor.describe(row, 4).fermi_level for row in rows]
    np.testing.assert_allclose(mean.fermi_level, np.mean(levels))
    # Alternating frames: blocks of two are all the same.
    assert mean.numbers["fermi_level_error"] < abs(np.subtract(*levels)) / 2 / 3


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        ("", [1, 6, 11, 1, 6]),
        ("@1", [6]),
        ("@-2", [1]),
        ("@1:3", [6, 11]),
        ("@::2", [1, 11, 6]),
        ("@-3:", [11, 1, 6]),
    ],
)
@pytest.mark.parametrize("name", ["structures.xyz", "structures.traj"])
def test_indices_of_ase(folder, tmp_path, name, index, expected):
    numbers = [1, 6, 11, 1, 6]
    ase.io.write(tmp_path / name, [Atoms(numbers=[z]) for z in numbers])
    output = tmp_path / "out.xyz"
    predict(folder, f"{tmp_path / name}{index}", "-o", output, "--electrons", "1")
    found = [atoms.numbers[0] for atoms in ase.io.read(output, ":")]
    assert found == expected


def test_valences_of_the_data_set(tmp_path):
    write_model(tmp_path)
    grid = json.loads((tmp_path / "grid.json").read_text())
    (tmp_path / "grid.json").write_text(
        json.dumps(grid | {"valences": {"C": 4, "H": 1}})
    )
    calculator = DOSCalculator(tmp_path / "model.pt")
    assert calculator.get_property("electrons", molecule("CH4")) == 8
    # Structures that say otherwise, and options, come first.
    charged = molecule("CH4")
    charged.info["n_electrons"] = 7
    assert calculator.get_property("electrons", charged) == 7
    calculator = DOSCalculator(tmp_path / "model.pt", valences="C=2 H=1")
    assert calculator.get_property("electrons", charged) == 6


@pytest.mark.parametrize(
    "files", [["structures.xyz"], ["model.pt"], ["a.xyz", "b.xyz"]]
)
def test_models_and_structures(files):
    with pytest.raises(
        SystemExit, match=r"files: expected at least one model \(\.pt or"
    ):
        main(["predict", *files, "-o", "out.npz"])


def test_unknown_zeros_are_refused(folder):
    with pytest.raises(ValueError, match=r"zero: expected fermi, vbm, axis, got 'mid'"):
        DOSPredictor(DOSModel.load(folder / "model.pt"), zero="mid")


def test_help_needs_no_torch():
    code = (
        "import sys, metatrain_dos.commands.main as cli\n"
        "try: cli.main(['predict', '--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "relative to the Fermi level" in done.stdout
