"""Readers on outputs of several codes, against what the codes themselves printed."""

import bz2
import gzip
import json
import lzma
import pickle
import re
import struct
import sys
import tarfile
import tracemalloc
from math import erfc
from pathlib import Path

import ase
import ase.io
import numpy as np
import pytest
from helpers.outputs import ONE_EACH, zstd

from metatrain_dos.data.dos import density_of_states
from metatrain_dos.data.grid import EnergyGrid
from metatrain_dos.data.readers import (
    READERS,
    calculation_from_ase,
    find_reader,
    read_calculations,
)
from metatrain_dos.data.readers._hdf5 import read_hdf5
from metatrain_dos.data.readers.abinit import VARIABLES


HARTREE = 27.211386245988  # eV
RYDBERG = HARTREE / 2
# pw.x prints four digits, and weights with seven.
PRINTED = 0.6e-4

# name: shape of the eigenvalues, sum of the weights, electrons
FOUND = {
    "espresso-silicon.out": ((1, 8, 8), 2, 8),
    "espresso-nscf.out": ((1, 8, 10), 2, 8),
    "espresso-cell.out": ((1, 6, 8), 2, 8),
    "espresso-aluminium.out": ((1, 16, 7), 2, 3),
    "espresso-molecule.out": ((1, 1, 4), 2, 2),
    "espresso-spin.out": ((2, 3, 4), 1, 1),
    "espresso-two-levels.out": ((2, 3, 4), 1, 2),
    "espresso-spinors.out": ((1, 3, 4), 1, 1),
    "abinit-silicon_GSR.nc": ((1, 8, 8), 2, 8),
    "abinit-bands_GSR.nc": ((1, 2, 6), 2, 8),
    "abinit-aluminium_GSR.nc": ((1, 16, 7), 2, 3),
    "abinit-molecule_GSR.nc": ((1, 1, 4), 2, 2),
    "abinit-spin_GSR.nc": ((2, 4, 4), 1, 1),
    "abinit-spinors_GSR.nc": ((1, 3, 12), 1, 8),
    "gpaw-silicon.gpw": ((1, 3, 8), 2, 8),
    "gpaw-default.gpw": ((1, 2, 5), 2, 8),
    "gpaw-aluminium.gpw": ((1, 8, 7), 2, 3),
    "gpaw-molecule.gpw": ((1, 1, 3), 2, 2),
    "gpaw-spin.gpw": ((2, 3, 3), 1, 1),
    "gpaw-two-levels.gpw": ((2, 2, 3), 1, 1),
    "gpaw-spinors.gpw": ((1, 2, 2), 1, 1),
    "vasprun_pstress.xml": ((1, 10, 8), 2, 8),
    "vasprun_dfpt.xml": ((1, 4, 32), 2, 8),
    "vaspout.h5": ((1, 2, 2), 2, 2),
    "vaspout-opt.h5": ((1, 3, 2), 2, 2),
    "cp2k-silicon.out": ((1, 4, 8), 2, 8),
    "cp2k-gamma.out": ((1, 1, 8), 2, 8),
    "cp2k-spin.out": ((2, 1, 4), 1, 1),
}
TEXTS = [n for n in FOUND if n.startswith("espresso") and n.endswith(".out")]
ENDS = [
    *("a.xml", "a.save", "a.gpw", "a_GSR.nc", "a.xyz", "a.out", "a.pwo"),
    *("vaspout.h5", "EIGENVAL"),
]


def read(path):
    """Read a file with one calculation."""
    [calculation] = read_calculations(path)
    return calculation


def assert_same(one, other, energies=0.0, weights=0.0, positions=0.0, kpoints=1e-15):
    """Compare two calculations; the Fermi level is an energy like the others."""
    np.testing.assert_allclose(other.eigenvalues, one.eigenvalues, 0, energies)
    np.testing.assert_allclose(other.kpoint_weights, one.kpoint_weights, 0, weights)
    if one.fermi_level is None:
        assert other.fermi_level is None
    else:
        assert other.fermi_level == pytest.approx(one.fermi_level, abs=energies)
    assert other.n_electrons == one.n_electrons
    np.testing.assert_allclose(
        other.atoms.positions, one.atoms.positions, 0, atol=positions
    )
    np.testing.assert_allclose(other.atoms.cell, one.atoms.cell, 0, atol=positions)
    assert (other.atoms.numbers == one.atoms.numbers).all()
    assert (other.atoms.pbc == one.atoms.pbc).all()
    if one.kpoints is not None and other.kpoints is not None:
        np.testing.assert_allclose(other.kpoints, one.kpoints, 0, kpoints)


def gaussian(energies, width):
    return 0.5 * np.vectorize(erfc)(energies / width)


def fermi_dirac(energies, width):
    return 1 / (1 + np.exp(np.minimum(energies / width, 500)))


# ------------------------------------------------------------------------ all codes


@pytest.mark.parametrize("name", FOUND)
def test_what_is_found(unpack, name):
    shape, total, electrons = FOUND[name]
    calculation = read(unpack(name))
    assert calculation.eigenvalues.shape == shape
    assert calculation.kpoint_weights.sum() == pytest.approx(total, abs=1e-6)
    # GPAW counts its electrons with a Fermi level that it converges to 1e-10.
    assert calculation.n_electrons == pytest.approx(electrons, abs=1e-9)
    assert calculation.atoms.calc is None
    assert (calculation.fermi_level is None) == ("two-levels" in name)
    # Symmetry makes k-points that count more than others.
    if shape[1] > 2 and "cp2k" not in name:
        assert np.ptp(calculation.kpoint_weights) > 0.1


@pytest.mark.parametrize(
    ("name", "smearing", "width", "tolerance"),
    [
        # pw.x converges its Fermi level to 1e-10 electrons, but prints four digits.
        ("espresso-aluminium.out", gaussian, 0.02 * RYDBERG, 1e-4),
        ("espresso-spin.out", gaussian, 0.02 * RYDBERG, 1e-4),
        ("espresso-spinors.out", gaussian, 0.02 * RYDBERG, 1e-4),
        # occopt = 7
        ("abinit-aluminium_GSR.nc", gaussian, 0.02 * HARTREE, 1e-6),
        ("abinit-spin_GSR.nc", gaussian, 0.01 * HARTREE, 1e-6),
        ("gpaw-aluminium.gpw", fermi_dirac, 0.2, 1e-6),
        ("gpaw-spin.gpw", fermi_dirac, 0.1, 1e-6),
        ("gpaw-spinors.gpw", fermi_dirac, 0.1, 1e-6),
        # 300 K; energies have six digits
        ("cp2k-spin.out", fermi_dirac, 300 * 8.617333e-5, 1e-5),
    ],
)
def test_electrons_of_metals(unpack, name, smearing, width, tolerance):
    # Fails for a wrong unit, weight, channel or Fermi level.
    calculation = read(unpack(name))
    occupations = smearing(calculation.eigenvalues - calculation.fermi_level, width)
    count = (calculation.kpoint_weights[:, None] * occupations).sum()
    assert count == pytest.approx(calculation.n_electrons, abs=tolerance)


@pytest.mark.parametrize(
    "name",
    [
        "espresso-silicon.out",
        "espresso-nscf.out",
        "espresso-molecule.out",
        "abinit-silicon_GSR.nc",
        "abinit-bands_GSR.nc",
        "abinit-spinors_GSR.nc",
        "abinit-molecule_GSR.nc",
        "gpaw-silicon.gpw",
        "gpaw-molecule.gpw",
        "vasprun_pstress.xml",
        "vasprun_dfpt.xml",
        "cp2k-silicon.out",
        "cp2k-gamma.out",
        "vaspout.h5",
    ],
)
def test_integral_of_insulators(unpack, name):
    # The Fermi level is at the top of the bands in some codes and in the gap in others.
    calculation = read(unpack(name))
    energies = calculation.eigenvalues
    filled = round(calculation.n_electrons / calculation.kpoint_weights.sum())
    top, bottom = energies[..., filled - 1].max(), energies[..., filled].min()
    assert top - 1e-3 < calculation.fermi_level < bottom
    lowest = energies.min() - 1
    middle = (top + bottom) / 2
    grid = EnergyGrid(lowest, (middle - lowest) / 20_000, 20_001)
    dos = density_of_states(energies, calculation.kpoint_weights, grid, 0.02)
    count = np.trapezoid(dos.sum(axis=0), grid.energies)
    # The smallest gap is 14 times the smearing.
    assert count == pytest.approx(calculation.n_electrons, abs=1e-6)


def test_band_widths_of_silicon(unpack):
    # Gamma comes first, and its valence band is 12 eV wide.
    names = ("espresso-silicon.out", "abinit-silicon_GSR.nc", "gpaw-silicon.gpw")
    bands = [read(unpack(name)).eigenvalues[0, 0] for name in names]
    espresso, abinit, gpaw = (energies[1:8] - energies[0] for energies in bands)
    # The same potential and plane waves; what is left is the sampling of the exchange.
    np.testing.assert_allclose(abinit, espresso, atol=0.01)
    # Another potential and coarser k-points
    np.testing.assert_allclose(gpaw, espresso, atol=0.25)


def test_bands_of_aluminium(unpack):
    names = ("espresso-aluminium.out", "abinit-aluminium_GSR.nc", "gpaw-aluminium.gpw")
    widths = []
    for name in names:
        calculation = read(unpack(name))
        widths.append(calculation.fermi_level - calculation.eigenvalues.min())
    espresso, abinit, gpaw = widths  # free electrons: 11.7 eV
    assert abinit == pytest.approx(espresso, abs=0.2)  # the smearing differs
    assert gpaw == pytest.approx(espresso, abs=0.8)  # and so do potential and cut-off


@pytest.mark.parametrize("name", ONE_EACH)
def test_truncated_files(unpack, name):
    path = unpack(name)
    whole, complete = read(path), path.read_bytes()
    for share in [*np.linspace(0, 0.95, 20), 0.97, 0.98, 0.99, 0.999]:
        path.write_bytes(complete[: int(share * len(complete))])
        try:
            found = read(path)
        except ValueError as error:
            assert str(path) in str(error)
            assert str(error).count("expected") >= 1
        else:
            assert_same(whole, found)
    # What ends too early, but not in the middle of something, is refused, too.
    for cut in (1, 2, 10, 100):
        path.write_bytes(complete[:-cut])
        try:
            found = read(path)
        except ValueError as error:
            assert str(path) in str(error)
        else:
            assert_same(whole, found)


@pytest.mark.parametrize("name", ONE_EACH)
def test_damaged_files(unpack, name):
    path = unpack(name)
    complete = path.read_bytes()
    rng = np.random.default_rng(11)
    for _ in range(30):
        begin = rng.integers(len(complete))
        damage = rng.bytes(8)
        path.write_bytes(complete[:begin] + damage + complete[begin + 8 :])
        try:
            read(path)
        except ValueError as error:
            assert str(path) in str(error)


@pytest.mark.parametrize("name", ENDS)
@pytest.mark.parametrize("content", [b"", b"\0" * 5000, "ä".encode("utf-16") * 99])
def test_files_without_sense(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match="expected") as caught:
        list(read_calculations(path))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ENDS)
def test_folders_and_missing_files(tmp_path, name):
    path = tmp_path / name
    with pytest.raises(ValueError, match=r"a.*No such file"):
        list(read_calculations(path))
    path.mkdir()
    with pytest.raises(ValueError, match=r"expected.*") as caught:
        list(read_calculations(path))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", [*FOUND, *ONE_EACH])
def test_nothing_is_unpickled(unpack, monkeypatch, name):
    path = unpack(name)

    def refuse(*_args, **_kwargs):
        raise AssertionError("unpickled")

    for function in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, function, refuse)
    assert read(path).eigenvalues.size


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        (
            "espresso-molecule.out",
            b"number of atoms/cell      =            2",
            b"number of atoms/cell      =   2000000000",
        ),
        (
            "espresso-molecule.out",
            b"number of k points=     1",
            b"number of k points= 100000000",
        ),
        ("gpaw-molecule.gpw", b"[1, 1, 6]", b"[99,9,9]999"),
        ("gpaw-molecule.gpw", b'"ndarray": [[2, 3]', b'"ndarray": [[9999999999, 3]'),
        ("structures.xyz", b"2\nLattice", b"2000000000\nLattice"),
    ],
)
def test_huge_counts(unpack, name, old, new):
    path = unpack(name)
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"damaged|complete"):
            read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 50e6


ENTITIES = (
    '<!DOCTYPE a [<!ENTITY l0 "ha">'
    + "".join(f'<!ENTITY l{i + 1} "{f"&l{i};" * 10}">' for i in range(9))
    + "]>\n"
)
OUTSIDE = '<!DOCTYPE a [<!ENTITY x SYSTEM "secret.txt">]>\n'
ESPRESSO = '<q:espresso xmlns:q="http://www.quantum-espresso.org/ns">{0}</q:espresso>'


@pytest.mark.parametrize(
    "content",
    [
        ENTITIES + ESPRESSO.format("&l9;"),  # 2 GB
        ENTITIES + "<modeling>&l9;</modeling>",
        OUTSIDE + ESPRESSO.format("&x;"),
        OUTSIDE + "<modeling>&x;</modeling>",
        ESPRESSO.format("<a>" * 100_000),
        "<modeling>" + "<calculation>" * 100_000,
    ],
    ids=lambda content: content[-20:],
)
def test_xml_that_grows_or_reads_other_files(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.txt").write_text("tell nobody")
    path = tmp_path / "a.xml"
    path.write_text('<?xml version="1.0"?>\n' + content)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"a\.xml: expected") as error:
            read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100e6
    assert "tell nobody" not in str(error.value) and len(str(error.value)) < 1000


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("espresso-molecule.xml", b'weight="2.0', b'weight="2.0x'),
        ("espresso-molecule.xml", b"<nelec>", b"<nelec>x"),
        ("vasprun_pstress.xml", b'"NELM">    60', b'"NELM">   6x0'),
        ("vasprun_pstress.xml", b'"NELECT">', b'"NELECT"> x'),
    ],
)
def test_what_is_no_number(unpack, name, old, new):
    path = unpack(name, old, new)
    with pytest.raises(ValueError, match=rf"{name}: .*: expected numbers, got '.*x"):
        read(path)


def test_messages_do_not_quote_whole_files(unpack):
    path = unpack("espresso-molecule.out", b"-9.6869", b"x" * 5000)
    with pytest.raises(
        ValueError, match=r"molecule\.out: .*incomplete or damaged"
    ) as error:
        read(path)
    assert len(str(error.value)) < 800


# ------------------------------------------------------- what pw.x prints


@pytest.mark.parametrize("name", TEXTS)
def test_text_is_the_xml_file(unpack, name):
    calculation = read(unpack(name.replace(".out", ".xml")))
    # Lengths have seven digits, in units of 4 Angstrom; so do k-points and axes.
    assert_same(calculation, read(unpack(name)), PRINTED, 1e-7, 5e-7, 5e-7)


def test_text_other_name(unpack):
    path = unpack("espresso-silicon.out")
    assert read(path.rename(path.with_suffix(".pwo"))).n_electrons == 8


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("bands", b"", b"", "Fermi energy: expected in the output.*a path"),
        ("unprinted", b"", b"", "eigenvalues: .*got none; give the prefix.xml"),
        ("silicon", b"JOB DONE", b"Killed", "JOB DONE: expected at the end"),
        (
            "silicon",
            b"convergence has been achieved in ",
            b"convergence NOT achieved after ",
            "SCF cycle: expected to converge",
        ),
        # a band that is not there, and one that did not fit its columns
        ("silicon", b"  13.6066", b"", "number of bands at every k-point, got .7, 8."),
        ("molecule", b"  -9.6869", b"*********", "incomplete or damaged"),
        ("aluminium", b"Kohn-Sham states=", b"Kohn-Sham:", "incomplete or damaged"),
    ],
)
def test_text_other_content(unpack, name, old, new, message):
    path = unpack(f"espresso-{name}.out", old, new)
    with pytest.raises(ValueError, match=rf"espresso-{name}\.out: .*{message}"):
        read(path)


def test_text_in_any_encoding(unpack):
    path = unpack("espresso-silicon.out", b"Reading input", "Größe".encode("latin-1"))
    assert read(path).n_electrons == 8


def test_text_of_the_last_step(unpack):
    # A relaxation without its last step, which then is the one before
    path = unpack("espresso-cell.out")
    steps = path.read_text().split("Begin final coordinates")
    last = read(path)
    path.write_text(steps[0] + "JOB DONE.\n")
    before = read(path)
    assert before.eigenvalues.shape == last.eigenvalues.shape
    assert before.fermi_level == 5.8487
    assert last.fermi_level == 5.8482


# --------------------------------------------------------------------------- ABINIT


def test_abinit_prints_the_same(unpack):
    # *_EIG, hartree with five digits
    silicon = read(unpack("abinit-silicon_GSR.nc"))
    printed = [-0.14846, 0.11670, 0.23342, 0.23342, 0.33331, 0.39015, 0.39015, 0.50891]
    np.testing.assert_allclose(silicon.eigenvalues[0, 1] / HARTREE, printed, 0, 0.6e-5)
    np.testing.assert_allclose(silicon.kpoint_weights[:2], [0.03125, 0.25], atol=1e-9)
    assert silicon.fermi_level / HARTREE == pytest.approx(0.26183, abs=0.6e-5)
    spin = read(unpack("abinit-spin_GSR.nc"))
    printed = [
        [-0.23840, 0.04841, 0.04841, 0.09656],
        [-0.06447, 0.08695, 0.08695, 0.11304],
    ]
    np.testing.assert_allclose(spin.eigenvalues[:, 2] / HARTREE, printed, 0, 0.6e-5)
    # acell of 8 bohr
    np.testing.assert_allclose(spin.atoms.cell.lengths(), 8 * 0.529177210903, 1e-9)
    molecule = read(unpack("abinit-molecule_GSR.nc")).atoms
    assert molecule.get_distance(0, 1) == pytest.approx(1.6 * 0.529177210903)


def test_abinit_leaves_out_what_fills_rows(unpack):
    # The rows of 6 bands are filled up to 9 with the highest energy of all.
    calculation = read(unpack("abinit-bands_GSR.nc"))
    assert calculation.eigenvalues.max() < 0.6 * HARTREE
    np.testing.assert_allclose(calculation.kpoint_weights, [0.25, 1.75])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("kptopt", -2, "kptopt: expected a k-point grid, got -2"),
        ("deltae", -0.3, "deltae: expected a last change .* got -0.3; run ABINIT"),
        ("deltae", np.nan, "deltae: .* got none that can be read; run"),
        ("eigenvalues", np.nan, "eigenvalues: expected finite numbers"),
    ],
)
def test_abinit_other_content(unpack, name, value, message):
    path = unpack("abinit-silicon_GSR.nc")
    netcdf = pytest.importorskip("netCDF4")
    with netcdf.Dataset(path, "a") as file:
        file[name][...] = value
    with pytest.raises(ValueError, match=rf"silicon_GSR\.nc: {message}"):
        read(path)


def test_abinit_without_weight(unpack):
    path = unpack("abinit-bands_GSR.nc")
    netcdf = pytest.importorskip("netCDF4")
    with netcdf.Dataset(path, "a") as file:
        file["kpoint_weights"][...] = [0, 1]
    calculation = read(path)
    assert calculation.eigenvalues.shape == (1, 1, 6)
    assert calculation.kpoint_weights == [2]


def test_abinit_without_pyfive(unpack, monkeypatch):
    path = unpack("abinit-silicon_GSR.nc")
    monkeypatch.setitem(sys.modules, "pyfive", None)
    with pytest.raises(ValueError, match=r"silicon_GSR\.nc: .*pip install pyfive"):
        read(path)


@pytest.mark.parametrize("name", [n for n in FOUND if n.endswith(".nc")])
def test_abinit_is_what_netcdf_reads(unpack, name):
    path = unpack(name)
    found = read_hdf5(path, VARIABLES)
    with pytest.importorskip("netCDF4").Dataset(path) as file:
        file.set_auto_mask(False)
        for key, values in found.items():
            if key in file.dimensions:
                assert len(file.dimensions[key]) == values.size
            else:
                np.testing.assert_array_equal(values, file[key][...])


@pytest.mark.parametrize("weight", [0, 1, 0.125])
def test_abinit_path_as_list(unpack, weight):
    # kptopt = 0, where weights need not add up
    path = unpack("abinit-silicon_GSR.nc")
    with pytest.importorskip("netCDF4").Dataset(path, "a") as file:
        file["kptopt"][...] = 0
        file["reduced_coordinates_of_kpoints"][:, 0] = 0.037 * np.arange(8)
        file["reduced_coordinates_of_kpoints"][:, 1:] = 0
        file["kpoint_weights"][...] = weight
    with pytest.raises(ValueError, match=r"GSR\.nc: kpt: .*grid, got a list of 8"):
        read(path)


def test_abinit_keeps_other_results(unpack):
    atoms = read(unpack("abinit-silicon_GSR.nc")).atoms
    # *_GSR.nc: etotal; the symmetric structure has no forces.
    assert atoms.info["energy"] == pytest.approx(-7.8 * HARTREE, rel=0.02)
    np.testing.assert_allclose(atoms.arrays["forces"], 0, atol=1e-8)
    stress = atoms.info["stress"]
    np.testing.assert_allclose(stress, stress[0, 0] * np.eye(3), atol=1e-6)


def test_abinit_cell_without_volume(unpack):
    path = unpack("abinit-silicon_GSR.nc")
    with pytest.importorskip("netCDF4").Dataset(path, "a") as file:
        file["primitive_vectors"][...] = 0
    with pytest.raises(ValueError, match=r"silicon_GSR\.nc: cell: .*span a volume"):
        read(path)


# ----------------------------------------------------------------------------- GPAW


def test_gpaw_prints_the_same(unpack):
    silicon = read(unpack("gpaw-silicon.gpw"))
    printed = [-6.605, 5.481, 5.481, 5.481, 7.852, 7.852]
    np.testing.assert_allclose(silicon.eigenvalues[0, 0, :6], printed, atol=0.6e-3)
    assert silicon.fermi_level == pytest.approx(5.682, abs=0.6e-3)
    spin = read(unpack("gpaw-spin.gpw"))
    printed = [[-5.86107, 0.80400], [-3.96645, 1.57943]]
    np.testing.assert_allclose(spin.eigenvalues[:, 1, :2], printed, atol=0.6e-5)
    assert spin.fermi_level == pytest.approx(-4.91382, abs=0.6e-5)
    spinors = read(unpack("gpaw-spinors.gpw"))
    np.testing.assert_allclose(spinors.eigenvalues[0, 0], [-8.998, -5.25], atol=0.6e-3)
    np.testing.assert_allclose(spin.atoms.cell.lengths(), 2.5)


def test_gpaw_takes_converged_bands(unpack):
    # By default GPAW converges the occupied bands; the file has seven.
    assert read(unpack("gpaw-default.gpw")).eigenvalues.shape[-1] == 5
    for bands, found in ((b"2 ", 2), (b"-2", 4), (b"9 ", 6), (b'"all"', 6)):
        old = b'"eigensolver": "cg", "convergence": {"bands": 3}'
        new = b'"convergence": {"bands": ' + bands + b"}"
        path = unpack("gpaw-molecule.gpw", old, new.ljust(len(old)))
        assert read(path).eigenvalues.shape[-1] == found


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"converged": true', b'"converged":false', "converged: expected true, got F"),
        (
            b'"size": [1, 1, 1]',
            b'"path": "GXMG"   ',
            "kpts: expected a grid, got a path",
        ),
        (b'"version": 3', b'"version": 1', "version: expected 3 or later, got 1"),
        (b'"kpts."', b'"kpt_."', r"incomplete or damaged"),
        (b"- of UlmGPAW", b"- of Ulm    ", "incomplete or damaged"),
    ],
)
def test_gpaw_other_content(unpack, old, new, message):
    path = unpack("gpaw-molecule.gpw", old, new)
    if old.startswith(b"- of"):
        assert read(path).n_electrons == pytest.approx(2)
        return
    with pytest.raises(ValueError, match=rf"molecule\.gpw: .*{message}"):
        read(path)


def test_gpaw_of_another_age(tmp_path):
    # Before GPAW 1.0, these files were tar archives.
    with tarfile.open(tmp_path / "a.gpw", "w") as archive:
        archive.add(__file__)
    with pytest.raises(ValueError, match=r"a\.gpw: expected a file of GPAW 1\.0 or"):
        read(tmp_path / "a.gpw")


def test_gpaw_refuses_objects(tmp_path, unpack):
    # An array of Python objects would have to be unpickled.
    path = unpack("gpaw-molecule.gpw", b'"float64"', b'"|O"     ')
    with pytest.raises(ValueError, match=r"molecule\.gpw: .*incomplete or damaged"):
        read(path)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        # ASE would make 2 GB of one number, and of one letter.
        ({"__ndarray__": [[300_000_000], "float64", [1]]}, r"\[300000000\] from 1 num"),
        ({"__ndarray__": [[1], "U500000000", ["a"]]}, "U500000000"),
    ],
)
def test_gpaw_refuses_json_that_grows(unpack, entry, message):
    path = write_gpw(unpack("gpaw-molecule.gpw"), entry)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=rf"molecule\.gpw: .*{message}"):
            read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 50e6


def test_gpaw_cell_as_object(unpack):
    # as GPAW writes it where the cell has one
    path = unpack("gpaw-molecule.gpw")
    expected = read(path)
    cell = {
        "__ndarray__": [[3, 3], "float64", expected.atoms.cell.array.ravel().tolist()]
    }
    for entry in (cell, {"__ase_objtype__": "cell", "array": cell}):
        assert_same(expected, read(write_gpw(path, entry)))


def write_gpw(path, cell):
    """Exchange the cell in the JSON of a file, which is its end."""
    content = path.read_bytes()
    [place] = struct.unpack("<q", content[40:48])
    [begin] = struct.unpack("<q", content[place : place + 8])
    [length] = struct.unpack("<q", content[begin : begin + 8])
    entries = json.loads(content[begin + 8 : begin + 8 + length])
    entries["atoms."]["cell"] = cell
    text = json.dumps(entries).encode()
    path.write_bytes(content[:begin] + struct.pack("<q", len(text)) + text)
    return path


@pytest.mark.parametrize("place", [32, 40])
def test_gpaw_announces_too_much(unpack, place):
    path = unpack("gpaw-molecule.gpw")
    content = path.read_bytes()
    damaged = content[:place] + struct.pack("<q", 10**12) + content[place + 8 :]
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match=r"molecule\.gpw: .*damaged|complete"):
        read(path)


# ----------------------------------------------------------------------------- VASP


@pytest.mark.parametrize("name", ["vasprun_pstress.xml", "vasprun_dfpt.xml"])
def test_vasp_is_what_ase_reads(unpack, name):
    path = unpack(name)
    atoms = ase.io.read(path, format="vasp-xml")
    expected = calculation_from_ase(atoms, n_electrons=8)
    # ASE wraps nothing and converts nothing; only the weights are scaled.
    assert_same(expected, read(path), weights=1e-7, positions=1e-12)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"Monkhorst-Pack"', b'"listgenerated"', "kpoints: .*grid, got a path"),
        (b"<eigenvalues>", b"<other>", "incomplete or damaged"),
        (b'name="weights"', b'name="others"', "varray.*weights.*: expected in the out"),
        (b"atominfo>", b"otherinfo>", "atominfo: expected in the output"),
        (b"<rc><c>C </c>", b"<rc><c>Xy</c>", "chemical symbols, got Xy"),
    ],
)
def test_vasp_other_content(unpack, old, new, message):
    path = unpack("vasprun_pstress.xml", old, new)
    with pytest.raises(ValueError, match=rf"vasprun_pstress\.xml: .*({message})"):
        read(path)


def test_vasp_cell_without_volume(unpack):
    path = unpack("vasprun_pstress.xml")
    text = path.read_text()
    for begin in (m.start() for m in re.finditer('<varray name="basis"', text)):
        end = text.index("</varray>", begin)
        zeros = re.sub(r"\d", "0", text[begin:end])
        text = text[:begin] + zeros + text[end:]
    path.write_text(text)
    with pytest.raises(ValueError, match=r"pstress\.xml: cell: .*span a volume"):
        read(path)


def test_vasp_missing_band(unpack):
    path = unpack("vasprun_pstress.xml")
    text = path.read_text()
    row = text.index("<r>", text.index("<eigenvalues>"))
    path.write_text(text[:row] + text[text.index("</r>", row) + 4 :])
    with pytest.raises(ValueError, match=r"pstress\.xml: eigenvalues: .* got \[7, 8\]"):
        read(path)


def test_vasp_variants(unpack):
    name = "vasprun_pstress.xml"
    collinear = read(unpack(name))
    spinors = read(
        unpack(name, b'"LNONCOLLINEAR"> F', b'"LNONCOLLINEAR"> T'),
    )
    np.testing.assert_allclose(2 * spinors.kpoint_weights, collinear.kpoint_weights)
    # Two channels that are the same
    path = unpack(name)
    text = path.read_text()
    begin = text.index('<set comment="spin 1">')
    last = "\n     </set>\n"  # of that depth
    end = text.index(last, begin) + len(last)
    path.write_text(text[:end] + text[begin:end] + text[end:])
    spin = read(path)
    assert spin.eigenvalues.shape == (2, *collinear.eigenvalues.shape[1:])
    np.testing.assert_array_equal(spin.eigenvalues[1], collinear.eigenvalues[0])
    assert spin.kpoint_weights.sum() == pytest.approx(1)


# ------------------------------------------------------------------ anything from ASE


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("espresso-aluminium.out", "espresso-out"),
        ("espresso-spin.out", "espresso-out"),
        ("gpaw-aluminium.gpw", "gpw"),
        ("vasprun_pstress.xml", "vasp-xml"),
    ],
)
def test_calculation_from_ase(unpack, name, format):
    path = unpack(name)
    expected = read(path)
    atoms = ase.io.read(path, format=format)
    found = calculation_from_ase(atoms, n_electrons=expected.n_electrons)
    bands = expected.eigenvalues.shape[-1]
    np.testing.assert_array_equal(found.eigenvalues[..., :bands], expected.eigenvalues)
    np.testing.assert_allclose(
        found.kpoint_weights, expected.kpoint_weights, rtol=0, atol=1e-7
    )
    assert found.fermi_level == expected.fermi_level
    assert found.atoms.calc is None


def test_calculation_from_ase_without_bands():
    atoms = ase.Atoms("H")
    with pytest.raises(ValueError, match=r"eigenvalues: expected a calculator .*None"):
        calculation_from_ase(atoms)


# ------------------------------------------------------------------- compressed files

COMPRESS = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstd.compress,
}


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize("name", ONE_EACH)
def test_compressed_files(unpack, name, suffix):
    path = unpack(name)
    expected, content = read(path), COMPRESS[suffix](path.read_bytes())
    other = path.with_name(path.name + suffix.upper())
    other.write_bytes(content)
    assert_same(expected, read(other))
    # and what is damaged is refused, whatever the library says
    other.write_bytes(content[:-20])
    with pytest.raises(ValueError, match=rf"{re.escape(other.name)}.*: expected") as e:
        read(other)
    assert "stream" not in str(e.value)
    other.write_bytes(b"no such thing" + content)
    with pytest.raises(ValueError, match=rf"{re.escape(other.name)}.*: expected"):
        read(other)


def test_compressed_folder(unpack, tmp_path):
    folder = tmp_path / "prefix.save"
    folder.mkdir()
    path = unpack("espresso-molecule.xml")
    content = gzip.compress(path.read_bytes())
    (folder / "data-file-schema.xml.gz").write_bytes(content)
    assert_same(read(path), read(folder))


# ------------------------------------------------------------------- finding a reader


@pytest.mark.parametrize("name", [*FOUND, *ONE_EACH])
def test_find_reader(unpack, name):
    formats = {
        ".out": "Quantum ESPRESSO text",
        ".gpw": "GPAW",
        ".nc": "ABINIT",
        ".h5": "VASP HDF5",
        ".xyz": "extended XYZ",
        ".xml": "VASP" if name.startswith("vasp") else "Quantum ESPRESSO",
    }
    path = unpack(name)
    expected = "CP2K" if name.startswith("cp2k") else formats[path.suffix]
    assert find_reader(path) is READERS[expected]


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("vasprun_pstress.xml", "vasprun.xml.relax2"),
        ("vasprun_pstress.xml", "vasprun.xml-001"),
        ("vasprun_pstress.xml", "vasprun.xml.relax2.gz"),
        ("espresso-molecule.out", "pw.log"),
        ("espresso-molecule.out", "scf.out.1"),
        ("espresso-molecule.xml", "data-file-schema.xml_old"),
    ],
)
def test_find_reader_of_renamed_files(unpack, name, other):
    path = unpack(name)
    reader, content = find_reader(path), path.read_bytes()
    path = path.with_name(other)
    path.write_bytes(gzip.compress(content) if other.endswith(".gz") else content)
    assert find_reader(path) is reader is not None
    assert len(list(read_calculations(path))) == 1


def test_find_reader_is_cheap(tmp_path, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("opened")

    monkeypatch.setattr(Path, "open", refuse)
    for name in ("a.xyz", "a.save", "a.gpw", "a_GSR.nc"):
        assert find_reader(tmp_path / name) is not None
    for name in ("a.txt", "a.in", "a.nc", "slurm.err", "POSCAR", "out"):
        assert find_reader(tmp_path / name) is None


def test_find_reader_looks_inside(tmp_path):
    path = tmp_path / "slurm-1.out"
    path.write_text("Program PWSCF".rjust(5000))
    assert find_reader(path) is None
    path.write_text("Program PWSCF".rjust(4000))
    assert find_reader(path) is READERS["Quantum ESPRESSO text"]
    path.write_text("Program OTHER")
    with pytest.raises(ValueError, match=r"PWSCF.* near its beg.*, got other content"):
        list(read_calculations(path))
