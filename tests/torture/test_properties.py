"""Every invariant of the loss, on cases of all kinds, against the reference."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import reference
import torch
from helpers.cases import tensor_map
from hypothesis import assume, given
from hypothesis import strategies as st

from metatrain_dos import MaskedDOSLoss
from metatrain_dos.loss import cpu, dispatch
from metatrain_dos.loss import terms as equations


DTYPES = (torch.float64, torch.float32)
MASKS = ("prefix", "holes", "single", "none", "all", "own for each row")
SHAPES = ("noise", "bumps", "flat", "zero", "one column", "the target, moved")


@dataclass(frozen=True)
class Case:
    p: torch.Tensor
    t: torch.Tensor
    m: torch.Tensor
    options: dict[str, Any]

    @property
    def hypers(self):
        """The same as options of the loss."""
        return {**self.options["weights"], "grid_spacing": self.options["grid_spacing"]}

    @property
    def inputs(self):
        return self.p, self.t, self.m


@st.composite
def cases(draw, dtypes=DTYPES, samples=(1, 4), extra=(0, 9)):
    """Make predictions, targets, masks and options of all sizes and magnitudes."""
    shape = (
        draw(st.integers(*samples)),
        *draw(st.sampled_from([(), (1,), (2,), (2, 3)])),
    )
    points, more = draw(st.integers(1, 16)), draw(st.integers(*extra))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scales = [10.0 ** draw(st.floats(-12, 6)) for _ in range(2)]
    if draw(st.booleans()):
        scales[1] = scales[0]
    kinds = [draw(st.sampled_from(SHAPES)) for _ in range(2)]
    t = scales[1] * values(rng, kinds[1], (*shape, points))
    p = scales[0] * values(rng, kinds[0], (*shape, points + more))
    if kinds[0] == "the target, moved":
        shift = rng.integers(more + 1)
        p[:] = 0.0
        p[..., shift : shift + points] = t
    dtype = draw(st.sampled_from(dtypes))
    number = st.sampled_from([0.0, 1e-4, 0.3, 2.0, 1e3])
    return Case(
        torch.tensor(p, dtype=dtype),
        torch.tensor(t, dtype=dtype),
        torch.tensor(mask(rng, draw(st.sampled_from(MASKS)), t.shape)),
        {
            "weights": {
                "grad_weight": draw(number),
                "int_weight": draw(number),
                "tail_weight": draw(number),
            },
            "grid_spacing": draw(st.sampled_from([1e-3, 0.05, 0.37, 5.0])),
        },
    )


def values(rng, kind, shape):
    """Make numbers of the order of 1."""
    if kind == "noise":
        return rng.normal(size=shape)
    if kind == "bumps":
        x = np.arange(shape[-1])
        centre = rng.uniform(0, shape[-1], (*shape[:-1], 1))
        return np.exp(-0.5 * ((x - centre) / 1.5) ** 2)
    found = np.zeros(shape)
    if kind == "flat":
        found += rng.uniform(0.5, 2)
    if kind == "one column":
        found[..., rng.integers(shape[-1])] = 1.0
    return found


def mask(rng, kind, shape):
    """Make a mask, the same for all rows unless it is said."""
    found = np.zeros(shape, dtype=bool)
    if kind == "prefix":
        found[..., : rng.integers(1, shape[-1] + 1)] = True
    elif kind == "holes":
        found[:] = rng.random(shape[-1]) < 0.6
    elif kind == "single":
        found[..., rng.integers(shape[-1])] = True
    elif kind == "all":
        found[:] = True
    elif kind == "own for each row":
        found = rng.random(shape) < 0.6
    return found


# ---------------------------------------------------------------- two implementations


def plain(case):
    """Compute terms, shift and gradient with torch calls and autograd."""
    leaf = case.p.detach().requires_grad_()
    terms, shift = equations.weighted_terms(leaf, case.t, case.m, **case.options)
    (gradient,) = torch.autograd.grad(terms.sum(), leaf)
    return three(terms.detach()), shift, gradient


def three(terms):
    """Add the front tail to the masked term: both belong to the cost of a shift."""
    return torch.cat([terms[:, :2].sum(-1, keepdim=True), terms[:, 2:]], -1)


def loops(case):
    """Compute the same with compiled loops."""
    leaf = case.p.detach().requires_grad_()
    assert cpu.can_run(leaf)
    loss, terms, shift = dispatch.masked_dos(leaf, case.t, case.m, **case.options)
    (gradient,) = torch.autograd.grad(loss.sum(), leaf)
    return three(terms), shift, gradient


@pytest.fixture(scope="module", params=[plain, loops], ids=["plain", "compiled"])
def compute(request):
    if request.param is loops and not cpu.can_run(torch.zeros(1)):
        pytest.skip("numba is not there")
    return request.param


@pytest.fixture(autouse=True, scope="module")
def tried(tally):
    """Count examples of all properties."""
    return lambda: tally("examples of properties of the loss")


# ---------------------------------------------------------------- allowed inputs


def largest(case, i):
    """Find the largest difference that sample ``i`` can have."""
    return (case.p[i].abs().max() + case.t[i].abs().max()).double().item()


def rounding(case, i, roundings=64):
    """
    Bound the rounding errors of the three terms of a sample, and of their gradient.

    Each term is a sum of squares of at most this size; a square, and a sum of some
    hundred of them, lose some tens of roundings.
    """
    o, h = case.hypers, case.hypers["grid_spacing"]
    rows, columns = case.p[i].numel() // case.p.shape[-1], case.p.shape[-1]
    each = largest(case, i)
    dos = (1 + o["tail_weight"]) * h * rows * columns * each**2
    slope = o["grad_weight"] * rows * columns * (12 * each) ** 2 / h
    total = o["int_weight"] * h**3 * rows * columns * (columns * each) ** 2
    info = torch.finfo(case.p.dtype)
    # numbers this small have fewer digits
    allowed = roundings * info.eps * np.array([dos, slope, total]) + 1e3 * info.tiny
    gradient = allowed.sum() * 2 / each if each else allowed.sum()
    return allowed, gradient


def rows_of(case, i):
    """View a sample as the reference does, ``(components, columns)``."""
    p, t, m = (x[i].reshape(-1, x.shape[-1]) for x in case.inputs)
    return p.double().numpy(), t.double().numpy(), m.numpy()


def costs(case, i):
    """Compute the reference's costs of a sample, and how far apart a tie may be."""
    p, t, m = rows_of(case, i)
    h = case.options["grid_spacing"]
    found = reference.costs(p, t, m, h, case.hypers["tail_weight"])
    tie = 16 * np.finfo(np.float64).eps * h * case.p[i].numel() * largest(case, i) ** 2
    return found, tie


def has_one_answer(case, i):
    """Tell whether no two costs are so close that either may come out lower."""
    found, tie = costs(case, i)
    apart = found - found.min()
    # The costs of a true tie differ in a few last digits.
    return not ((apart > tie / 1e3) & (apart < 1e3 * tie)).any()


def assert_same(one, other, case, only=None):
    """Compare what two computations give, where there is one answer."""
    for i in range(len(case.p)) if only is None else only:
        if has_one_answer(case, i):
            terms, gradient = rounding(case, i)
            assert one[1][i] == other[1][i]
            assert (abs(one[0][i] - other[0][i]).numpy() <= terms).all()
            assert (abs(one[2][i] - other[2][i]) <= gradient).all()


# -------------------------------------------------------------------- the properties


@given(case=cases())
def test_reference(compute, case, tried):
    terms, shifts, gradient = compute(case)
    assert terms.dtype == gradient.dtype == case.p.dtype
    assert gradient.isfinite().all()
    h = case.options["grid_spacing"]
    for i, s in enumerate(shifts.tolist()):
        p, t, m = rows_of(case, i)
        found, tie = costs(case, i)
        assert found[s] <= found.min() + 2 * tie
        if has_one_answer(case, i):
            assert s == np.argmax(found <= found.min() + tie)
        expected = [
            found[s],
            case.hypers["grad_weight"] * reference.gradient_term(p, m, s, h),
            case.hypers["int_weight"] * reference.cumulative_term(p, t, m, s, h),
        ]
        allowed, _ = rounding(case, i)
        assert (abs(terms[i].numpy() - expected) <= allowed).all()
        assert (terms[i] >= 0).all()
    tried()


@given(case=cases())
def test_both_implementations_agree(case, tried):
    if not cpu.can_run(torch.zeros(1)):
        pytest.skip("numba is not there")
    assert_same(plain(case), loops(case), case)
    tried()


@given(case=cases(samples=(1, 5)), order=st.randoms(use_true_random=False))
def test_samples_are_independent(compute, case, order, tried):
    """A batch is its members, in any order, with others or without."""
    together = compute(case)
    alone = [compute(select(case, [i])) for i in range(len(case.p))]
    assert_same(together, [torch.cat(x) for x in zip(*alone, strict=True)], case)
    chosen = order.sample(range(len(case.p)), len(case.p))
    shuffled = select(case, chosen)
    assert_same([x[chosen] for x in together], compute(shuffled), shuffled)
    tried()


def select(case, rows):
    return replace(case, p=case.p[rows], t=case.t[rows], m=case.m[rows])


@given(case=cases(), junk=st.sampled_from([np.nan, np.inf, -np.inf, 1e30, -1.0, 0.0]))
def test_what_the_mask_hides_never_matters(compute, case, junk, tried):
    hidden = replace(case, t=case.t.masked_fill(~case.m, junk))
    assert_identical(compute(case), compute(hidden))
    tried()


def assert_identical(one, other):
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)


@given(case=cases(), power=st.integers(-20, 20))
def test_scale(compute, case, power, tried):
    """Twice the states are four times the loss, to the last bit."""
    terms, shift, gradient = compute(case)
    scaled = replace(case, p=case.p * 2.0**power, t=case.t * 2.0**power)
    found, same_shift, other = compute(scaled)
    assert torch.equal(shift, same_shift)
    tiny = 1e9 * torch.finfo(case.p.dtype).tiny  # which has no more digits
    for a, b in ((4.0**power * terms, found), (2.0**power * gradient, other)):
        torch.testing.assert_close(a, b, rtol=0, atol=tiny)
    tried()


@given(case=cases(extra=(2, 9)), data=st.data())
def test_moved_predictions(compute, case, data, tried):
    """Moving a prediction inside the allowance changes neither D nor C."""
    extra = case.p.shape[-1] - case.t.shape[-1]
    front = data.draw(st.integers(1, extra), "zeros in front")
    back = data.draw(st.integers(0, extra - front), "zeros behind")
    case.p[..., :front] = 0
    case.p[..., case.p.shape[-1] - back :] = 0
    # One stays: the trapezoidal rule halves the first column.
    move = data.draw(st.integers(1 - front, back), "columns to move")
    moved = replace(case, p=torch.roll(case.p, move, -1))
    terms, shift, _ = compute(case)
    found, other_shift, _ = compute(moved)
    for i in range(len(case.p)):
        # Moved out of the reach of the target, a better position may be gone.
        if 0 <= shift[i] + move <= extra and 0 <= other_shift[i] - move <= extra:
            allowed, _ = rounding(case, i)
            assert abs(terms[i, 0] - found[i, 0]) <= 2 * allowed[0]
            if has_one_answer(case, i) and has_one_answer(moved, i):
                assert other_shift[i] == shift[i] + move
                assert abs(terms[i, 2] - found[i, 2]) <= 2 * allowed[2]
    tried()


@given(case=cases())
def test_nothing_to_compare(compute, case, tried):
    """Without a trusted point there is no error, and the other terms are finite."""
    empty = replace(case, m=torch.zeros_like(case.m))
    terms, shift, gradient = compute(empty)
    assert (terms[:, [0, 2]] == 0).all() and (shift == 0).all()
    assert terms.isfinite().all() and gradient.isfinite().all()
    tried()


@given(case=cases(extra=(0, 0)))
def test_no_alignment(compute, case, tried):
    terms, shift, _ = compute(case)
    assert (shift == 0).all()
    error = ((case.p - case.t) * case.m).double()
    expected = torch.trapezoid(error**2, dx=case.options["grid_spacing"])
    for i, value in enumerate(expected.reshape(len(case.p), -1).sum(1)):
        assert abs(terms[i, 0] - value) <= rounding(case, i)[0][0]
    tried()


@given(case=cases(samples=(2, 5)), broken=st.sampled_from([np.nan, np.inf, -np.inf]))
def test_one_broken_prediction(compute, case, broken, tried):
    """A prediction that is not finite spoils its own loss, and no other."""
    good = compute(case)
    p = case.p.clone()
    p[0].view(-1)[hash(broken) % p[0].numel()] = broken
    found = compute(replace(case, p=p))
    assert not found[0][0].sum().isfinite()
    assert_same(
        [torch.nan_to_num(x) for x in good],
        [torch.nan_to_num(x, nan=-1.0) for x in found],
        case,
        only=range(1, len(p)),
    )
    tried()


def transposed(x):
    return x.transpose(0, -1).contiguous().transpose(0, -1)


def strided(x):
    wide = x.new_zeros(*x.shape[:-1], 2 * x.shape[-1])
    wide[..., ::2] = x
    return wide[..., ::2]


def sliced(x):
    return torch.cat([x, x, x], 0)[len(x) : 2 * len(x)]


LAYOUTS = st.sampled_from([transposed, strided, sliced, torch.clone])


@given(case=cases(), layouts=st.tuples(LAYOUTS, LAYOUTS, LAYOUTS))
def test_layouts(compute, case, layouts, tried):
    """Where numbers are in memory does not matter; they are left as they are."""
    other = [layout(x) for layout, x in zip(layouts, case.inputs, strict=True)]
    found = compute(Case(*other, case.options))
    assert_same(compute(case), found, case)
    assert all(torch.equal(a, b) for a, b in zip(other, case.inputs, strict=True))
    tried()


@given(case=cases(samples=(1, 1)), number=st.integers(2, 4))
def test_expanded(compute, case, number, tried):
    def expand(x):
        return x.expand(number, *x.shape[1:])

    found = compute(Case(*(expand(x) for x in case.inputs), case.options))
    repeated = select(case, [0] * number)
    assert_same(compute(repeated), found, repeated)
    tried()


@given(case=cases())
def test_targets_that_need_gradients(case, tried):
    t = case.t.clone().requires_grad_()
    losses = dispatch.masked_dos(case.p, t, case.m, **case.options).loss
    (gradient,) = torch.autograd.grad(losses.sum(), t)
    assert gradient.isfinite().all() and (gradient[~case.m] == 0).all()
    terms, _, _ = plain(case)
    torch.testing.assert_close(losses.detach(), terms.sum(-1), rtol=0, atol=0)
    tried()


@given(case=cases(dtypes=(torch.float16, torch.bfloat16)))
def test_half_precision(case, tried):
    """Numbers of half precision work as far as they reach; D of the order of 1 fits."""
    spacing = 0.05
    options = {**case.options, "grid_spacing": spacing}
    weights = [1.0, *(case.hypers[k] or 1.0 for k in ("grad_weight", "int_weight"))]
    size = max(case.p.abs().max().item(), case.t.abs().max().item()) or 1.0
    case = replace(case, p=case.p / size, t=case.t / size, options=options)
    assume(case.p.isfinite().all() and case.t.isfinite().all())
    terms, _, gradient = plain(case)
    assert terms.dtype == gradient.dtype == case.p.dtype
    exact, _, _ = plain(replace(case, p=case.p.double(), t=case.t.double()))
    for i in range(len(case.p)):
        allowed, _ = rounding(case, i)
        # before they are multiplied with the spacing and the weight
        sums = exact[i] / torch.tensor(weights) / spacing
        fits = (torch.stack([exact[i], sums]) < 1e4).all()
        if fits and has_one_answer(case, i):
            assert (abs(terms[i] - exact[i]).numpy() <= allowed).all()
    tried()


NAME = "mtt::dos"


@given(case=cases(samples=(0, 4)), data=st.data())
def test_tensor_maps(compute, case, data, tried):
    """Padding, the dtype of the mask, NaN as mask, and the reduction."""
    extra = case.p.shape[-1] - case.t.shape[-1]
    reduction = data.draw(st.sampled_from(["mean", "sum", "none"]), "reduction")
    mask_dtype = data.draw(
        st.sampled_from([torch.bool, torch.uint8, torch.int64, case.p.dtype]), "mask"
    )
    junk = data.draw(st.sampled_from([0.0, np.nan, np.inf, 7.0]), "padding")

    def pad(values, fill):
        front = values.new_full((*values.shape[:-1], extra), fill)
        return torch.cat([front, values], -1)

    t, m = case.t, case.m.to(mask_dtype)
    as_nan = data.draw(st.booleans(), "NaN as mask")
    if as_nan:
        t = t.masked_fill(~case.m, np.nan)
    if data.draw(st.booleans(), "padded target"):
        t = pad(t, junk)
    if data.draw(st.booleans(), "padded mask"):
        m = pad(m, 1)
    loss = MaskedDOSLoss(NAME, reduction=reduction, extra_targets=extra, **case.hypers)
    leaf = case.p.clone().requires_grad_()
    value = loss(
        {NAME: tensor_map(leaf)},
        {NAME: tensor_map(t)},
        {} if as_nan else {f"{NAME}_mask": tensor_map(m)},
    )
    value.sum().backward()
    losses = dispatch.masked_dos(*case.inputs, **case.options).loss
    reduced = {
        "none": losses,
        "sum": losses.sum(),
        "mean": losses.mean() if len(losses) else losses.sum(),
    }
    torch.testing.assert_close(value.detach(), reduced[reduction], rtol=0, atol=0)
    if len(losses):
        share = len(losses) if reduction == "mean" else 1
        gradient = compute(case)[2] / share
        assert leaf.grad.isfinite().all()
        for i in range(len(losses)):
            if has_one_answer(case, i):
                allowed = 2 * rounding(case, i)[1]
                assert (abs(leaf.grad[i] - gradient[i]) <= allowed).all()
    tried()
