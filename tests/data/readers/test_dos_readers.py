"""Readers of densities of states on a grid, against the eigenvalues behind them."""

import gzip
import io
import json
import tracemalloc
import zipfile

import ase
import numpy as np
import pytest
from helpers.dos_files import (
    sampled_dos,
    write_doscar,
    write_outcar,
    write_poscar,
)
from helpers.paths import OUTPUTS

from metatrain_dos.data.calculation import Calculation
from metatrain_dos.data.dos import density_of_states
from metatrain_dos.data.grid import EnergyGrid
from metatrain_dos.data.gridded_dos import GriddedDOS
from metatrain_dos.data.readers import (
    find_reader,
    read_calculations,
    read_deepmd,
    read_dos_json,
    read_dos_npz,
    read_doscar,
    read_espresso_dos,
)
from metatrain_dos.data.references import missing_electrons
from metatrain_dos.data.target_spec import TargetSpec


RYDBERG = 27.211386245988 / 2
SILICON = ase.Atoms(
    "Si2",
    scaled_positions=[[0, 0, 0], [0.25, 0.25, 0.25]],
    cell=[[0, 2.7, 2.7], [2.7, 0, 2.7], [2.7, 2.7, 0]],
    pbc=True,
)


@pytest.fixture
def calculation():
    """Make up two bands below a gap and four above it, of 30 k-points."""
    rng = np.random.default_rng(5)
    full, empty = rng.uniform(-8, 0, (1, 30, 2)), rng.uniform(2, 9, (1, 30, 4))
    return Calculation(
        atoms=SILICON,
        eigenvalues=np.sort(np.concatenate([full, empty], axis=-1), axis=-1),
        kpoint_weights=np.full(30, 2 / 30),
        fermi_level=0.9,
        n_electrons=4,
    )


@pytest.fixture
def magnet(calculation):
    """Give the bands of the second channel other energies."""
    bands = calculation.eigenvalues[0]
    down = np.where(bands > 1, bands + 0.7, bands - 0.3)
    return Calculation(
        atoms=SILICON,
        eigenvalues=np.array([bands, down]),
        kpoint_weights=np.full(30, 1 / 30),
        fermi_level=0.9,
        n_electrons=4,
    )


def assert_same_dos(dos, calculation, tolerance, mask=True):
    """Compare targets, summed over spin, as shares of the largest value."""
    spec = TargetSpec.covering([calculation])
    expected, trusted = spec.dos_and_mask(calculation)
    found, found_mask = spec.dos_and_mask(dos)
    np.testing.assert_allclose(
        found[trusted], expected[trusted], 0, tolerance * expected.max()
    )
    assert found_mask.any()
    assert not mask or (found_mask == trusted).all()


@pytest.mark.parametrize(
    "name", ["DOSCAR", "a-dos.npz", "a.json", "silicon.dos", "type.raw"]
)
def test_damaged_files(tmp_path, calculation, espresso, name):
    energies, dos = np.arange(-10, 12, 0.05), np.ones(440)
    dos[0] = 0
    path = tmp_path / name
    if name == "DOSCAR":
        write_doscar(path, calculation)
    elif name == "a.json":
        path.write_text(json.dumps(as_json(calculation)))
    elif name == "silicon.dos":
        espresso(name, "silicon.dos.out", "silicon.xml")
    elif name == "type.raw":
        write_deepmd(tmp_path, [SILICON], energies, [dos])
    else:
        arrays = {"energies": energies, "dos": dos, "positions": SILICON.positions}
        np.savez(path, numbers=SILICON.numbers, **arrays)
    options = {"smearing": 0.1, "energy_range": (0, 1)}
    assert list(read_calculations(path, **options))
    content = path.read_bytes()
    rng = np.random.default_rng(1)
    for _ in range(25):
        place = rng.integers(len(content))
        damaged = content[:place] + rng.bytes(8) + content[place + 8 :]
        for each in (content[:place], damaged):
            path.write_bytes(each)
            try:
                list(read_calculations(path, **options))
            except ValueError as error:
                assert str(error).startswith(str(path))


# ---------------------------------------------------------------------------- VASP


def test_doscar_with_outcar(tmp_path, calculation):
    write_outcar(tmp_path / "OUTCAR", calculation)
    dos = read_doscar(write_doscar(tmp_path / "DOSCAR", calculation))
    assert dos.smearing == pytest.approx(0.05, abs=1e-5)
    assert (dos.fermi_level, dos.n_electrons) == (0.9, 4)
    assert dos.complete == pytest.approx(calculation.complete, abs=1e-4)  # printed
    assert dos.atoms.get_chemical_formula() == "Si2"
    np.testing.assert_allclose(dos.atoms.positions, SILICON.positions, 0, 1e-8)
    # Half a row, 0.025 eV, would be an error of 4 %.
    assert_same_dos(dos, calculation, 2e-3)
    assert missing_electrons(dos) == pytest.approx(0, abs=1e-4)  # printed


def test_doscar_with_spin(tmp_path, magnet):
    write_outcar(tmp_path / "OUTCAR", magnet)
    dos = read_doscar(write_doscar(tmp_path / "DOSCAR", magnet))
    spec = TargetSpec.covering([magnet], spin_resolved=True)
    expected, found = spec.row(magnet)[0], spec.row(dos)[0]
    np.testing.assert_allclose(found, expected, 0, 2e-3 * expected.max())


def test_doscar_alone(tmp_path, calculation):
    path = write_doscar(tmp_path / "DOSCAR", calculation)
    with pytest.raises(ValueError, match=r"smearing: .* none beside it; .*dos-smear"):
        read_doscar(path)
    dos = read_doscar(path, smearing=0.05)
    assert dos.n_electrons == 4
    # The end of the bands is not known.
    assert dos.complete < calculation.complete
    assert_same_dos(dos, calculation, 2e-3, mask=False)


def test_narrow_bands_between_rows(tmp_path, calculation):
    # The density is that at the row, or nothing; the integral has them.
    write_outcar(tmp_path / "OUTCAR", calculation, sigma=0.001)
    path = write_doscar(tmp_path / "DOSCAR", calculation, sigma=0.001, step=0.1)
    lines = path.read_text().splitlines()
    lines[6:] = [f"{row[:11]}   0.0000E+00  {row.split()[2]}" for row in lines[6:]]
    path.write_text("\n".join(lines) + "\n")
    # It is not known where between two rows a state is.
    assert_same_dos(read_doscar(path), calculation, 4e-2)


def test_densities_of_tetrahedra(tmp_path, calculation):
    # They are those at the row, and agree with the states since the one before
    # within what is printed.
    write_outcar(tmp_path / "OUTCAR", calculation, ismear=-5)
    path = write_doscar(tmp_path / "DOSCAR", calculation, sigma=0.1, step=0.01)
    *head, rows = path.read_text().split("\n", 6)
    values = np.array([row.split() for row in rows.splitlines()], dtype=float)
    middle = (values[:-1, 1] + values[1:, 1]) / 2
    values[:-1, 1] = middle
    rows = "".join("{:11.3f} {:11.4E} {:11.4E}\n".format(*row) for row in values)
    path.write_text("\n".join([*head, rows]))
    dos = read_doscar(path)
    np.testing.assert_allclose(dos.states[0].cumsum(), values[:, 2], 0, 1e-9)


@pytest.mark.parametrize(
    ("ismear", "expected"),
    [
        (0, 0.1 / 2**0.5),
        (-1, 0.1 * np.pi / 3**0.5),
        (-5, 0.0),
        (-4, 0.0),
        (1, 0.0),
        (-3, None),
    ],
)
def test_the_smearing_of_vasp(tmp_path, calculation, ismear, expected):
    path = write_doscar(tmp_path / "DOSCAR", calculation)
    write_outcar(tmp_path / "OUTCAR", calculation, ismear=ismear, sigma=0.1)
    if expected is None:
        with pytest.raises(ValueError, match="none beside it"):
            read_doscar(path)
    else:
        assert read_doscar(path).smearing == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("incar", "expected"),
    [
        ("ISMEAR = 0 ; x\nSIGMA=0.1\n", 0.1 / 2**0.5),
        ("ismear", 0.0),  # VASP's default is Methfessel-Paxton
        ("  SIGMA = 0.02\n  ISMEAR = -5 ! tetrahedra\n", 0.0),
    ],
)
def test_the_smearing_of_incar(tmp_path, calculation, incar, expected):
    (tmp_path / "INCAR.gz").write_bytes(gzip.compress(incar.encode()))
    dos = read_doscar(write_doscar(tmp_path / "DOSCAR", calculation))
    assert dos.smearing == pytest.approx(expected, abs=1e-9)


def test_a_number_of_states_that_no_bands_have(tmp_path, calculation):
    path = write_doscar(tmp_path / "DOSCAR", calculation)
    *head, rows = path.read_text().split("\n", 6)
    values = np.array([row.split() for row in rows.splitlines()], dtype=float)
    values[:, 1:] *= 0.4
    rows = "".join("{:11.3f} {:11.4E} {:11.4E}\n".format(*row) for row in values)
    path.write_text("\n".join([*head, rows]))
    with pytest.raises(ValueError, match=r"whole number of states .*4.8"):
        read_doscar(path, smearing=0.05)


def test_paths_of_vasp(tmp_path, calculation):
    path = write_doscar(tmp_path / "DOSCAR", calculation)
    line = [(x, 0, 0, 0.025) for x in np.linspace(0, 0.47, 40)]
    write_outcar(tmp_path / "OUTCAR", calculation, rows=line)
    with pytest.raises(ValueError, match="expected a grid, got a path"):
        read_doscar(path)
    mesh = [(x / 8, y / 8, 0, 0.016) for x in range(8) for y in range(8)]
    write_outcar(tmp_path / "OUTCAR", calculation, rows=mesh)
    read_doscar(path)
    (tmp_path / "KPOINTS").write_text("bands\n40\nLine mode\nreciprocal\n")
    with pytest.raises(ValueError, match="expected a grid, got a path"):
        read_doscar(path)


def test_states_that_the_grid_cuts_off(tmp_path, calculation):
    path = write_doscar(tmp_path / "DOSCAR", calculation, first=-4.0)
    with pytest.raises(ValueError, match=r"no states at its first energy, -4.05 eV"):
        read_doscar(path, smearing=0.05)


def test_a_doscar_that_is_cut(tmp_path, calculation):
    path = write_doscar(tmp_path / "DOSCAR", calculation)
    path.write_text(path.read_text()[:-200])
    with pytest.raises(ValueError, match=r"DOSCAR: dos: expected \d+ lines|damaged"):
        read_doscar(path, smearing=0.05)


@pytest.mark.parametrize("better", ["vasprun.xml", "EIGENVAL.gz", "vaspout.h5"])
def test_a_doscar_beside_a_better_file(tmp_path, calculation, better):
    path = write_doscar(tmp_path / "DOSCAR", calculation)
    assert find_reader(path) is not None
    (tmp_path / better).touch()
    assert find_reader(path) is None
    with pytest.raises(ValueError, match="give that file instead"):
        list(read_calculations(path))


# ----------------------------------------------------------------- Quantum ESPRESSO


@pytest.fixture
def espresso(tmp_path):
    """Copy files of a run of pw.x and dos.x into a folder."""

    def unpack(*names):
        for name in names:
            content = gzip.decompress((OUTPUTS / f"dos-{name}.gz").read_bytes())
            (tmp_path / name).write_bytes(content)
        return tmp_path / names[0]

    return unpack


@pytest.mark.parametrize(
    ("name", "width", "channels"), [("silicon", 0.008, 1), ("aluminium", 0.02, 2)]
)
@pytest.mark.parametrize("structure", ["xml", "scf.out"])
def test_dos_x(espresso, name, width, channels, structure):
    path = espresso(f"{name}.dos", f"{name}.dos.out", f"{name}.{structure}")
    [dos] = read_calculations(path)
    assert isinstance(dos, GriddedDOS)
    assert dos.channels == channels
    assert dos.smearing == pytest.approx(width * RYDBERG / 2**0.5, rel=1e-6)
    [calculation] = read_calculations(espresso(f"{name}.xml"))
    # The header has three decimals.
    assert dos.fermi_level == pytest.approx(calculation.fermi_level, abs=6e-4)
    assert dos.n_electrons == calculation.n_electrons
    np.testing.assert_allclose(
        dos.atoms.positions, calculation.atoms.positions, 0, 1e-6
    )
    assert_same_dos(dos, calculation, 2e-3, mask=False)
    assert abs(missing_electrons(dos)) < 1e-3


def test_channels_of_dos_x(espresso):
    path = espresso("aluminium.dos", "aluminium.dos.out", "aluminium.xml")
    dos = read_espresso_dos(path)
    [calculation] = read_calculations(path.with_suffix(".xml"))
    spec = TargetSpec.covering([calculation], spin_resolved=True)
    (expected, mask), (found, _) = spec.row(calculation), spec.row(dos)
    np.testing.assert_allclose(found[mask], expected[mask], 0, 2e-3 * expected.max())


def test_dos_x_without_other_files(espresso):
    path = espresso("silicon.dos")
    with pytest.raises(ValueError, match=r"an output of pw.x beside it.*there is none"):
        read_espresso_dos(path, smearing=0.1)
    espresso("silicon.xml")
    with pytest.raises(ValueError, match=r"none beside it; .* --dos-smearing"):
        read_espresso_dos(path)
    assert read_espresso_dos(path, smearing=0.077).smearing == 0.077


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("(read from input): ngauss,degauss=   0    0.010000", 0.01 * RYDBERG / 2**0.5),
        ("(read from file): ngauss,degauss= -99    0.010000", 0.24677),
        ("(read from file): ngauss,degauss=  -1    0.010000", 0.0),
        ("(read from file): ngauss,degauss=   1    0.010000", 0.0),
    ],
)
def test_the_smearing_of_dos_x(espresso, line, expected):
    path = espresso("silicon.dos", "silicon.xml")
    (path.parent / "x.out").write_text(f"     Program DOS v.6.7\n  broadening {line}\n")
    assert read_espresso_dos(path).smearing == pytest.approx(expected, abs=1e-5)
    # Another run of dos.x, which does not belong to this file by its name
    other = "     Program DOS v.6.7\n     Tetrahedra used\n"
    (path.parent / "y.out").write_text(other)
    if expected > 0:
        with pytest.raises(ValueError, match="none beside it"):
            read_espresso_dos(path)
    (path.parent / "silicon.y.out").write_text(other)
    assert read_espresso_dos(path).smearing == 0.0


def test_which_output_of_pw_x(espresso):
    path = espresso("silicon.dos", "silicon.dos.out", "silicon.xml", "aluminium.xml")
    assert read_espresso_dos(path).atoms.get_chemical_formula() == "Si2"
    path.with_suffix(".xml").rename(path.with_name("other.xml"))
    with pytest.raises(ValueError, match=r"got several in aluminium.xml, other.xml"):
        read_espresso_dos(path)


# ------------------------------------------------------------- pymatgen, deepmd, NPZ


def as_json(calculation, spacing=0.05, width=0.1, wanted="CompleteDos"):
    """Write a density of states as pymatgen does, with values at energies."""
    first = calculation.eigenvalues.min() - 1
    grid = EnergyGrid(first, spacing, round(20 / spacing))
    dos = density_of_states(
        calculation.eigenvalues, calculation.kpoint_weights, grid, width
    )
    content = {
        "@module": "pymatgen.electronic_structure.dos",
        "@class": wanted,
        "efermi": calculation.fermi_level,
        "energies": grid.energies.tolist(),
        "densities": {
            sign: each.tolist() for sign, each in zip(("1", "-1"), dos, strict=False)
        },
    }
    if wanted == "CompleteDos":
        atoms = calculation.atoms
        content["structure"] = {
            "lattice": {"matrix": atoms.cell.tolist()},
            "sites": [
                {
                    "species": [{"element": atom.symbol, "occu": 1}],
                    "abc": atoms.get_scaled_positions()[atom.index].tolist(),
                }
                for atom in atoms
            ],
        }
    return content


@pytest.mark.parametrize("channels", [1, 2])
def test_complete_dos(tmp_path, calculation, magnet, channels):
    run = magnet if channels == 2 else calculation
    # Values at energies, as with tetrahedra
    (tmp_path / "a.json").write_text(json.dumps(as_json(run)))
    [dos] = read_calculations(tmp_path / "a.json", smearing=0.0)
    assert (dos.channels, dos.n_electrons, dos.fermi_level) == (channels, 4, 0.9)
    expected = density_of_states(
        run.eigenvalues,
        run.kpoint_weights,
        EnergyGrid(-10.0, 0.05, 300),
        (0.3**2 + 0.1**2) ** 0.5,
    )
    found = dos.on_grid(EnergyGrid(-10.0, 0.05, 300), 0.0, 0.3)
    np.testing.assert_allclose(found, expected, 0, 2e-3 * expected.max())


def test_gaussians_of_vasp_in_json(tmp_path, calculation):
    # VASP gives the mean since the energy before, which is half a step earlier.
    (tmp_path / "a.json").write_text(json.dumps(as_json(calculation)))
    path = tmp_path / "a.json"
    [later] = read_dos_json(path, smearing=0.0)
    [earlier] = read_dos_json(path, smearing=1e-3)
    np.testing.assert_allclose(later.edges - earlier.edges, 0.025, atol=1e-9)


def test_several_in_json(tmp_path, calculation, magnet):
    arrays = as_json(magnet)
    arrays["energies"] = {"@module": "numpy", "data": arrays["energies"]}
    content = [{"dos": as_json(calculation), "id": 3}, {"dos": {"total": arrays}}]
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(json.dumps(content).encode()))
    found = list(read_calculations(tmp_path / "a.json.gz", smearing=0.1))
    assert [each.channels for each in found] == [1, 2]


def test_a_dos_without_structure(tmp_path, calculation):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(as_json(calculation, wanted="Dos")))
    with pytest.raises(ValueError, match="POSCAR: expected it or CONTCAR"):
        list(read_dos_json(path, smearing=0.1))
    write_poscar(tmp_path / "POSCAR", SILICON)
    [dos] = read_dos_json(path, smearing=0.1)
    np.testing.assert_allclose(dos.atoms.positions, SILICON.positions, 0, 1e-8)


def test_json_that_cannot_be_used(tmp_path, calculation):
    path = tmp_path / "a.json"
    content = as_json(calculation)
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="none beside it"):
        list(read_dos_json(path))
    content["structure"]["sites"][0]["species"] *= 2
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="expected one element on each site"):
        list(read_dos_json(path, smearing=0.1))
    content["@class"] = "LobsterCompleteDos"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="expected Dos or CompleteDos, got neither"):
        list(read_dos_json(path, smearing=0.1))
    path.write_text(json.dumps({"a": 1}))
    assert find_reader(path) is None


def test_json_per_volume(tmp_path, calculation):
    """pymatgen does not write that it has divided by the volume."""
    content = as_json(calculation)
    volume = calculation.atoms.get_volume()
    content["densities"] = {
        sign: [each / volume for each in dos]
        for sign, dos in content["densities"].items()
    }
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"got 0\.102 of 2 atoms, as where pym"):
        list(read_dos_json(path, smearing=0.1))


def write_deepmd(folder, frames, energies, dos):
    """Write a system of deepmd-kit."""
    (folder / "set.000").mkdir(parents=True)
    atoms = frames[0]
    (folder / "type_map.raw").write_text("O\nSi\n")
    (folder / "type.raw").write_text("1\n" * len(atoms))
    arrays = {
        "coord": [each.positions.ravel() for each in frames],
        "box": [each.cell.array.ravel() for each in frames],
        "dos": dos,
    }
    for name, array in arrays.items():
        np.save(folder / "set.000" / f"{name}.npy", np.array(array, dtype=np.float64))
    return folder / "type.raw"


def test_deepmd(tmp_path, calculation):
    energies = np.arange(-10, 12, 0.05)
    [dos] = sampled_dos(calculation, energies)
    other = SILICON.copy()
    other.positions[1] += 0.1
    path = write_deepmd(tmp_path, [SILICON, other], energies, [dos, 2 * dos])
    options = {"smearing": 0.1, "energy_range": (energies[0], energies[-1])}
    one, two = read_calculations(path, **options)
    assert_same_dos(one, calculation, 2e-3, mask=False)
    np.testing.assert_allclose(two.states, 2 * one.states)
    np.testing.assert_allclose(two.atoms.positions, other.positions)
    assert one.atoms.get_chemical_formula() == "Si2"
    assert one.atoms.pbc.all()
    assert (one.fermi_level, one.n_electrons) == (None, None)
    with pytest.raises(ValueError, match=r"energies: .* --dos-range"):
        list(read_deepmd(path, smearing=0.1))
    # Systems of different elements in one set
    np.save(tmp_path / "set.000" / "real_atom_types.npy", [[1, 1], [0, 1]])
    (tmp_path / "nopbc").touch()
    _, two = read_deepmd(path, **options)
    assert two.atoms.get_chemical_formula() == "OSi"
    assert not two.atoms.pbc.any()
    (tmp_path / "set.000" / "coord.npy").unlink()
    with pytest.raises(ValueError, match=r"type.raw: expected a system of deepmd-kit"):
        list(read_deepmd(path, **options))
    (tmp_path / "set.000" / "dos.npy").unlink()
    assert find_reader(path) is None


def test_npz(tmp_path, calculation):
    energies = np.arange(-10, 12, 0.05)
    dos = sampled_dos(calculation, energies)
    path = tmp_path / "si-dos.npz"
    needed = {
        "numbers": SILICON.numbers,
        "positions": SILICON.positions,
        "energies": energies,
        "dos": dos[0],
    }
    known = {
        "cell": SILICON.cell.array,
        "smearing": 0.1,
        "fermi_level": 0.9,
        "n_electrons": 4,
        "end": calculation.complete,
    }
    np.savez(path, **needed, **known)
    [found] = read_calculations(path, smearing=0.2)
    assert (found.smearing, found.fermi_level, found.n_electrons) == (0.1, 0.9, 4)
    assert found.atoms == SILICON
    assert_same_dos(found, calculation, 2e-3)
    np.savez(path, **{**needed, "dos": dos.repeat(2, axis=0) / 2})
    molecule = read_dos_npz(path, smearing=0.1)
    assert molecule.channels == 2
    assert not molecule.atoms.pbc.any()
    del needed["dos"]
    np.savez(path, **needed)
    with pytest.raises(ValueError, match="dos: expected among the arrays, got only"):
        read_dos_npz(path)
    path.write_bytes(b"PK")
    with pytest.raises(ValueError, match="expected arrays of a density of states"):
        read_dos_npz(path)


def header(shape):
    """Make an array whose header claims a shape, and that has nothing else."""
    stream = io.BytesIO()
    array = {"descr": "<f8", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, array)
    return stream.getvalue()


@pytest.mark.parametrize("count", [10**8, 10**13])
@pytest.mark.parametrize("kind", ["npz", "npz, compressed", "npy"])
def test_headers_that_claim_too_much(tmp_path, calculation, kind, count):
    """NumPy reserves the room before it looks for the numbers."""
    if kind == "npy":
        path = write_deepmd(tmp_path, [calculation.atoms], None, [np.zeros(9)])
        (tmp_path / "set.000" / "dos.npy").write_bytes(header((count,)))
    else:
        path = tmp_path / "a-dos.npz"
        rest = b"\0" * (2 * 10**7 if "compressed" in kind else 0)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in ("numbers", "positions", "energies", "dos"):
                archive.writestr(f"{name}.npy", header((count,)) + rest)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=rf"that fits a file of .* \({count},\)"):
            list(read_calculations(path, smearing=0.1, energy_range=(0, 1)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5e6
