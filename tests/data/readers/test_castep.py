"""Bands of CASTEP, written as CASTEP does, beside the other files of the run."""

import gzip
from itertools import product

import ase
import numpy as np
import pytest

from metatrain_dos.data.readers import find_reader, read_calculations


HARTREE, BOHR = 27.211386245988, 0.529177210903  # eV, Angstrom
CRYSTAL = ase.Atoms(
    ["Ga", "As"],
    scaled_positions=[[0, 0, 0], [0.25, 0.26, 0.25]],
    cell=[[0, 2.8, 2.8], [2.8, 0, 2.9], [2.8, 2.8, 0]],
    pbc=True,
)
GRID = np.array(list(product((0.25, 0.75), (0.25, 0.75), (0.0, 0.5))))
ABS = (CRYSTAL.positions / BOHR).tolist()
FRAC = CRYSTAL.get_scaled_positions().tolist()


def bands_text(channels=1, bands=(5, 5), points=GRID, levels=(0.1, 0.1), electrons=8):
    """Write bands in Hartree: two below the level for each electron pair."""
    rng = np.random.default_rng(3)
    several = "Fermi energies" if channels == 2 else "Fermi energy"
    lines = [
        f"Number of k-points   {len(points)}",
        f"Number of spin components {channels}",
        "Number of electrons  " + f"{electrons / channels:.3f}     " * channels,
        "Number of eigenvalues  " + "".join(f"{n:6}" for n in bands[:channels]),
        f"{several} (in atomic units) "
        + "".join(f"{x:12.6f}" for x in levels[:channels]),
        "Unit cell vectors",
        *("".join(f"{x:12.6f}" for x in row) for row in CRYSTAL.cell.array / BOHR),
    ]
    values = np.sort(
        np.concatenate(
            [
                rng.uniform(-0.3, 0.0, (channels, len(points), 4)),
                rng.uniform(0.2, 0.5, (channels, len(points), max(bands) - 4)),
            ],
            axis=-1,
        )
    ).round(8)
    # Each of four processes writes its points.
    for k in sorted(range(len(points)), key=lambda k: (k % 4, k)):
        place = " ".join(f"{x:11.8f}" for x in (*points[k], 1 / len(points)))
        lines.append(f"K-point {k + 1:5} {place}")
        for s in range(channels):
            lines.append(f"Spin component {s + 1}")
            lines += [f"{x:14.8f}" for x in values[s, k, : bands[s]]]
    return "\n".join(lines) + "\n", values


def castep_text(*tables):
    """Write those parts of the output that have atoms."""
    parts = [" Calculation\n"]
    for positions in tables:
        rows = "".join(
            f"            x {symbol:>3} {i:11}   {x:10.6f} {y:10.6f} {z:10.6f}   x \n"
            for i, (symbol, (x, y, z)) in enumerate(
                zip(CRYSTAL.symbols, positions, strict=True), 1
            )
        )
        edge = 12 * " " + 60 * "x"
        parts.append(
            f"{edge}\n            x  Element    Atom        Fractional coordinates of "
            "atoms  x\n            x            Number           u          v          "
            f"w      x\n            x{58 * '-'}x\n{rows}{edge}\n \n"
        )
    return "".join(parts) + " * Ga 1 0.1 0.2 0.3 *\n Total time = 1 s\n"


def cell_text(kind="FRAC", positions=FRAC, unit="", block="BLOCK"):
    """Write the input of CASTEP."""
    rows = "".join(
        f"{symbol} {x:.9f} {y:.9f}  {z:.9f} SPIN=1 ! up\n"
        for symbol, (x, y, z) in zip(CRYSTAL.symbols, positions, strict=True)
    )
    return (
        "# made up\n%BLOCK LATTICE_CART\n1.0 0.0 0.0\n%ENDBLOCK LATTICE_CART\n"
        f"%{block} positions_{kind}\n{unit}{rows}%END{block} positions_{kind}\n"
    )


def read(path):
    [calculation] = read_calculations(path)
    return calculation


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_bands(tmp_path, channels, ending):
    text, values = bands_text(channels)
    write = gzip.compress if ending else bytes
    path = tmp_path / f"gaas.bands{ending}"
    path.write_bytes(write(text.encode()))
    (tmp_path / f"gaas.castep{ending}").write_bytes(write(castep_text(FRAC).encode()))
    calculation = read(path)
    np.testing.assert_allclose(calculation.eigenvalues, values * HARTREE, 0, 1e-9)
    np.testing.assert_allclose(calculation.kpoint_weights, 2 / channels / len(GRID))
    np.testing.assert_allclose(calculation.kpoints, GRID)
    np.testing.assert_allclose(calculation.fermi_level, 0.1 * HARTREE)
    assert (calculation.n_electrons, calculation.channels) == (8, channels)
    assert str(calculation.atoms.symbols) == "GaAs" and calculation.atoms.pbc.all()
    # six digits
    np.testing.assert_allclose(calculation.atoms.cell, CRYSTAL.cell, 0, 1e-6)
    np.testing.assert_allclose(calculation.atoms.positions, CRYSTAL.positions, 0, 1e-5)


@pytest.mark.parametrize(
    ("kind", "positions", "unit"),
    [
        ("FRAC", FRAC, ""),
        ("ABS", ABS, "bohr\n"),
        ("abs", CRYSTAL.positions.tolist(), ""),
        ("ABS", CRYSTAL.positions.tolist(), "ang\n"),
        ("ABS", (CRYSTAL.positions / 10).tolist(), "nm\n"),
    ],
)
@pytest.mark.parametrize("block", ["BLOCK", "block"])
def test_structure_of_the_input(tmp_path, kind, positions, unit, block):
    (tmp_path / "a.bands").write_text(bands_text()[0])
    (tmp_path / "a.cell").write_text(cell_text(kind, positions, unit, block))
    atoms = read(tmp_path / "a.bands").atoms
    assert str(atoms.symbols) == "GaAs"
    np.testing.assert_allclose(atoms.positions, CRYSTAL.positions, 0, 1e-5)


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_which_structure(tmp_path, ending):
    """The last of the output, then the written one; the input if no atom has moved."""
    path = tmp_path / "a.bands"
    path.write_text(bands_text()[0])
    others = [[[0, 0, 0], [0.25, 0.25, z]] for z in (0.20, 0.21, 0.22, 0.23)]
    (tmp_path / "a.cell").write_text(cell_text(positions=others[0]))
    (tmp_path / f"a.geom{ending}").touch()
    with pytest.raises(ValueError, match=r"expected a\.castep, because a\.geom says"):
        read(path)
    (tmp_path / "a-out.cell").write_text(cell_text(positions=others[1]))
    assert read(path).atoms.get_scaled_positions()[1, 2] == pytest.approx(0.21)
    (tmp_path / "a.castep").write_text(castep_text(others[2], others[3]))
    assert read(path).atoms.get_scaled_positions()[1, 2] == pytest.approx(0.23)


def test_spinors(tmp_path):
    """Eight electrons in eight bands."""
    (tmp_path / "a.castep").write_text(castep_text(FRAC))
    (tmp_path / "a.bands").write_text(bands_text(electrons=4)[0])
    calculation = read(tmp_path / "a.bands")
    assert calculation.channels == 0 and calculation.n_electrons == 4


def test_channels_of_different_size(tmp_path):
    text, values = bands_text(2, bands=(7, 5), levels=(0.1, 0.12))
    (tmp_path / "a.castep").write_text(castep_text(FRAC))
    (tmp_path / "a.bands").write_text(text)
    calculation = read(tmp_path / "a.bands")
    np.testing.assert_allclose(
        calculation.eigenvalues, values[..., :5] * HARTREE, 0, 1e-9
    )
    assert calculation.fermi_level is None  # each channel has its own


PATH = np.linspace([0, 0, 0], [0.5, 0.5, 0.5], 40)
UNFINISHED = "*Warning* max. SCF cycles performed but system has not reached the ground"


@pytest.mark.parametrize(
    ("text", "beside", "reason"),
    [
        (bands_text()[0], {}, r"structure: expected a\.castep or a\.cell beside the"),
        (
            bands_text(points=PATH)[0],
            {"a.castep": castep_text(FRAC)},
            "kpoints: expected a grid, got a path of 40 points",
        ),
        (
            bands_text()[0],
            {"a.castep": castep_text(FRAC) + UNFINISHED + "state.\n"},
            r"SCF cycle: expected one that converged, got none in a\.castep",
        ),
        (
            bands_text()[0][:-200],
            {"a.castep": castep_text(FRAC)},
            "eigenvalues: expected 8 k-points with 1 spin channels of 5 bands",
        ),
        (
            "\n".join(bands_text()[0].split("\n")[:-2]),
            {"a.castep": castep_text(FRAC)},
            "got 8 points with other numbers; check whether CASTEP finished",
        ),
        (bands_text()[0], {"a.castep": "nothing"}, "expected the atoms in a.castep"),
        (bands_text()[0], {"a.cell": "nothing"}, "expected the atoms in a.cell"),
        (bands_text()[0][:60], {}, "first lines: expected numbers, got 'nothing'"),
        (
            bands_text()[0].replace("K-point     1", "K-point     *"),
            {"a.castep": castep_text(FRAC)},
            "check whether CASTEP finished",
        ),
    ],
)
def test_what_cannot_be_used(tmp_path, text, beside, reason):
    (tmp_path / "a.bands").write_text(text)
    for name, content in beside.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=reason):
        read(tmp_path / "a.bands")


def test_bands_of_other_programs(tmp_path):
    (tmp_path / "pw.bands").write_text(" &plot nbnd=   8, nks=    36 /\n")
    assert find_reader(tmp_path / "pw.bands") is None
