"""Tests of the search for the symmetry of a structure."""

import numpy as np
import pytest
import spglib.error
from ase.build import bulk, make_supercell
from ase.spacegroup import crystal

from metatrain_dos.data.symmetry import equivalent_atoms, operations


# It warns of its former way to report errors otherwise.
spglib.error.OLD_ERROR_HANDLING = False

RUTILE = crystal(
    ["Ti", "O"],
    [(0, 0, 0), (0.3, 0.3, 0)],
    spacegroup=136,
    cellpar=[4.6, 4.6, 2.95, 90, 90, 90],
)

CALCITE = crystal(
    ["Ca", "C", "O"],
    [(0, 0, 0), (0, 0, 0.25), (0.257, 0, 0.25)],
    spacegroup=167,
    cellpar=[4.99, 4.99, 17.06, 90, 90, 120],
    primitive_cell=True,
)


class TestEquivalentAtoms:
    """Numbers of equivalent atoms, which the Wyckoff positions tell."""

    @pytest.mark.parametrize(
        ("atoms", "sizes"),
        [
            (bulk("Si"), [2]),
            (bulk("NaCl", "rocksalt", a=5.6, cubic=True), [4, 4]),
            (bulk("Si", cubic=True) * (2, 1, 1), [16]),
            (bulk("Ti", "hcp"), [2]),
            (RUTILE, [2, 4]),
            (CALCITE, [2, 2, 6]),
        ],
    )
    def test_crystals(self, atoms, sizes):
        # in any setting of the cell
        moved = make_supercell(atoms, [[1, 1, 0], [0, 1, 0], [2, 0, 1]])
        moved.translate([0.3, 0.2, 0.1])
        for each in (atoms, moved):
            labels = equivalent_atoms(each, each.numbers)
            assert sorted(np.bincount(labels)) == sizes

    def test_displaced(self):
        atoms = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
        atoms.positions[0, 0] += 0.01
        labels = equivalent_atoms(atoms, atoms.numbers)
        # of 8, on the axis: itself, the two in front and behind; around it: 4
        kinds = {tuple(np.flatnonzero(labels == each)) for each in labels}
        assert (0,) in kinds and len(kinds) > 2

    def test_kinds(self):
        atoms = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
        labels = equivalent_atoms(atoms, np.arange(8))
        assert len(set(labels)) == 8


@pytest.mark.parametrize("atoms", [bulk("Si"), bulk("Ti", "hcp"), RUTILE, CALCITE])
@pytest.mark.parametrize("change", [np.eye(3), [[1, 2, 0], [0, 1, 0], [3, 1, 1]]])
def test_operations_are_those_of_spglib(atoms, change):
    atoms = make_supercell(atoms, np.array(change, int))  # also a cell that is oblique
    cell = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
    expected = {each.tobytes() for each in spglib.get_symmetry(cell)["rotations"]}
    found = list(operations(atoms, atoms.numbers))
    assert {each.T.astype("intc").tobytes() for each, _ in found} == expected
    for rotation, images in found:
        assert (atoms.numbers[images] == atoms.numbers).all()
        moved = atoms.get_scaled_positions() @ rotation
        shifts = atoms.get_scaled_positions()[images] - moved
        differences = shifts - shifts[0]
        # The same translation for all, up to those of the lattice
        np.testing.assert_allclose(differences, np.rint(differences), atol=1e-3)
