"""Electrons of elements from those of structures."""

import numpy as np

from metatrain_dos.data.prepare.valences import count_electrons, find_valences


def test_pseudopotentials_are_the_same():
    compositions = ["Si2", "SiO2", "MgO", "Mg2Si", "H2O"]
    electrons = np.array([8.0, 16.0, 16.0, 24.0, 8.0])
    found = find_valences(compositions, electrons)
    assert found == {"H": 1, "Mg": 10, "O": 6, "Si": 4}
    assert count_electrons("Mg2SiO4", found) == 48
    assert np.isnan(count_electrons("NaCl", found))


def test_a_minority_is_wrong():
    """Two charged cells, and one of a larger pseudopotential."""
    compositions = ["Si2"] * 5 + ["SiO2"] * 6 + ["O2"] * 3
    electrons = np.array([8, 8, 7, 8, 8, 16, 16, 17, 16, 28, 16, 12, 12, 12.0])
    assert find_valences(compositions, electrons) == {"O": 6, "Si": 4}


def test_only_what_follows_from_the_structures():
    compositions, electrons = ["NaCl", "Na2Cl2", "Si2"], np.array([16.0, 32.0, 8.0])
    assert find_valences(compositions, electrons) == {"Si": 4}


def test_unknown():
    assert find_valences(["Si2", "C"], np.array([8.0, np.nan])) == {"Si": 4}
    assert find_valences(["C"], np.array([np.nan])) == {}
    assert find_valences(["C", "C2"], np.array([4.3, 8.6])) == {}
