"""Errors that do not depend on the energy zero, and the figures of them."""

import numpy as np
import pytest
import reference
import torch
from helpers.cases import as_numpy, make_case
from metatensor.torch import Labels, TensorBlock, TensorMap

from metatrain_dos.figures import plot_predicted_and_computed, plot_structure
from metatrain_dos.models.errors import TERMS, align


SPACING, TAIL_WEIGHT = 0.07, 0.8


def tensor_map(values, samples=None):
    """Make a map with one block; samples are systems unless given."""
    if samples is None:
        samples = Labels.range("system", len(values))
    properties = Labels.range("dos", values.shape[-1])
    components = [
        Labels.range(f"component_{i}", size)
        for i, size in enumerate(values.shape[1:-1])
    ]
    block = TensorBlock(values, samples, components, properties)
    return TensorMap(Labels.single(), [block])


def test_the_zero_does_not_matter():
    _, t, m = (x.numpy() for x in make_case(0, points=60, extra=0))
    t[:, :2] = t[:, -2:] = 0
    first = align(np.pad(1.1 * t, ((0, 0), (3, 9))), t, m, grid_spacing=0.05)
    second = align(np.pad(1.1 * t, ((0, 0), (8, 4))), t, m, grid_spacing=0.05)
    np.testing.assert_array_equal(second.shift - first.shift, 5)
    np.testing.assert_allclose(second.rmse, first.rmse)
    np.testing.assert_allclose(first.relative_rmse, 0.1)


def test_only_the_trusted_range_counts():
    p, t, m = (x.numpy() for x in make_case(1, extra=0))
    aligned = align(p, t, m, grid_spacing=0.05)
    expected = [np.sqrt(np.mean((a - b)[c] ** 2)) for a, b, c in zip(p, t, m)]  # noqa: B905
    np.testing.assert_allclose(aligned.rmse, expected)


def test_predicting_nothing_is_an_error_of_one():
    _, t, m = (x.numpy() for x in make_case(2, extra=0))
    aligned = align(np.zeros_like(t), t, m, grid_spacing=0.05)
    np.testing.assert_allclose(aligned.relative_rmse, 1.0)


@pytest.mark.parametrize("components", [None, 2])
@pytest.mark.parametrize("seed", range(3))
def test_against_brute_force(seed, components):
    case = make_case(seed, components=components)
    aligned = align(*case, grid_spacing=SPACING, tail_weight=TAIL_WEIGHT)
    for i, (p, t, m) in enumerate(zip(*as_numpy(*case), strict=True)):
        costs = reference.costs(p, t, m, SPACING, TAIL_WEIGHT)
        shift = int(costs.argmin())
        assert aligned.shift[i] == shift
        terms = {
            "masked": reference.masked_term(p, t, m, shift, SPACING),
            "tail": reference.front_tail_term(p, shift, SPACING),
            "gradient": reference.gradient_term(p, m, shift, SPACING),
            "cumulative": reference.cumulative_term(p, t, m, shift, SPACING),
        }
        assert tuple(terms) == tuple(term.name for term in TERMS)
        for name, value in terms.items():
            # both float64; sums of tens of numbers
            assert aligned.terms[name][i] == pytest.approx(value, rel=1e-10)
        error = np.where(m, p[:, shift : shift + t.shape[-1]] - t, 0.0)
        excess = np.array([reference.running_integral(e, SPACING) for e in error])
        found = {
            "rmse": np.sqrt((error**2).sum() / m.sum()),
            "mae": np.abs(error).sum() / m.sum(),
            "relative_mae": np.abs(error).sum() / np.abs(t[m]).sum(),
            "cumulative_rmse": np.sqrt(np.mean(excess[m[:, 1:]] ** 2)),
            "cumulative_max": np.abs(excess[m[:, 1:]]).max(),
            "shift_energy": shift * SPACING,
        }
        for name, value in found.items():
            assert getattr(aligned, name)[i] == pytest.approx(value, rel=1e-10)


def test_arrays_tensors_and_tensor_maps_are_the_same():
    p, t, m = make_case(4)
    of_tensors = align(p, t, m, grid_spacing=SPACING)
    padded = torch.nn.functional.pad(t, (12, 0))
    padded_mask = torch.nn.functional.pad(m, (12, 0)).double()
    others = [
        align(p.numpy(), t.numpy(), m.numpy(), grid_spacing=SPACING),
        align(
            *(tensor_map(values) for values in (p, padded, padded_mask)),
            grid_spacing=SPACING,
            extra_targets=12,
        ),
        # NaN is a mask, too
        align(p, torch.where(m, t, torch.nan), grid_spacing=SPACING),
    ]
    for other in others:
        np.testing.assert_array_equal(other.shift, of_tensors.shift)
        np.testing.assert_array_equal(other.rmse, of_tensors.rmse)
        assert other.terms.keys() == of_tensors.terms.keys()
        for name, term in of_tensors.terms.items():
            np.testing.assert_array_equal(other.terms[name], term)


def test_rows_of_atoms_are_added_up():
    """As `mtt eval` writes them, with systems in an order of their own."""
    p, t, m = make_case(5, samples=3)
    shares = torch.tensor([0.2, 0.3, 0.5, 0.6, 0.4, 1.0], dtype=torch.float64)
    owners = torch.tensor([2, 0, 2, 0, 2, 1])
    # each system's shares add up to 1
    shares /= torch.zeros(3, dtype=shares.dtype).index_add(0, owners, shares)[owners]
    atoms = torch.arange(6)
    samples = Labels(["system", "atom"], torch.stack([owners, atoms], 1).int())
    predictions = tensor_map(shares[:, None] * p[owners], samples)
    order = torch.tensor([1, 2, 0])
    targets = tensor_map(t[order], Labels(["system"], order[:, None].int()))
    expected = align(p, t, m, grid_spacing=SPACING)
    by_order = align(predictions, targets, m[order], grid_spacing=SPACING)
    np.testing.assert_allclose(by_order.rmse, expected.rmse[order])
    sorted_sums = align(predictions, t, m, grid_spacing=SPACING)
    np.testing.assert_allclose(sorted_sums.rmse, expected.rmse)


def test_atoms_stay_atoms_if_the_target_has_them():
    p, t, m = make_case(6, samples=2)
    samples = Labels(["system", "atom"], torch.tensor([[0, 0], [0, 1]]).int())
    found = align(
        tensor_map(p, samples), tensor_map(t, samples), m, grid_spacing=SPACING
    )
    expected = align(p, t, m, grid_spacing=SPACING)
    np.testing.assert_array_equal(found.rmse, expected.rmse)


def test_atoms_of_a_structure_share_a_shift():
    case = make_case(8, samples=6)
    structures = np.array([3, 4, 4, 4, 7, 7])
    options = {"grid_spacing": SPACING, "tail_weight": TAIL_WEIGHT}
    aligned = align(*case, **options, structures=structures)
    for number in (3, 4, 7):
        atoms = structures == number
        one = [x[atoms].numpy() for x in case]
        shift = reference.best_shift(*one, SPACING, TAIL_WEIGHT)
        assert (aligned.shift[atoms] == shift).all()
    for i, shift in enumerate(aligned.shift):
        one = [x[i : i + 1].numpy() for x in case]
        wanted = reference.masked_term(*one, shift, SPACING)
        assert aligned.terms["masked"][i] == pytest.approx(wanted, rel=1e-8)
    assert not (aligned.shift == align(*case, **options).shift).all()


def test_nothing_is_known_where_nothing_is_trusted():
    p, t, m = make_case(7)
    m[1] = False
    aligned = align(p, t, m, grid_spacing=SPACING)
    known = [True, False, True, True]
    for name in ("rmse", "mae", "relative_rmse", "relative_mae", "shift_energy"):
        np.testing.assert_array_equal(~np.isnan(getattr(aligned, name)), known)
    for name in ("cumulative_rmse", "cumulative_max"):
        np.testing.assert_array_equal(~np.isnan(getattr(aligned, name)), known)


def test_mistakes():
    p, t, m = make_case(8)
    with pytest.raises(ValueError, match=r"predictions: expected shape \(4, 'points"):
        align(p[:, :10], t, m, grid_spacing=SPACING)
    with pytest.raises(ValueError, match="mask: expected the shape of targets"):
        align(p, t, m[:, 1:], grid_spacing=SPACING)
    two = TensorMap(
        Labels.range("key", 2), [tensor_map(p).block().copy() for _ in range(2)]
    )
    with pytest.raises(ValueError, match="expected one block, got 2; pass the blocks"):
        align(two, t, m, grid_spacing=SPACING)
    samples = Labels(["system", "atom"], torch.tensor([[i, 0] for i in range(4)]).int())
    with pytest.raises(
        ValueError, match="expected the 3 systems of the targets, got 4"
    ):
        align(tensor_map(p, samples), tensor_map(t[:3]), m[:3], grid_spacing=SPACING)


@pytest.mark.parametrize("zero", [None, 0.6])
def test_figure_of_one_structure(zero):
    p, t, m = make_case(9, points=60)
    aligned = align(p, t, m, grid_spacing=SPACING)
    energies = SPACING * np.arange(60)
    figure = plot_structure(energies, aligned.sample(2), zero=zero)
    above, below = figure.axes
    x = energies[m[2].numpy()] - (zero or 0.0)
    integrals = [values[2][m[2].numpy()] for values in aligned.integrated()]
    for panel, curves in (
        (above, (aligned.targets[2], aligned.predictions[2])),
        (below, integrals[::-1]),
    ):
        for line, curve in zip(panel.get_lines(), curves, strict=False):
            np.testing.assert_allclose(line.get_xdata(), x)
            if panel is above:
                curve = curve[m[2].numpy()]
            np.testing.assert_allclose(line.get_ydata(), curve)
    # the error of the integral is that of the loss
    excess = aligned.cumulative_error[2]
    there = ~np.isnan(excess)
    difference = np.subtract(*(values[2][1:] for values in aligned.integrated()))
    np.testing.assert_allclose(difference[there], excess[there], atol=1e-12)


@pytest.mark.parametrize("fermi_levels", [None, [0.5, None, 0.7], [0.1, 0.2, 0.3]])
def test_figure(fermi_levels, tmp_path):
    p, t, m = (x.numpy() for x in make_case(3, samples=3, points=60, masked=0.0))
    aligned = align(p, t, m, grid_spacing=0.05)
    energies = 0.05 * np.arange(60)
    figure = plot_predicted_and_computed(
        energies, aligned, ["a", "b", "c"], zeros=fermi_levels, columns=2
    )
    panels = figure.axes
    assert [panel.get_title() for panel in panels] == ["a", "b", "c", ""]
    computed, predicted = panels[1].get_lines()[:2]
    zero = (fermi_levels or [0, 0, 0])[1] or 0
    np.testing.assert_allclose(computed.get_xdata(), energies - zero)
    np.testing.assert_allclose(computed.get_ydata(), t[1])
    np.testing.assert_allclose(predicted.get_ydata(), aligned.predictions[1])
    label = "energy - highest occupied, eV" if fermi_levels else "energy, eV"
    known = fermi_levels is None or None not in fermi_levels
    assert figure.get_supxlabel() == (label if known else "energy, eV")
    figure.savefig(tmp_path / "figure.png")
