"""Every step of a trajectory or relaxation, not only the last one."""

import gzip
from itertools import pairwise

import numpy as np
import pytest
from helpers.outputs import run_of_vasp
from helpers.paths import OUTPUTS
from helpers.prepare import prepare, report

from metatrain_dos.data.readers import read_calculations


def unpacked(folder, name):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(gzip.decompress((OUTPUTS / f"{name}.gz").read_bytes()))
    return path


def vasp_steps(shifts, energies, bands=(True, True, True)):
    """Put the last step of a made-up run there several times, moved and shifted."""
    text = run_of_vasp()
    begin, end = text.index("<calculation>"), text.index("</calculation>") + 14
    pieces = []
    for shift, energy, has_bands in zip(shifts, energies, bands, strict=True):
        piece = text[begin:end]
        if not has_bands:
            cut, stop = piece.index("<eigenvalues>"), piece.index("</eigenvalues>")
            piece = piece[:cut] + piece[stop + 14 :]
        piece = piece.replace("0.25 0.25 0.25", f"0.25 0.25 {0.25 + shift}")
        piece = piece.replace(">-5 1<", f">{-5 + shift} 1<")
        pieces.append(piece.replace("-9.5<", f"{energy}<"))
    return text[:begin] + "".join(pieces) + text[end:]


def test_steps_of_vasp(tmp_path):
    path = tmp_path / "vasprun.xml"
    path.write_text(vasp_steps((0.01, 0.02, 0.03), (-9.5, -9.5, -9.5)))
    found = list(read_calculations(path, steps=True))
    assert [(each.step, each.steps) for each in found] == [(1, 3), (2, 3), (3, 3)]
    for each, shift in zip(found, (0.01, 0.02, 0.03), strict=True):
        assert each.atoms.get_scaled_positions()[1, 2] == pytest.approx(0.25 + shift)
        assert each.eigenvalues.min() == pytest.approx(-5 + shift)
    [last] = read_calculations(path)
    assert (last.step, last.steps) == (3, 3)
    np.testing.assert_array_equal(last.eigenvalues, found[-1].eigenvalues)


def test_steps_without_eigenvalues(tmp_path):
    # As VASP writes relaxations
    path = tmp_path / "vasprun.xml"
    path.write_text(
        vasp_steps((0.01, 0.02, 0.03), (-9.5, -9.5, -9.5), (False, True, True))
    )
    assert [each.step for each in read_calculations(path, steps=True)] == [2, 3]


def test_steps_that_did_not_converge(tmp_path):
    path = tmp_path / "vasprun.xml"
    content = vasp_steps((0.01, 0.02, 0.03), (-9.5, -9.4, -9.5))
    path.write_text(content.replace('name="NELM">60', 'name="NELM">4'))
    # The third of four energies is exchanged, too: it is the last two that differ.
    content = path.read_text().replace(
        "<i name='e_fr_energy'>-9.4</i></energy></scstep>\n",
        "<i name='e_fr_energy'>-9.1</i></energy></scstep>\n",
    )
    path.write_text(content)
    steps = read_calculations(path, steps=True)
    found = [next(steps), next(steps)]
    assert [each.step for each in found] == [1, 3]
    with pytest.raises(
        ValueError, match=r"vasprun.xml: step 2: scstep: expected a last"
    ):
        next(steps)


def test_steps_of_pw_x(tmp_path):
    path = unpacked(tmp_path, "espresso-md.out")
    found = list(read_calculations(path, steps=True))
    steps = path.read_text().count("Self-consistent Calculation")
    assert [each.step for each in found] == list(range(1, steps + 1))
    [last] = read_calculations(path)
    assert (last.step, last.steps) == (steps, steps)
    np.testing.assert_array_equal(last.eigenvalues, found[-1].eigenvalues)
    np.testing.assert_array_equal(last.atoms.positions, found[-1].atoms.positions)
    # Atoms move, and the bands with them; positions in the text come after the bands.
    for one, other in pairwise(found):
        assert np.abs(one.atoms.positions - other.atoms.positions).max() > 1e-3
        assert np.abs(one.eigenvalues - other.eigenvalues).max() > 1e-3
        assert one.atoms.info["energy"] != other.atoms.info["energy"]


def test_bands_belong_to_their_structure(tmp_path):
    # The XML of the same run has the last step alone, all its digits, and its position.
    [xml] = read_calculations(unpacked(tmp_path, "espresso-md.xml"))
    found = list(read_calculations(unpacked(tmp_path, "espresso-md.out"), steps=True))
    assert xml.steps == len(found)
    differences = [np.abs(each.eigenvalues - xml.eigenvalues).max() for each in found]
    assert differences[-1] < 1e-4  # printed
    assert min(differences[:-1]) > 1e-2


def test_prepare_keeps_them_in_one_split(tmp_path, capsys):
    unpacked(tmp_path / "runs", "espresso-md.out")
    unpacked(tmp_path / "runs", "espresso-aluminium.out")
    prepare(tmp_path / "runs", "-o", tmp_path / "last")
    steps = report(tmp_path / "last")["steps"]
    assert (steps["files"], steps["used"]) == (1, 1)
    assert f"1 of {steps['in_files']} are used" in capsys.readouterr().out
    prepare(tmp_path / "runs", "-o", tmp_path / "all", "--steps")
    found = report(tmp_path / "all")
    assert found["steps"]["used"] == found["steps"]["in_files"] == steps["in_files"] > 2
    rows = [each for each in found["trusted_ranges"] if each["steps"] > 1]
    assert len({each["split"] for each in rows}) == 1
    assert [each["step"] for each in rows] == list(range(1, len(rows) + 1))
