"""What has been read is kept to the last bit."""

import gzip
import io
import json
import os

import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from helpers.paths import OUTPUTS, STRUCTURES

from metatrain_dos.data.prepare import cache_format
from metatrain_dos.data.prepare.cache import find_kept, load_places, read_sources
from metatrain_dos.data.readers import files_of, read_calculations, read_extxyz


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


def load_from(cache, summary, offset):
    [calculation] = load_places(cache, [(summary.record, offset)])
    return calculation


def read(source, cache, labels=()):
    """Read a source as a run does, which knows of the runs before it."""
    kept = find_kept(cache).get(str(source), [])
    (summary,) = read_sources([(str(source), kept)], cache, labels, 0.3)
    return summary


def test_names_that_are_no_text(tmp_path):
    path = tmp_path / os.fsdecode(b"\xff\n.xyz")
    path.write_bytes(STRUCTURES.read_bytes())
    summary = read(path, tmp_path / "cache")
    assert summary.error is None and len(summary.rows) == 224
    assert find_kept(tmp_path / "cache").keys() == {str(path)}


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
    places = [("several", offsets[i]) for i in (3, 0, 2)]
    for i, loaded in zip((3, 0, 2), load_places(tmp_path, places), strict=True):
        assert_same(loaded, calculations[i])


def test_summaries(tmp_path):
    labels = ("material", "formula", "folder", "nothing")
    summary = read(STRUCTURES, tmp_path, labels)
    calculations = list(read_extxyz(STRUCTURES))
    rows = summary.rows
    assert summary.error is None and len(rows) == len(calculations)
    assert rows["number"].tolist() == list(range(len(calculations)))
    for row, values, calculation in zip(
        rows, summary.labels, calculations, strict=True
    ):
        assert_same(load_from(tmp_path, summary, row["offset"]), calculation)
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
    first, same = read(source, cache), read(source, cache)
    os.utime(source, (0, 0))
    other = read(source, cache)
    assert first.record == same.record != other.record
    assert first.rows.tobytes() == same.rows.tobytes() == other.rows.tobytes()


MODULE = "pymatgen.electronic_structure.dos"
POSCAR = "Al\n1.0\n{0} 0 0\n0 {0} 0\n0 0 {0}\nAl\n1\ndirect\n0 0 0\n"


def test_a_source_changes_with_the_files_beside_it(tmp_path):
    cache, source = tmp_path / "cache", tmp_path / "dos.json"
    energies = np.linspace(-9, 9, 181)
    densities = {"1": np.exp(-(energies**2)).tolist()}
    dos = {"energies": energies.tolist(), "densities": densities, "efermi": 0.0}
    source.write_text(json.dumps({"@module": MODULE, "@class": "Dos", **dos}))
    found = []
    for time, size in enumerate((2.8, 2.9, 2.9)):
        (tmp_path / "POSCAR").write_text(POSCAR.format(size))
        os.utime(tmp_path / "POSCAR", (min(time, 1),) * 2)
        pair = str(source), find_kept(cache).get(str(source), [])
        found += read_sources([pair], cache, (), 0.3, {"smearing": 0.1})
        assert found[-1].error is None
        place = found[-1].record, found[-1].rows["offset"][0]
        [calculation] = load_places(cache, [place])
        assert calculation.atoms.cell[0, 0] == size
    assert found[0].record != found[1].record == found[2].record


@pytest.mark.parametrize(
    ("source", "others", "projected"),
    [
        ("EIGENVAL.relax2", ["POSCAR.relax2", "OUTCAR.relax2.gz"], False),
        ("DOSCAR.gz", ["CONTCAR", "INCAR", "KPOINTS.gz"], False),
        ("si.bands", ["si.castep.gz", "si-out.cell", "si.cell", "si.md"], False),
        ("si.dos", ["si.xml", "dos.out", "si.save/data-file-schema.xml"], False),
        ("type.raw", ["type_map.raw", "set.0/dos.npy", "set.0/box.npy"], False),
        ("vasprun.xml", ["PROCAR.bz2"], True),
        ("si.xml", ["si.save/atomic_proj.xml"], True),
        ("si.save", ["si.save/data-file-schema.xml", "si.save/atomic_proj.xml"], True),
    ],
)
def test_the_files_of_a_source(tmp_path, source, others, projected):
    (tmp_path / "of-another.run").touch()
    files = {tmp_path / each for each in others}
    if not source.endswith(".save"):
        files.add(tmp_path / source)
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.touch()
    # Scratch files that are gone
    for folder in {file.parent for file in files}:
        (folder / "wfc1.dat").symlink_to("nowhere")
        (folder / "gone.out").symlink_to("nowhere")
    assert {*files_of(tmp_path / source, projected=projected)} == files
    if projected and source.endswith(".xml"):
        assert [*files_of(tmp_path / source)] == [tmp_path / source]


def test_a_source_that_vanishes(tmp_path):
    summary = read(tmp_path / "gone.xml", tmp_path / "cache")
    assert "No such file" in summary.error and len(summary.rows) == 0
    assert not any((tmp_path / "cache").iterdir())


def test_many_sources_are_in_one_record(tmp_path):
    """A faulty one among them is read again, and the others are not."""
    cache, sources = tmp_path / "cache", []
    for i in range(3):
        sources.append(tmp_path / f"{i}.xyz")
        sources[-1].write_text(STRUCTURES.read_text()[: -100 if i == 1 else None])
    summaries = read_sources([(str(each), []) for each in sources], cache, (), 0.3)
    assert [each.error is None for each in summaries] == [True, False, True]
    assert len(list(cache.iterdir())) == 1
    wanted = list(read_extxyz(STRUCTURES))
    for summary in summaries:
        number = len(summary.rows)
        assert number == len(wanted) - (summary.error is not None)
        found = load_from(cache, summary, summary.rows["offset"][-1])
        assert_same(found, wanted[number - 1])
    assert find_kept(cache).keys() == {str(sources[0]), str(sources[2])}
    sources[1].write_text(STRUCTURES.read_text())
    again = [read(source, cache) for source in sources]
    records = {each.record for each in summaries}
    assert [each.record in records for each in again] == [True, False, True]
    assert all(len(each.rows) == len(wanted) for each in again)
