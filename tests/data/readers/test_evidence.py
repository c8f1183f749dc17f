"""Which numbers of a file are used, and which files are refused although they parse."""

import gzip
import tracemalloc
from itertools import pairwise, product

import ase
import ase.build
import ase.io
import numpy as np
import pytest
from helpers.outputs import run_of_vasp

from metatrain_dos.data.calculation import calculation_to_atoms
from metatrain_dos.data.readers import Calculation, read_calculations
from metatrain_dos.data.readers._common import BOHR
from metatrain_dos.data.readers._grids import check_distances, is_path
from metatrain_dos.data.readers._hdf5 import read_hdf5
from metatrain_dos.data.readers.vaspout import NEEDED, OPTIONAL
from metatrain_dos.data.readers.vaspout import _from_vaspout as from_arrays
from metatrain_dos.data.references import missing_electrons


def read(path):
    [calculation] = read_calculations(path)
    return calculation


@pytest.fixture
def write(tmp_path):
    """Write a vasprun.xml."""

    def write(text):
        path = tmp_path / "vasprun.xml"
        path.write_text(text)
        return path

    return write


# ------------------------------------------------------------------- grids and paths


def mesh(*sizes, shift=(0, 0, 0)):
    """Make a full mesh in the order in which codes write it."""
    numbers = np.array(list(product(*map(range, sizes))), dtype=float)
    return (numbers + shift) / sizes


def reduced(kpoints, symmetry="cubic"):
    """Leave one point of each orbit, weighted; k-points in Cartesian axes."""
    permutations = [np.eye(3)[list(p)] for p in ((0, 1, 2), (1, 2, 0), (2, 0, 1))]
    permutations += [p[[1, 0, 2]] for p in permutations]
    signs = [np.diag(s) for s in product((1, -1), repeat=3)]
    operations = [p @ s for p in permutations for s in signs]
    if symmetry == "inversion":
        operations = [np.eye(3), -np.eye(3)]
    orbits = {}
    for point in kpoints:
        images = (np.round((operations @ point) % 1, 6) % 1).tolist()
        orbits.setdefault(tuple(min(images)), []).append(point)
    points = np.array([members[0] for members in orbits.values()])
    return points, np.array([len(members) for members in orbits.values()], float)


def path(*corners, points=20):
    """Make a path from corner to corner, with both ends of each segment."""
    pairs = pairwise(corners)
    return np.concatenate([np.linspace(*pair, points) for pair in pairs])


G, X, M, R = (0, 0, 0), (0.5, 0, 0), (0.5, 0.5, 0), (0.5, 0.5, 0.5)


@pytest.mark.parametrize("shift", [0, 0.5])
@pytest.mark.parametrize(
    "sizes", [(1, 1, 1), (2, 2, 2), (4, 4, 4), (6, 6, 1), (5, 3, 8)]
)
def test_meshes_are_no_paths(sizes, shift):
    kpoints = mesh(*sizes, shift=[shift * (size > 1) for size in sizes])
    assert not is_path(kpoints, np.ones(len(kpoints)))
    for symmetry in ("cubic", "inversion"):
        if symmetry == "inversion" or len(set(sizes)) == 1:
            points, weights = reduced(kpoints, symmetry)
            assert not is_path(points, weights)
            # as they are printed
            assert not is_path(np.round(points, 7), np.round(weights / 7, 7))


def test_large_meshes_are_no_paths():
    for size in (12, 16, 24):
        assert not is_path(*reduced(mesh(size, size, size)))


def test_random_points_are_no_path():
    kpoints = np.random.default_rng(0).uniform(size=(30, 3))
    assert not is_path(kpoints, np.ones(30))


@pytest.mark.parametrize("points", [5, 10, 20, 41])
@pytest.mark.parametrize("corners", [(G, X), (G, X, M, G), (G, X, M, G, R, X), (X, M)])
def test_paths(corners, points):
    kpoints = path(*corners, points=points)
    assert is_path(kpoints, np.ones(len(kpoints)))
    # of no mesh at all
    assert is_path(
        kpoints @ [[1, 0.1, 0], [0, 1, 0.037], [0, 0, 1]], np.ones(len(kpoints))
    )


def test_extended_xyz_of_a_path(tmp_path):
    kpoints = path(G, X, M, G)
    weights = np.full(len(kpoints), 2 / len(kpoints))
    energies = np.zeros((1, len(kpoints), 2))
    calculation = Calculation(ase.Atoms("H"), energies, weights, kpoints=kpoints)
    file = tmp_path / "a.xyz"
    ase.io.write(file, calculation_to_atoms(calculation), format="extxyz")
    with pytest.raises(ValueError, match="kpoints: expected a grid, got a path of 60"):
        read(file)


@pytest.mark.parametrize("count", [1, 3, 4])
def test_extended_xyz_keeps_kpoints(tmp_path, count):
    kpoints = np.random.default_rng(1).uniform(size=(count, 3))
    weights = np.full(count, 2 / count)
    calculation = Calculation(
        ase.Atoms("H"), np.zeros((1, count, 2)), weights, kpoints=kpoints
    )
    file = tmp_path / "a.xyz"
    ase.io.write(file, calculation_to_atoms(calculation), format="extxyz")
    np.testing.assert_array_equal(read(file).kpoints, kpoints)


# ---------------------------------------------------------------------- two atoms


def test_distances():
    diamond = ase.build.bulk("C", a=3.57)
    molecule = ase.build.molecule("H2")
    apart = ase.Atoms("C2", [[0, 0, 0.1], [0, 0, 4.8]], cell=[5] * 3)
    for atoms in (diamond, diamond * (3, 3, 3), molecule, ase.Atoms("H"), apart):
        assert check_distances(atoms) is atoms


@pytest.mark.parametrize(
    ("atoms", "distance"),
    [
        (ase.Atoms("H2", [[0, 0, 0], [0, 0, 0.2]]), 0.2),
        (ase.Atoms("AuC", [[0, 0, 0], [0, 0, 0]]), 0),
        # through a face, twice around, and of an atom with its own image
        (ase.Atoms("C2", [[0, 0, 0.1], [0, 0, 4.8]], cell=[5] * 3, pbc=True), 0.3),
        (ase.Atoms("C2", [[0, 0, 0.1], [0, 0, 9.8]], cell=[5] * 3, pbc=True), 0.3),
        (ase.Atoms("C", cell=[5, 5, 0.6], pbc=True), 0.6),
        (ase.Atoms("C", cell=[[5, 0, 0], [4.9, 0.3, 0], [0, 0, 5]], pbc=True), 0.316),
        (ase.Atoms("C2", [[0, 0, 0], [0, 0, 0.3]], cell=[5, 0, 0], pbc=[1, 0, 0]), 0.3),
    ],
)
def test_atoms_that_are_too_close(atoms, distance):
    with pytest.raises(ValueError, match=rf"positions: .* got {distance} Angstrom"):
        check_distances(atoms)


def test_virtual_crystal(write):
    text = run_of_vasp(symbols=("Si", "Ge"), positions=[[0, 0, 0], [0, 0, 0]])
    with pytest.raises(ValueError, match=r"0 Angstrom between .* \(Si\) and 1 \(Ge\)"):
        read(write(text))


# ------------------------------------------------------------------------------ VASP


def test_vasp_as_it_should_be(write):
    calculation = read(write(run_of_vasp()))
    np.testing.assert_array_equal(calculation.eigenvalues, [[[-5, 1], [-4, 2]]])
    np.testing.assert_allclose(calculation.kpoint_weights, [0.5, 1.5])
    np.testing.assert_array_equal(calculation.kpoints, [[0, 0, 0], [0.5, 0, 0]])
    assert calculation.fermi_level == -1.5 and calculation.n_electrons == 2
    atoms = calculation.atoms
    assert atoms.get_chemical_symbols() == ["Si", "Si"]
    np.testing.assert_allclose(atoms.info["energy"], -10)
    np.testing.assert_allclose(atoms.arrays["forces"], [[0, 0, 1], [0, 0, -1]])
    # 10 kilobar of pressure
    np.testing.assert_allclose(np.diag(atoms.info["stress"]), -1 / 160.21766, 1e-6)


@pytest.mark.parametrize(
    ("energies", "limit", "converged"),
    [
        ((0, -9, -9.5, -9.5001), 60, True),
        ((0, -9, -9.5, -9.5), 4, True),  # with the last of all steps
        ((0, -9, -9.5, -9.5001), 4, False),
        # steps of a linear response follow
        ((0, -9, -9, -9, -1, -3, -3), 4, True),
        ((0, -1, -2, -3, -9, -9), 4, False),
        # a number that did not fit
        ((0, -9, -9.5, "********"), 4, False),
        ((0, -9, "********", "********"), 60, True),
    ],
)
def test_vasp_convergence(write, energies, limit, converged):
    path = write(run_of_vasp(energies=energies, limit=limit))
    if converged:
        assert read(path).n_electrons == 2
    else:
        found = "none that can be read" if "********" in energies else r"[\de.-]+"
        message = rf"EDIFF = 1e-05 eV, got {found} after all NELM = {limit} steps; run"
        with pytest.raises(ValueError, match=message):
            read(path)


def test_vasp_in_a_fixed_potential_has_no_energy(write):
    text = run_of_vasp(energies=(0, -9, -9.5, -9.6), limit=4, icharg=11)
    atoms = read(write(text)).atoms
    assert "energy" not in atoms.info and not atoms.has("forces")


def test_vasp_with_two_dos(write):
    first = "<dos><i name='efermi'>-9.0</i></dos>"
    opt = "<dos comment='kpoints_opt'><i name='efermi'>-8.0</i></dos>"
    right = "<dos><i name='efermi'>-1.5</i></dos>"
    calculation = read(write(run_of_vasp(dos=first + right + opt)))
    assert calculation.fermi_level == -1.5
    assert missing_electrons(calculation) == 0


def test_vasp_without_dos(write):
    # Half-way between the occupied states and the others
    text = run_of_vasp(dos="").replace("NELECT", "OTHER")
    calculation = read(write(text))
    assert calculation.fermi_level == -1.5
    assert calculation.n_electrons == pytest.approx(2)
    assert missing_electrons(calculation) == 0


def test_vasp_level_that_did_not_fit(write):
    text = run_of_vasp(dos="<dos><i name='efermi'>********</i></dos>")
    assert read(write(text)).fermi_level is None


KPOINTS_OPT = """
<eigenvalues_kpoints_opt comment="kpoints_opt"><kpoints>{generation}
<varray name="kpointlist"><v>0 0 0</v><v>0.25 0 0</v><v>0.5 0 0</v></varray>
<varray name="weights"><v>0.25</v><v>0.5</v><v>0.25</v></varray></kpoints>
<eigenvalues><array><set><set><set><r>-5 1</r><r>1 0</r></set>
<set><r>-4.5 1</r><r>1.5 0</r></set><set><r>-4 1</r><r>2 0</r></set></set></set></array>
</eigenvalues></eigenvalues_kpoints_opt>
<dos comment="kpoints_opt"><i name="efermi">-1.4</i></dos>
"""


@pytest.mark.parametrize("place", ["</calculation>", "</modeling>"])
def test_vasp_kpoints_opt(write, place):
    # The denser grid, with its own level and weights, wherever it stands
    opt = KPOINTS_OPT.format(generation="")
    calculation = read(write(run_of_vasp().replace(place, opt + place)))
    np.testing.assert_array_equal(calculation.eigenvalues[0, :, 0], [-5, -4.5, -4])
    np.testing.assert_allclose(calculation.kpoint_weights, [0.5, 1, 0.5])
    np.testing.assert_array_equal(calculation.kpoints[:, 0], [0, 0.25, 0.5])
    assert calculation.fermi_level == -1.4
    # but not a path
    opt = KPOINTS_OPT.format(generation="<generation param='listgenerated'/>")
    calculation = read(write(run_of_vasp().replace(place, opt + place)))
    assert len(calculation.kpoints) == 2 and calculation.fermi_level == -1.5


@pytest.mark.parametrize(("name", "symbol"), [("r ", "Zr"), ("X ", "Xe"), ("Si", "Si")])
def test_vasp_elements(write, name, symbol):
    atoms = read(write(run_of_vasp(symbols=(name, "Si")))).atoms
    assert atoms.get_chemical_symbols() == [symbol, "Si"]


def test_vasp_path_as_list(write):
    points = path(G, X, M)
    text = run_of_vasp(kpoints=points, weights=[1 / len(points)] * len(points))
    with pytest.raises(ValueError, match=r"vasprun\.xml: kpoints: .* got a path"):
        read(write(text))


def test_vasp_memory_is_flat(write):
    """Projections, in one piece and in many, are not even parsed."""
    row = "<r>0.1234 0.1234 0.1234 0.1234</r>\n"
    large = f"<projected><array><set>{row * 100_000}</set></array></projected>"
    text = run_of_vasp()
    expected = read(write(text))
    text = text.replace("<dos>", f"<dos><total>{row * 50_000}</total>", 1)
    path = write(text.replace("</calculation>", f"{large}</calculation>", 1))
    tracemalloc.start()
    found = read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(found.eigenvalues, expected.eigenvalues)
    assert found.fermi_level == expected.fermi_level
    assert path.stat().st_size > 5e6 and peak < 8e6
    # and what ends inside of them is incomplete
    path.write_text(path.read_text()[:1_000_000])
    with pytest.raises(ValueError, match="incomplete or damaged"):
        read(path)


# ------------------------------------------------------------------ Quantum ESPRESSO


@pytest.mark.parametrize(
    "name", ["espresso-md", "espresso-stopped", "espresso-vc-stopped"]
)
def test_espresso_structure_of_the_bands(unpack, name):
    """The output of a run that stops at nstep has the structure of the next step."""
    file = unpack(f"{name}.xml")
    calculation = read(file)
    text = file.read_text()
    last_step = text[text.rindex("<step ") : text.rindex("</step>")]
    site = last_step[last_step.rindex("<atom ") : last_step.rindex("</atom>")]
    last_atom = BOHR * np.array(site.partition(">")[2].split(), dtype=float)
    np.testing.assert_allclose(calculation.atoms.positions[-1], last_atom, atol=1e-9)
    # The next one is far away.
    output = text[text.index("<output>") :]
    site = output[output.rindex("<atom ") : output.rindex("</atom>")]
    next_atom = BOHR * np.array(site.partition(">")[2].split(), dtype=float)
    assert np.abs(next_atom - last_atom).max() > 1e-3
    # K-points are those of the mesh, whatever the cell has become.
    np.testing.assert_allclose(4 * calculation.kpoints % 1 % (1 - 1e-5), 0, atol=1e-5)


def test_espresso_text_and_xml_of_md(unpack):
    printed, exact = read(unpack("espresso-md.out")), read(unpack("espresso-md.xml"))
    np.testing.assert_allclose(
        printed.atoms.positions, exact.atoms.positions, atol=1e-7
    )
    np.testing.assert_allclose(printed.eigenvalues, exact.eigenvalues, atol=0.6e-4)
    np.testing.assert_allclose(printed.kpoints, exact.kpoints, atol=1e-6)
    assert printed.atoms.info["energy"] == pytest.approx(
        exact.atoms.info["energy"], 1e-7
    )
    np.testing.assert_allclose(
        printed.atoms.arrays["forces"], exact.atoms.arrays["forces"], atol=1e-6
    )


@pytest.mark.parametrize(
    ("steps", "error", "converged"),
    [("5", "1e-3", True), ("100", "1e-12", True), ("100", "1e-3", False)],
)
def test_espresso_63_does_not_say_whether_it_converged(unpack, steps, error, converged):
    path = unpack("espresso-molecule.xml")
    text = path.read_text()
    begin = text.rindex("<scf_conv>")
    end = text.index("</scf_conv>", begin)
    path.write_text(
        f"{text[:begin]}<scf_conv><n_scf_steps>{steps}</n_scf_steps><scf_error>{error}"
        f"</scf_error>{text[end:]}"
    )
    if converged:
        assert read(path).n_electrons == 2
    else:
        with pytest.raises(ValueError, match=r"convergence_achieved: .*error 0\.001"):
            read(path)


def test_espresso_level_that_did_not_fit(unpack):
    path = unpack("espresso-aluminium.out")
    level = path.read_text().partition("the Fermi energy is")[2].split()[0]
    path.write_text(path.read_text().replace(level, "********"))
    assert read(path).fermi_level is None
    path = unpack("espresso-molecule.xml")
    text = path.read_text()
    begin = text.index("<fermi_energy>")
    end = text.index("</fermi_energy>")
    path.write_text(f"{text[:begin]}<fermi_energy>*****{text[end:]}")
    assert read(path).fermi_level is None


def test_espresso_path_in_scf(unpack):
    path = unpack("espresso-aluminium.xml")
    head, *points = path.read_text().split("<ks_energies>")
    for number, point in enumerate(points):
        begin = point.index(">", point.index("<k_point")) + 1
        end = point.index("</k_point>")
        points[number] = f"{point[:begin]}{0.031 * number} 0 0{point[end:]}"
    path.write_text("<ks_energies>".join([head, *points]))
    with pytest.raises(ValueError, match="kpoints: expected a grid, got a path of 16"):
        read(path)


# -------------------------------------------------------------------- extended XYZ


@pytest.mark.parametrize(
    "name", ["k-point weights", "kpoints_weights", "kweights", "weights"]
)
def test_other_names_of_weights(tmp_path, name):
    atoms = ase.Atoms("H", info={"eigenvalues": [-1.0, 1.0], name: [2.0]})
    ase.io.write(tmp_path / "a.xyz", atoms, format="extxyz")
    calculation = read(tmp_path / "a.xyz")
    assert calculation.kpoint_weights == [2]
    assert calculation.atoms.info == {}


def test_other_results_are_kept(tmp_path, unpack):
    calculation = read(unpack("espresso-md.xml"))
    calculation.atoms.info["material"] = "Si"
    calculation.atoms.info["stress"] = np.diag([1.0, 2, 3])
    ase.io.write(tmp_path / "a.xyz", calculation_to_atoms(calculation), format="extxyz")
    found = read(tmp_path / "a.xyz").atoms
    assert found.calc is None
    assert found.info["energy"] == calculation.atoms.info["energy"]
    assert found.info["material"] == "Si"
    np.testing.assert_array_equal(found.info["stress"], np.diag([1.0, 2, 3]))
    np.testing.assert_allclose(
        found.arrays["forces"], calculation.atoms.arrays["forces"], atol=1e-8
    )


# ------------------------------------------------------- other outputs of VASP and CP2K


def test_vaspout(unpack):
    # The numbers of tests/outputs/make_vaspout.py
    calculation = read(unpack("vaspout.h5"))
    np.testing.assert_array_equal(calculation.eigenvalues, [[[-5, 1], [-4, 2]]])
    np.testing.assert_allclose(calculation.kpoint_weights, [0.5, 1.5])
    np.testing.assert_array_equal(calculation.kpoints, [[0, 0, 0], [0.5, 0, 0]])
    assert calculation.fermi_level == -1.5
    atoms = calculation.atoms
    assert atoms.get_chemical_symbols() == ["Si", "Zr"]
    # of the last step
    np.testing.assert_allclose(atoms.cell[0], [0, 2.727, 2.727])
    np.testing.assert_allclose(atoms.get_scaled_positions()[1], [0.25, 0.26, 0.25])
    assert atoms.info["energy"] == -10
    np.testing.assert_array_equal(atoms.arrays["forces"], [[0, 0, 1], [0, 0, -1]])
    np.testing.assert_allclose(np.diag(atoms.info["stress"]), -1 / 160.21766, 1e-6)
    dense = read(unpack("vaspout-opt.h5"))
    assert dense.fermi_level == -1.4
    np.testing.assert_array_equal(dense.kpoints[:, 0], [0, 0.25, 0.5])
    np.testing.assert_array_equal(dense.eigenvalues[0, :, 0], [-5, -4.5, -4])


@pytest.fixture
def arrays(unpack):
    """Arrays of a file, for tests to exchange some."""
    return read_hdf5(unpack("vaspout.h5"), NEEDED, OPTIONAL)


def test_vaspout_convergence(arrays):
    arrays["intermediate/ion_dynamics/electronic_step_converged"][-1] = 1
    with pytest.raises(ValueError, match=r"expected the last step to have .* got 1; "):
        from_arrays(arrays)
    arrays["input/incar/ICHARG"] = np.array(11)
    assert "energy" not in from_arrays(arrays).atoms.info
    del arrays["intermediate/ion_dynamics/electronic_step_converged"]  # before 6.5
    assert from_arrays(arrays).n_electrons == 2


def test_vaspout_spinors(arrays):
    arrays["results/electron_eigenvalues/nelectrons"] = np.array(1.0)
    arrays["results/electron_dos/ncdij"] = np.array(4)
    assert from_arrays(arrays).channels == 0
    arrays["results/electron_dos/ncdij"] = np.array(1)
    assert from_arrays(arrays).channels == 1
    arrays["input/incar/LSORBIT"] = np.array(1)
    assert from_arrays(arrays).channels == 0


def test_vaspout_without_level(arrays):
    del arrays["results/electron_dos/efermi"]
    del arrays["results/electron_eigenvalues/nelectrons"]
    calculation = from_arrays(arrays)
    assert calculation.fermi_level == -1.5 and calculation.n_electrons == 2


def test_vaspout_path(arrays):
    points = path(G, X, M)
    group = "results/electron_eigenvalues"
    arrays[f"{group}/kpoint_coords"] = points
    arrays[f"{group}/kpoints_symmetry_weight"] = np.full(len(points), 1 / len(points))
    for name in ("eigenvalues", "fermiweights"):
        arrays[f"{group}/{name}"] = np.repeat(
            arrays[f"{group}/{name}"][:, :1], len(points), axis=1
        )
    with pytest.raises(ValueError, match="kpoints: expected a grid, got a path of 40"):
        from_arrays(arrays)


EIGENVAL = """    2    2    1    {channels}
  0.1333597E+02  0.2587511E-09  0.2587511E-09  0.2587511E-09  0.5000000E-15
  1.000000000000000E-004
  CAR
 a system
     {electrons}     2      2

  0.0000000E+00  0.0000000E+00  0.0000000E+00  0.2500000E+00
{first}

  0.5000000E+00  0.0000000E+00  0.0000000E+00  0.7500000E+00
{second}
"""
POSCAR = """a comment
1.0
0 2.7 2.7
2.7 0 2.7
2.7 2.7 0
Si Ge
1 1
Selective dynamics
direct
0 0 0 F F F
0.25 {y} 0.25 T T T
"""
OUTCAR = """
      direct lattice vectors                 reciprocal lattice vectors
     9.000000000  0.000000000  0.000000000     0.1  0.0  0.0
     0.000000000  9.000000000  0.000000000     0.0  0.1  0.0
     0.000000000  0.000000000  9.000000000     0.0  0.0  0.1
 E-fermi :   3.0     XC(G=0): -13.1912     alpha+bet :-14.7286
------------------------ aborting loop {end} ----------------
 E-fermi :  -1.6     XC(G=0): -13.1912     alpha+bet :-14.7286
 POSITION                                       TOTAL-FORCE (eV/Angst)
 -----------------------------------------------------------------------------------
      0.00000      0.00000      0.00000         0.000000      0.000000      0.000000
      4.50000      4.50000      4.50000         0.000000      0.000000      0.000000
"""


@pytest.fixture
def run(tmp_path):
    """Write files of a run of VASP; the ending is added to each name."""

    def write(channels=1, electrons=2, ending="", old=False, **files):
        bands = {
            1: (" 1 -5.0 1.0\n 2 1.0 0.0", " 1 -4.0 1.0\n 2 2.0 0.0"),
            2: (" 1 -5 -3 1 0\n 2 1 4 0 0", " 1 -4 -2 1 0\n 2 2 5 0 0"),
        }[channels]
        if old:  # without occupations
            bands = [
                "\n".join(" ".join(r.split()[: 1 + channels]) for r in b.split("\n"))
                for b in bands
            ]
        text = EIGENVAL.format(
            channels=channels, electrons=electrons, first=bands[0], second=bands[1]
        )
        for name, content in {"EIGENVAL": text, **files}.items():
            compressed = ending.endswith(".gz")
            content = content.encode()
            content = gzip.compress(content) if compressed else content
            (tmp_path / f"{name}{ending}").write_bytes(content)
        return tmp_path / f"EIGENVAL{ending}"

    return write


@pytest.mark.parametrize("ending", ["", ".gz", ".relax2", ".relax2.gz"])
def test_eigenval(run, ending):
    path = run(ending=ending, POSCAR=POSCAR.format(y=0.25))
    calculation = read(path)
    np.testing.assert_array_equal(calculation.eigenvalues, [[[-5, 1], [-4, 2]]])
    np.testing.assert_allclose(calculation.kpoint_weights, [0.5, 1.5])
    np.testing.assert_array_equal(calculation.kpoints, [[0, 0, 0], [0.5, 0, 0]])
    assert calculation.fermi_level == -1.5  # from the occupations
    assert calculation.n_electrons == 2
    assert calculation.atoms.get_chemical_symbols() == ["Si", "Ge"]
    assert not calculation.atoms.constraints


def test_eigenval_title_in_another_encoding(run):
    path = run(POSCAR=POSCAR.format(y=0.25))
    title = "Größe".encode("latin-1")
    path.write_bytes(path.read_bytes().replace(b"a system", title))
    assert read(path).n_electrons == 2


def test_eigenval_channels_and_spinors(run):
    spin = read(run(channels=2, electrons=1, POSCAR=POSCAR.format(y=0.25)))
    np.testing.assert_array_equal(spin.eigenvalues[1], [[-3, 4], [-2, 5]])
    np.testing.assert_allclose(spin.kpoint_weights, [0.25, 0.75])
    spinors = read(run(electrons=1, POSCAR=POSCAR.format(y=0.25)))
    assert spinors.channels == 0
    # Without occupations, nothing tells of spinors, nor where the levels end.
    old = read(run(old=True, POSCAR=POSCAR.format(y=0.25)))
    assert old.channels == 1 and old.fermi_level is None


def test_eigenval_level_of_other_files(run):
    files = {"POSCAR": POSCAR.format(y=0.25)}
    doscar = "\n".join([*["x"] * 5, "  17.1  -34.1  301      -1.2      1.0", "0 0 0"])
    assert read(run(**files, DOSCAR=doscar)).fermi_level == -1.2
    outcar = OUTCAR.format(end="because EDIFF is reached")
    calculation = read(run(**files, DOSCAR=doscar, OUTCAR=outcar))
    assert calculation.fermi_level == -1.6
    # whose structure is the last that was computed
    np.testing.assert_allclose(calculation.atoms.positions[1], [4.5] * 3)
    np.testing.assert_allclose(calculation.atoms.cell.lengths(), [9] * 3)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "POSCAR: expected it or CONTCAR beside this file, got neither"),
        (
            {"POSCAR": POSCAR.format(y=0.25), "CONTCAR": POSCAR.format(y=0.26)},
            "CONTCAR: expected the structure of POSCAR, got another",
        ),
        ({"POSCAR": POSCAR.replace("Si Ge\n", "")}, "names of the elements in its six"),
        (
            {
                "POSCAR": POSCAR.format(y=0.25),
                "OUTCAR": OUTCAR.format(end="EDIFF was not reached (unconverged)"),
            },
            "OUTCAR: expected the last step to reach EDIFF",
        ),
    ],
)
def test_eigenval_other_content(run, files, message):
    with pytest.raises(ValueError, match=rf"EIGENVAL: .*({message})"):
        read(run(**files))


def test_eigenval_cut(run):
    path = run(POSCAR=POSCAR.format(y=0.25))
    path.write_text(path.read_text()[:-30])
    with pytest.raises(ValueError, match=r"EIGENVAL: .* 2 bands each, got 4 lines"):
        read(path)


def test_eigenval_beside_better_files(run, tmp_path):
    path = run(POSCAR=POSCAR.format(y=0.25))
    (tmp_path / "vasprun.xml.gz").touch()
    with pytest.raises(ValueError, match=r"EIGENVAL: expected no vasprun.* beside it"):
        read(path)


def test_cp2k_prints_the_same(unpack):
    silicon = read(unpack("cp2k-silicon.out"))
    first = [-6.223477, 1.249224, 4.159803, 4.341088]  # eV, in another column
    np.testing.assert_allclose(silicon.eigenvalues[0, 0, :4], first, atol=3e-5)
    assert silicon.fermi_level == pytest.approx(6.135918, abs=3e-5)
    np.testing.assert_allclose(silicon.kpoints[:2], [[-0.25] * 3, [-0.25, -0.25, 0.25]])
    np.testing.assert_allclose(
        silicon.atoms.get_scaled_positions()[1], [0.25, 0.26, 0.25], atol=1e-6
    )
    assert silicon.atoms.info["energy"] == pytest.approx(-7.861347947667 * 27.2113862)
    gamma = read(unpack("cp2k-gamma.out"))
    assert gamma.kpoint_weights == [2] and gamma.fermi_level > 7


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"PROGRAM ENDED", b"", "PROGRAM ENDED: expected at the end"),
        (b"SCF run converged", b"SCF run NOT converged", "got 0 that did and 1 that"),
        (b"EIGENVALUES AND OCC", b"", "eigenvalues: expected in the output, got none"),
        (b"MO|      4 ", b"MO|      x ", "occupations: expected 8 electrons, got 6; "),
        (b"2.000000\n", b"********\n", "eigenvalues: expected numbers, got '[*]{8}"),
    ],
)
def test_cp2k_other_content(unpack, old, new, message):
    path = unpack("cp2k-silicon.out", old, new)
    with pytest.raises(ValueError, match=rf"cp2k-silicon\.out: .*({message})"):
        read(path)
