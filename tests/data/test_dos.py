"""From eigenvalues to densities of states and masks."""

import numpy as np
import pytest

from metatrain_dos import EnergyGrid, density_of_states, trust_mask
from metatrain_dos.data.dos import trusted_limit


GRID = EnergyGrid(origin=-20.0, spacing=0.05, size=801)


def sum_of_gaussians(eigenvalues, weights, grid, smearing):
    """Evaluate the definition, one Gaussian after the other."""
    dos = np.zeros(grid.size)
    for energies, weight in zip(eigenvalues, weights, strict=True):
        for energy in energies:
            x = (grid.energies - energy) / smearing
            dos += weight * np.exp(-0.5 * x**2) / (smearing * np.sqrt(2 * np.pi))
    return dos


@pytest.mark.parametrize("smearing", [0.05, 0.07, 0.3, 2.0])
def test_is_a_sum_of_gaussians(smearing):
    rng = np.random.default_rng(0)
    # beyond both ends of the grid, too
    eigenvalues = rng.uniform(-26, 26, (7, 30))
    weights = rng.uniform(0.01, 1.0, 7)
    dos = density_of_states(eigenvalues, weights, GRID, smearing)
    expected = sum_of_gaussians(eigenvalues, weights, GRID, smearing)
    np.testing.assert_allclose(dos, expected, atol=1e-10 * expected.max(), rtol=0)


@pytest.mark.parametrize("offset", [0.0, 0.0125, 0.025, 0.0499])
@pytest.mark.parametrize("smearing", [0.05, 0.3])
def test_a_single_level_anywhere_between_two_points(offset, smearing):
    eigenvalues = np.array([[1.0 + offset]])
    dos = density_of_states(eigenvalues, [2.0], GRID, smearing)
    expected = sum_of_gaussians(eigenvalues, [2.0], GRID, smearing)
    np.testing.assert_allclose(dos, expected, atol=1e-12 * expected.max(), rtol=0)


def test_integral_is_the_number_of_states():
    rng = np.random.default_rng(1)
    eigenvalues = rng.uniform(-15, 15, (4, 6))
    weights = np.array([0.25, 1.0, 0.5, 0.25])
    dos = density_of_states(eigenvalues, weights, GRID)
    assert np.trapezoid(dos, GRID.energies) == pytest.approx(2 * 6, abs=1e-8)


def test_weights_belong_to_their_kpoints():
    eigenvalues = np.array([[-5.0, -4.0], [5.0, 6.0]])
    dos = density_of_states(eigenvalues, [0.5, 1.5], GRID)
    lower = GRID.energies < 0
    assert np.trapezoid(dos[lower], GRID.energies[lower]) == pytest.approx(1.0)
    assert np.trapezoid(dos[~lower], GRID.energies[~lower]) == pytest.approx(3.0)


def test_channels_are_kept():
    up, down = np.array([[-1.0, 2.0]]), np.array([[-0.5, 2.5]])
    both = density_of_states(np.stack([up, down]), [1.0], GRID)
    assert both.shape == (2, GRID.size)
    np.testing.assert_array_equal(both[0], density_of_states(up, [1.0], GRID))
    np.testing.assert_array_equal(both[1], density_of_states(down, [1.0], GRID))


def test_nothing_near_the_grid():
    dos = density_of_states(np.full((1, 3), 500.0), [2.0], GRID)
    assert not dos.any()


def test_one_weight_may_be_a_number():
    # what extended XYZ makes of a list of one number
    np.testing.assert_array_equal(
        density_of_states([[0.0, 1.0]], 2.0, GRID),
        density_of_states([[0.0, 1.0]], [2.0], GRID),
    )


def test_trust_ends_below_the_lowest_energy_of_the_highest_band():
    eigenvalues = np.array([[[-3.0, 4.0], [-2.0, 3.0]], [[-3.0, 5.0], [-2.0, 2.5]]])
    assert trusted_limit(eigenvalues, margin=0.9) == pytest.approx(1.6)
    mask = trust_mask(eigenvalues, GRID, margin=0.9)
    assert mask.dtype == bool and mask.shape == (GRID.size,)
    np.testing.assert_array_equal(mask, GRID.energies <= 1.6)


def test_bands_need_not_be_sorted():
    eigenvalues = np.array([[4.0, -3.0], [-2.0, 3.0]])
    assert trusted_limit(eigenvalues, margin=0.0) == 3.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0, 2.0], [2.0], GRID), r"eigenvalues: expected shape \(\.\.\., k-points"),
        (([[1.0]], [1.0, 1.0], GRID), "kpoint_weights: expected one for each of the 1"),
        (([[np.nan, 0]], [2.0], GRID), "eigenvalues: expected finite numbers, got 1"),
        (([[0.0]], [np.inf], GRID), "kpoint_weights: expected finite numbers, got 1"),
        (([[0.0]], [2.0], GRID, 0.01), r"smearing: .* at least the grid spacing"),
        (([[0.0]], [2.0], GRID, np.nan), "smearing: expected a width in eV"),
    ],
)
def test_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        density_of_states(*arguments)


@pytest.mark.parametrize("margin", [-0.1, np.nan])
def test_refused_margin(margin):
    with pytest.raises(ValueError, match="margin: expected an energy >= 0"):
        trust_mask(np.zeros((1, 1)), GRID, margin)
