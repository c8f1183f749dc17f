"""The loss on plain tensors, against loops written from the equations."""

import numpy as np
import pytest
import reference
import torch
from helpers.cases import HYPERS, OPTIONS, WEIGHTS, as_numpy, make_case
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    FakeTensorMode,
)

from metatrain_dos.loss import alignment, dispatch
from metatrain_dos.loss import terms as equations


SPACING = OPTIONS["grid_spacing"]
SEARCH = {"tail_weight": WEIGHTS["tail_weight"]}

# Summing a few hundred numbers in another order changes the last digits only.
ROUNDING = {"rtol": 1e-11, "atol": 1e-12}


CASES = [
    pytest.param({}, id="plain"),
    pytest.param({"components": 2}, id="components"),
    pytest.param({"masked": 0.0}, id="nothing masked"),
    pytest.param({"masked": 1.0}, id="everything masked"),
    pytest.param({"extra": 0}, id="no shift"),
    pytest.param({"points": 200, "extra": 60}, id="wide"),
    pytest.param({"points": 3, "extra": 40}, id="far more shifts than points"),
    pytest.param({"points": 2, "extra": 1}, id="too narrow for the stencil"),
    pytest.param({"points": 1, "extra": 4, "masked": 0.0}, id="one point"),
    pytest.param({"samples": 1}, id="one sample"),
]


def each_sample(function, *tensors, **options):
    """Apply a function of the reference to one sample after the other."""
    rows = zip(*as_numpy(*tensors), strict=True)
    values = [function(*row, **options) for row in rows]
    return torch.tensor(values, dtype=torch.float64)


def shifts_of(predictions, targets, mask):
    return [
        reference.best_shift(*row, SPACING, WEIGHTS["tail_weight"])
        for row in zip(*as_numpy(predictions, targets, mask), strict=True)
    ]


@pytest.mark.parametrize("shape", CASES)
class TestAgainstReference:
    """Each term alone, then the sum."""

    def test_alignment_costs(self, shape):
        tensors = make_case(1, **shape)
        costs = alignment.alignment_costs(*tensors, grid_spacing=SPACING, **SEARCH)
        rows = zip(*as_numpy(*tensors), strict=True)
        expected = [
            reference.costs(*row, SPACING, WEIGHTS["tail_weight"]) for row in rows
        ]
        torch.testing.assert_close(costs, torch.tensor(np.array(expected)), **ROUNDING)

    def test_best_shift(self, shape):
        tensors = make_case(2, **shape)
        assert alignment.best_shift(*tensors, **SEARCH).tolist() == shifts_of(*tensors)

    def test_masked_term(self, shape):
        p, t, m = make_case(3, **shape)
        shift = alignment.best_shift(p, t, m, **SEARCH)
        value = equations.masked_term(p, t, m, shift, grid_spacing=SPACING)
        expected = [
            reference.masked_term(*row, int(s), SPACING)
            for *row, s in zip(*as_numpy(p, t, m), shift, strict=True)
        ]
        torch.testing.assert_close(
            value, torch.tensor(expected, dtype=p.dtype), **ROUNDING
        )

    def test_front_tail_term(self, shape):
        p, t, m = make_case(4, **shape)
        shift = torch.arange(len(p)) % (p.shape[-1] - t.shape[-1] + 1)
        value = equations.front_tail_term(p, t, m, shift, grid_spacing=SPACING)
        expected = [
            reference.front_tail_term(row, int(s), SPACING)
            for row, s in zip(*as_numpy(p), shift, strict=True)
        ]
        torch.testing.assert_close(
            value, torch.tensor(expected, dtype=p.dtype), **ROUNDING
        )

    def test_gradient_term(self, shape):
        p, t, m = make_case(5, **shape)
        shift = torch.arange(len(p)) % (p.shape[-1] - t.shape[-1] + 1)
        value = equations.gradient_term(p, t, m, shift, grid_spacing=SPACING)
        expected = [
            reference.gradient_term(*row, int(s), SPACING)
            for *row, s in zip(*as_numpy(p, m), shift, strict=True)
        ]
        torch.testing.assert_close(
            value, torch.tensor(expected, dtype=p.dtype), **ROUNDING
        )

    def test_cumulative_term(self, shape):
        p, t, m = make_case(6, **shape)
        shift = torch.arange(len(p)) % (p.shape[-1] - t.shape[-1] + 1)
        value = equations.cumulative_term(p, t, m, shift, grid_spacing=SPACING)
        expected = [
            reference.cumulative_term(*row, int(s), SPACING)
            for *row, s in zip(*as_numpy(p, t, m), shift, strict=True)
        ]
        torch.testing.assert_close(
            value, torch.tensor(expected, dtype=p.dtype), **ROUNDING
        )

    def test_masked_dos(self, masked_dos, shape):
        tensors = make_case(7, **shape)
        value = masked_dos(*tensors, **OPTIONS)
        expected = each_sample(reference.masked_dos, *tensors, **HYPERS)
        torch.testing.assert_close(value, expected, rtol=1e-8, atol=1e-12)

    def test_masked_dos_float32(self, masked_dos, shape):
        tensors = make_case(8, dtype=torch.float32, **shape)
        value = masked_dos(*tensors, **OPTIONS)
        assert value.dtype == torch.float32
        expected = each_sample(reference.masked_dos, *tensors, **HYPERS)
        # float32 carries 7 digits; sums and the stencil, which subtracts, cost some.
        torch.testing.assert_close(value.double(), expected, rtol=1e-3, atol=1e-6)


def test_loss_is_the_weighted_sum_of_its_terms(masked_dos, case):
    p, t, m = case
    shift = alignment.best_shift(p, t, m, **SEARCH)
    spacing = {"grid_spacing": SPACING}
    expected = (
        equations.masked_term(p, t, m, shift, **spacing)
        + 0.8 * equations.front_tail_term(p, t, m, shift, **spacing)
        + 0.3 * equations.gradient_term(p, t, m, shift, **spacing)
        + 1.7 * equations.cumulative_term(p, t, m, shift, **spacing)
    )
    torch.testing.assert_close(masked_dos(p, t, m, **OPTIONS), expected)


@pytest.mark.parametrize("components", [None, 2])
@pytest.mark.parametrize("extra", [0, 5])
def test_gradients_against_finite_differences(masked_dos, components, extra):
    p, t, m = make_case(9, samples=3, components=components, points=11, extra=extra)
    p.requires_grad_()
    assert torch.autograd.gradcheck(lambda p: masked_dos(p, t, m, **OPTIONS), p)


class TestInvariants:
    def test_batch_is_its_members(self, masked_dos, case):
        together = masked_dos(*case, **OPTIONS)
        alone = [
            masked_dos(*(x[i : i + 1] for x in case), **OPTIONS)
            for i in range(len(case[0]))
        ]
        torch.testing.assert_close(together, torch.cat(alone), **ROUNDING)

    def test_permuted_samples_permute_losses(self, masked_dos, case):
        order = torch.tensor([2, 0, 3, 1])
        permuted = masked_dos(*(x[order] for x in case), **OPTIONS)
        torch.testing.assert_close(
            permuted, masked_dos(*case, **OPTIONS)[order], **ROUNDING
        )

    @pytest.mark.parametrize("junk", [1e30, float("nan"), float("inf")])
    def test_masked_target_values_never_matter(self, masked_dos, case, junk):
        p, t, m = case
        p = p.clone().requires_grad_()
        q = p.detach().clone().requires_grad_()
        clean = masked_dos(p, t, m, **OPTIONS)
        dirty = masked_dos(q, t.masked_fill(~m, junk), m, **OPTIONS)
        clean.sum().backward()
        dirty.sum().backward()
        assert torch.equal(clean, dirty)
        assert torch.equal(p.grad, q.grad)

    def test_moving_a_prediction_changes_neither_dos_nor_cumulative_term(self):
        points, extra = 40, 15
        _, t, m = make_case(10, points=points, extra=extra)
        t[:, :3] = t[:, -3:] = 0  # a DOS begins and ends at zero
        values = []
        for shift in range(extra + 1):
            p = torch.zeros(len(t), points + extra, dtype=t.dtype)
            p[:, shift : shift + points] = 1.1 * t
            found = alignment.best_shift(p, t, m, **SEARCH)
            terms = (
                equations.masked_term(p, t, m, found, grid_spacing=SPACING),
                equations.front_tail_term(p, t, m, found, grid_spacing=SPACING),
                equations.cumulative_term(p, t, m, found, grid_spacing=SPACING),
            )
            values.append(torch.stack(terms))
        for value in values[1:]:
            torch.testing.assert_close(value, values[0], **ROUNDING)

    def test_all_false_mask_is_finite(self, masked_dos, case):
        p, t, m = case
        p = p.clone().requires_grad_()
        loss = masked_dos(p, t, torch.zeros_like(m), **OPTIONS)
        loss.sum().backward()
        assert loss.isfinite().all() and p.grad.isfinite().all()
        assert (loss > 0).all()  # the slope of the prediction still counts

    def test_perfect_prediction_costs_nothing(self):
        _, t, m = make_case(11, masked=0.0, extra=0)
        p = torch.nn.functional.pad(t, (7, 5))
        shift = alignment.best_shift(p, t, m, **SEARCH)
        assert shift.tolist() == [7] * len(t)
        assert equations.masked_term(p, t, m, shift, grid_spacing=SPACING).max() == 0

    @pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
    @pytest.mark.parametrize("column", [0, 20, 41])
    @pytest.mark.parametrize("grad_weight", [0.0, 0.3])
    def test_broken_prediction_breaks_its_own_sample_only(
        self, masked_dos, case, bad, column, grad_weight
    ):
        p, t, m = case
        options = {**OPTIONS, "weights": {**WEIGHTS, "grad_weight": grad_weight}}
        broken = p.clone()
        broken[1, column] = bad
        expected = masked_dos(p, t, m, **options)
        loss = masked_dos(broken, t, m, **options)
        assert not loss[1].isfinite()
        others = [0, 2, 3]
        torch.testing.assert_close(loss[others], expected[others], **ROUNDING)

    @pytest.mark.parametrize(
        ("weight", "size", "spacing"),
        [("grad_weight", 1e17, 1e-6), ("int_weight", 1e4, 1e10)],
    )
    def test_term_without_weight_cannot_overflow(
        self, masked_dos, weight, size, spacing
    ):
        p, t, m = make_case(12, extra=10, dtype=torch.float32)
        options = {"grid_spacing": spacing, "weights": {"tail_weight": 0.8}}
        assert masked_dos(size * p, size * t, m, **options).isfinite().all()
        options["weights"][weight] = 1.0
        assert not masked_dos(size * p, size * t, m, **options).isfinite().any()

    def test_stays_on_dtype(self, masked_dos):
        for dtype in (torch.float32, torch.float64):
            p, t, m = make_case(12, dtype=dtype)
            p.requires_grad_()
            loss = masked_dos(p, t, m, **OPTIONS)
            loss.sum().backward()
            assert loss.dtype == p.grad.dtype == dtype

    def test_no_samples(self, masked_dos):
        p, t, m = (x[:0] for x in make_case(13))
        assert masked_dos(p, t, m, **OPTIONS).shape == (0,)

    def test_expanded_and_transposed_inputs(self, masked_dos, case):
        p, t, m = case
        strided = [x.T.contiguous().T for x in (p, t, m)]
        assert not strided[0].is_contiguous()
        torch.testing.assert_close(
            masked_dos(*strided, **OPTIONS),
            masked_dos(p, t, m, **OPTIONS),
            **ROUNDING,
        )
        same = m[:1].expand_as(m)
        torch.testing.assert_close(
            masked_dos(p, t, same, **OPTIONS),
            masked_dos(p, t, same.contiguous(), **OPTIONS),
            **ROUNDING,
        )


def test_nothing_waits_for_the_device(masked_dos):
    """Fake tensors have shapes and no numbers, so whatever reads a number fails."""
    with FakeTensorMode(allow_non_fake_inputs=False):
        p = torch.rand(4, 2, 42, requires_grad=True)
        t, m = torch.rand(4, 2, 30), torch.ones(4, 2, 30, dtype=torch.bool)
        loss = masked_dos(p, t, m, **OPTIONS)
        loss.mean().backward()
        assert loss.shape == (4,) and p.grad.shape == p.shape
        with pytest.raises(DataDependentOutputException):
            loss.sum().item()


class TestTies:
    @pytest.mark.parametrize("tail_weight", [0.0, 1.0])
    @pytest.mark.parametrize("height", [0.0, 1e-6, 0.1, 1e4])
    def test_flat_dos_does_not_shift(self, height, tail_weight):
        p = torch.full((2, 130), height, dtype=torch.float64)
        t = torch.full((2, 100), height, dtype=torch.float64)
        m = torch.ones(2, 100, dtype=torch.bool)
        shift = alignment.best_shift(p, t, m, tail_weight=tail_weight)
        assert shift.tolist() == [0, 0]

    def test_periodic_dos_takes_the_first_period(self):
        x = torch.arange(180, dtype=torch.float64)
        p = (1 + torch.sin(2 * torch.pi * (x - 3) / 20))[None]
        t = (1 + torch.sin(2 * torch.pi * x[:100] / 20))[None]
        m = torch.ones(1, 100, dtype=torch.bool)
        shift = alignment.best_shift(p, t, m, tail_weight=0.0)
        assert shift.tolist() == [3]


def compiled_shift(predictions, targets, mask, *, tail_weight):
    """Find the shifts as :mod:`metatrain_dos.loss.dispatch` does."""
    return dispatch.masked_dos(
        predictions,
        targets,
        mask,
        {"tail_weight": tail_weight},
        grid_spacing=SPACING,
    ).shift


class TestSinglePrecisionSearch:
    """A shift found in float32 is as good as the best one, measured in float64."""

    def hard_cases(self):
        x = torch.arange(430, dtype=torch.float64)

        def peak(centre, width=6.0):
            return torch.exp(-0.5 * ((x - centre) / width) ** 2)

        noise = torch.randn(430, generator=torch.Generator().manual_seed(1)).double()
        target = peak(90)[:330] + 0.5 * peak(200, 30)[:330]
        yield "flat", 1 + 1e-3 * noise, torch.ones(330).double()
        yield "flat to the last digit", 1 + 1e-6 * noise, torch.ones(330).double()
        yield "two equal peaks", peak(120) + peak(160), peak(90)[:330]
        yield (
            "two peaks, one a little better",
            peak(120) + (1 + 1e-4) * peak(160),
            peak(90)[:330],
        )
        moved = torch.nn.functional.pad(target, (40, 60))
        yield "almost perfect", moved * (1 + 1e-5 * noise), target
        yield "perfect", moved, target
        yield "tiny", 1e-6 * (moved + 0.1 * noise), 1e-6 * target
        yield "huge", 1e4 * (moved + 0.1 * noise), 1e4 * target
        yield "small", moved + 0.1 * noise, target
        yield "1000 times its neighbour", 1e3 * (moved + 0.1 * noise), 1e3 * target

    @pytest.mark.parametrize("search", [alignment.best_shift, compiled_shift])
    @pytest.mark.parametrize("masked", ["nothing", "end", "holes"])
    @pytest.mark.parametrize("tail_weight", [0.0, 1.0])
    def test_cost_within_bound(self, search, masked, tail_weight):
        names, predictions, targets = zip(*self.hard_cases(), strict=True)
        p = torch.stack(predictions).float()
        t = torch.stack(targets).float()
        m = torch.ones(t.shape, dtype=torch.bool)
        if masked == "end":
            m[:, 250:] = False
        elif masked == "holes":
            m[:, ::3] = False
        shift = search(p, t, m, tail_weight=tail_weight)
        for name, chosen, *row in zip(names, shift, *as_numpy(p, t, m), strict=True):
            windows = np.lib.stride_tricks.sliding_window_view(row[0][0], 330)
            squared = np.where(row[2][0], windows - row[1][0], 0.0) ** 2
            tail = np.append(
                0.0, np.cumsum(0.5 * (row[0][0, 1:101] ** 2 + row[0][0, :100] ** 2))
            )
            costs = np.trapezoid(squared, axis=1) + tail_weight * tail
            assert costs[chosen] <= costs.min() * (1 + 1e-5), name


class TestErrors:
    def test_mask_must_be_boolean(self, masked_dos, case):
        p, t, m = case
        with pytest.raises(TypeError, match=r"mask: expected a tensor of torch\.bool"):
            masked_dos(p, t, m.double(), **OPTIONS)

    def test_dtypes_must_agree(self, masked_dos, case):
        p, t, m = case
        with pytest.raises(TypeError, match=r"float64.*got torch\.float32"):
            masked_dos(p, t.float(), m, **OPTIONS)
        with pytest.raises(TypeError, match="floating point"):
            masked_dos(p.long(), t.long(), m, **OPTIONS)

    def test_mask_must_have_the_shape_of_the_target(self, masked_dos, case):
        p, t, m = case
        with pytest.raises(ValueError, match=r"mask: expected the shape of targets"):
            masked_dos(p, t, m[:1], **OPTIONS)

    @pytest.mark.parametrize("cut", [lambda p: p[:1], lambda p: p[:, :29]])
    def test_predictions_must_fit(self, masked_dos, case, cut):
        p, t, m = case
        with pytest.raises(ValueError, match=r"predictions: expected shape \(4, 'p"):
            masked_dos(cut(p), t, m, **OPTIONS)

    def test_components_must_fit(self, masked_dos, case):
        p, t, m = case
        with pytest.raises(ValueError, match="samples and components must agree"):
            masked_dos(p[:, None], t, m, **OPTIONS)

    def test_points_are_needed(self, masked_dos, case):
        p, t, m = case
        with pytest.raises(ValueError, match="at least one point"):
            masked_dos(p, t[:, :0], m[:, :0], **OPTIONS)
        with pytest.raises(ValueError, match="at least one point"):
            masked_dos(p[0], t[0], m[0], **OPTIONS)


@pytest.mark.parametrize("columns", [1, 2, 5, 17, 113, 3830, 4097])
def test_fast_fft_size(columns):
    size = alignment.fast_fft_size(columns)
    assert columns <= size <= max(2, 1.1 * columns) + 1
    for factor in (2, 3, 5):
        while size % factor == 0:
            size //= factor
    assert size == 1
