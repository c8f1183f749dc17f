"""Regular meshes whose points could be a path, but for their weights."""

import numpy as np
import pytest

from metatrain_dos.data.readers._grids import is_path


def hexagonal(size, shift):
    """Reduce a 2 x 2 x size mesh with the symmetry of a hexagonal crystal."""
    z = (np.arange(size) + shift) / size
    z, counts = np.unique(np.minimum(z, 1 - z).round(9), return_counts=True)
    if shift == 0:  # those of -z are the same
        counts = np.where((z == 0) | (z == 0.5), 1, 2)
        z, counts = z[: size // 2 + 1], counts[: size // 2 + 1]
    points = [(x, 0, each) for x in (0, 0.5) for each in z]
    # Three points of a hexagon are in the middle of its sides.
    return np.array(points), np.concatenate([counts, 3 * counts])


@pytest.mark.parametrize("shift", [0, 0.5])
@pytest.mark.parametrize("size", [4, 6, 8, 10, 16])
def test_reduced_meshes(size, shift):
    # Of the second axis, one of two points is left: 2 x 1 x size remain.
    points, weights = hexagonal(size, shift)
    assert weights.sum() == 4 * size
    assert not is_path(points, weights)
    assert not is_path(points, weights / weights.sum() * 2)


@pytest.mark.parametrize("size", [6, 8])
def test_paths_of_the_same_points(size):
    points, weights = hexagonal(size, 0)
    assert is_path(points, np.ones(len(points)))
    # More weight than all operations of a point group give.
    weights[1] *= 60
    assert is_path(points, weights)
