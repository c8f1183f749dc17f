"""What has been read is kept to the last bit."""

import gzip
import io
import os

import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from helpers.paths import OUTPUTS, STRUCTURES

from metatrain_dos.data.prepare import cache_format
from metatrain_dos.data.prepare.cache import load, read_sources
from metatrain_dos.data.readers import read_calculations, read_extxyz


def assert_same(one, other):
    assert one.atoms == other.atoms
    assert one.atoms.arrays.keys() == other.atoms.arrays.keys()
    for name, values in one.atoms.arrays.items():
        np.testing.assert_array_equal(values, other.atoms.arrays[name])
    assert one.atoms.info.keys() == other.atoms.info.keys()
    for key, value in one.atoms.info.items():
        np.testing.assert_array_equal(value, other.atoms.info[key])
    results = [
        each.atoms.calc.results if each.atoms.calc else {} for each in (one, other)
    ]
    assert results[0].keys() == results[1].keys()
    for key, value in results[0].items():
        np.testing.assert_array_equal(value, results[1][key])
    np.testing.assert_array_equal(one.eigenvalues, other.eigenvalues)
    np.testing.assert_array_equal(one.kpoint_weights, other.kpoint_weights)
    assert one.fermi_level == other.fermi_level
    assert one.n_electrons == other.n_electrons


def test_names_that_are_no_text(tmp_path):
    path = tmp_path / os.fsdecode(b"\xff\n.xyz")
    path.write_bytes(STRUCTURES.read_bytes())
    [summary] = read_sources([str(path)], tmp_path / "cache", (), 0.3)
    assert summary.error is None and len(summary.rows) == 224


@pytest.mark.parametrize(
    "name", sorted(path.name for path in OUTPUTS.glob("*si*.xml.gz"))
)
def test_real_outputs(tmp_path, name):
    path = tmp_path / name.removesuffix(".gz")
    path.write_bytes(gzip.decompress((OUTPUTS / name).read_bytes()))
    (calculation,) = read_calculations(path)
    file = io.BytesIO()
    cache_format.dump(calculation, file)
    file.seek(0)
    assert_same(cache_format.load(file), calculation)


def test_several_in_a_file_with_more_than_is_needed(tmp_path):
    calculations = list(read_extxyz(STRUCTURES))[:5]
    atoms = calculations[2].atoms
    atoms.info.update(text="a b", number=3, array=np.arange(3), flag=True)
    atoms.set_array("tags_of_mine", np.array(["a", "bc"]))
    atoms.set_initial_magnetic_moments([1.0, -1.0])
    forces = np.array([[0.0, 0.1, 0.2], [0.0, -0.1, -0.2]])
    atoms.calc = SinglePointCalculator(atoms, energy=-7.5, forces=forces)
    path = tmp_path / "several"
    with path.open("wb") as file:
        offsets = []
        for calculation in calculations:
            offsets.append(file.tell())
            cache_format.dump(calculation, file)
    for i in (3, 0, 2):
        assert_same(load(tmp_path, "several", offsets[i]), calculations[i])


def test_summaries(tmp_path):
    labels = ("material", "formula", "folder", "nothing")
    (summary,) = read_sources([str(STRUCTURES)], tmp_path, labels, 0.3)
    calculations = list(read_extxyz(STRUCTURES))
    rows = summary.rows
    assert summary.error is None and len(rows) == len(calculations)
    assert rows["number"].tolist() == list(range(len(calculations)))
    for row, values, calculation in zip(
        rows, summary.labels, calculations, strict=True
    ):
        assert_same(load(tmp_path, summary.record, row["offset"]), calculation)
        assert row["atoms"] == len(calculation.atoms)
        assert row["lowest"] == calculation.eigenvalues.min()
        assert row["electrons"] == calculation.n_electrons
        assert values[0] == calculation.atoms.info["material"]
        assert values[2:] == (str(STRUCTURES.parent), "")
    assert summary.labels[0][1] == "Si"
    # No temporary files are left.
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1


def test_a_changed_source_has_another_record(tmp_path):
    source = tmp_path / "some.xyz"
    source.write_text(STRUCTURES.read_text())
    cache = tmp_path / "cache"
    (first,) = read_sources([str(source)], cache, (), 0.3)
    (same,) = read_sources([str(source)], cache, (), 0.3)
    os.utime(source, (0, 0))
    (other,) = read_sources([str(source)], cache, (), 0.3)
    assert first.record == same.record != other.record


def test_a_source_that_vanishes(tmp_path):
    (summary,) = read_sources([str(tmp_path / "gone.xml")], tmp_path, (), 0.3)
    assert "No such file" in summary.error and len(summary.rows) == 0
