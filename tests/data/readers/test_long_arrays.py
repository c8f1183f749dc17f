"""Long arrays in extended XYZ are not read by ASE, but as ASE reads them."""

import ase.io
import numpy as np
import pytest

from metatrain_dos.data.readers.extxyz import _take_arrays, read_structures


NUMBERS = " ".join(str(0.1 * i) for i in range(20))


@pytest.mark.parametrize(
    ("more", "is_ours"),
    [
        (f'dos="{NUMBERS} 1e-5 nan"', True),
        ('dos="' + "T F " * 10 + '"', True),
        ('dos="' + "1 2 " * 10 + '"', False),
        ('dos="' + "0.5 text " * 10 + '"', False),
        (f'dos="{NUMBERS.replace(" ", ",")}"', False),
        (f'dos="{NUMBERS}"more', False),
        (f"""dos="{NUMBERS}" other='a "quoted" word'""", False),
        (f'other="a \\" b" dos="{NUMBERS}"', False),
        (f'note="it has dos=" dos2="{NUMBERS}"', True),
        (f'dipole="{NUMBERS}"', False),
        (f'empty="" more=1 dos="{NUMBERS}"', False),
        (f'dos="{NUMBERS}" pbc="T T F" Lattice="1 0 0 0 2 0 0 0 3"', True),
    ],
)
def test_same_as_ase(tmp_path, more, is_ours):
    path = tmp_path / "structure.xyz"
    path.write_text(f'1\nenergy=1 {more} name=a b="c d"\nH 0 0 0\n')
    (ours,), theirs = read_structures(path), ase.io.read(path)
    assert ours == theirs and ours.info.keys() == theirs.info.keys()
    assert ours.info["name"] == "a" and ours.info["b"] == "c d"
    for key, value in theirs.info.items():
        np.testing.assert_array_equal(ours.info[key], value, err_msg=key)
        assert np.asarray(ours.info[key]).dtype == np.asarray(value).dtype
    assert bool(_take_arrays(f"{more}\n")[1]) == is_ours
