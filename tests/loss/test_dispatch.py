"""The closed-form gradient, against automatic differentiation of the plain version."""

import numpy as np
import pytest
import reference
import torch
from helpers.cases import HYPERS, OPTIONS, WEIGHTS, as_numpy, make_case

from metatrain_dos.loss import cpu, dispatch
from metatrain_dos.loss import terms as equations


pytestmark = pytest.mark.usefixtures("implementation")

SPACING = OPTIONS["grid_spacing"]
SEARCH = {"tail_weight": WEIGHTS["tail_weight"]}


def loss_of(module, *tensors, **options):
    """Compute the loss of each sample with ``equations`` or ``dispatch``."""
    found = module.masked_dos(*tensors, **options)
    return found if module is equations else found.loss


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("left_out", [None, *WEIGHTS])
@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"components": 3},
        {"masked": 1.0},
        {"extra": 0},
        {"points": 3, "extra": 40},
        {"points": 1, "extra": 3},
        {"points": 2, "extra": 1},
        {"points": 3, "extra": 2},
        {"points": 4, "extra": 2},
    ],
    ids=str,
)
def test_value_and_gradient(shape, left_out, dtype):
    p, t, m = make_case(1, dtype=dtype, **shape)
    options = {**OPTIONS, "weights": dict(WEIGHTS)}
    if left_out is not None:
        options["weights"][left_out] = 0.0
    results = []
    for implementation in (equations, dispatch):
        leaf = p.clone().requires_grad_()
        loss = loss_of(implementation, leaf, t, m, **options)
        loss.dot(torch.arange(1, 1 + len(p), dtype=dtype)).backward()
        results.append((loss.detach(), leaf.grad))
    (loss, gradient), (fused_loss, fused_gradient) = results
    digits = 1e-12 if dtype == torch.float64 else 1e-5
    torch.testing.assert_close(fused_loss, loss, rtol=digits, atol=digits)
    # Gradients of single columns may cancel: compare with the largest.
    scale = gradient.abs().max().item()
    torch.testing.assert_close(
        fused_gradient, gradient, rtol=0, atol=digits * max(scale, 1e-30)
    )


def test_gradient_of_the_gradient():
    p, t, m = make_case(2, samples=2, points=9, extra=4)
    p.requires_grad_()
    assert torch.autograd.gradgradcheck(
        lambda p: dispatch.masked_dos(p, t, m, **OPTIONS).loss, p
    )


def test_targets_that_need_gradients():
    p, t, m = make_case(3, samples=2, points=9, extra=4)
    t.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda t: dispatch.masked_dos(p, t, m, **OPTIONS).loss, t, atol=1e-6
    )


def test_chunks_change_nothing(monkeypatch):
    p, t, m = make_case(4, samples=7, components=2)
    p.requires_grad_()
    whole = dispatch.masked_dos(p, t, m, **OPTIONS).loss
    (expected,) = torch.autograd.grad(whole.sum(), p)
    monkeypatch.setattr(cpu, "CHUNK", 200)  # two samples at a time, then one
    pieces = dispatch.masked_dos(p, t, m, **OPTIONS).loss
    (gradient,) = torch.autograd.grad(pieces.sum(), p)
    torch.testing.assert_close(pieces, whole)
    torch.testing.assert_close(gradient, expected)


def test_nan_is_a_mask():
    p, t, m = make_case(6, components=2)
    gaps = torch.zeros_like(m)
    gaps[:, 0, 5:9] = True
    p.requires_grad_()
    expected = equations.masked_dos(p, t, m & ~gaps, **OPTIONS)
    for implementation in (equations, dispatch):
        loss = loss_of(
            implementation, p, t.masked_fill(gaps, float("nan")), m, **OPTIONS
        )
        torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("padded", ["target", "mask", "prediction", "all"])
@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("components", [None, 2])
def test_slices_of_wider_tensors(padded, samples, components):
    names = ("prediction", "target", "mask")
    case = make_case(7, samples=samples, components=components)
    slices = [
        torch.nn.functional.pad(x, (5, 0), value=1)[..., 5:]
        if padded in (name, "all")
        else x
        for name, x in zip(names, case, strict=True)
    ]
    gradients = []
    for p, t, m in (case, slices):
        p = p.detach().requires_grad_()
        dispatch.masked_dos(p, t, m, **OPTIONS).loss.sum().backward()
        gradients.append(p.grad)
    assert torch.equal(*gradients)


def test_terms_and_shifts():
    p, t, m = make_case(5, components=2)
    found = dispatch.masked_dos(p.requires_grad_(), t, m, **OPTIONS)
    expected, expected_shift = equations.weighted_terms(p, t, m, **OPTIONS)
    torch.testing.assert_close(found.terms, expected.detach())
    assert torch.equal(found.shift, expected_shift)
    assert not found.terms.requires_grad
    torch.testing.assert_close(found.terms.sum(-1), found.loss.detach())


def test_no_gradient_wanted(case):
    p, t, m = case
    loss = dispatch.masked_dos(p, t, m, **OPTIONS).loss
    assert not loss.requires_grad
    with torch.no_grad():
        same = dispatch.masked_dos(p.requires_grad_(), t, m, **OPTIONS).loss
    assert torch.equal(loss, same)


def test_inputs_are_left_alone(case):
    copies = [x.clone() for x in case]
    p, t, m = case
    dispatch.masked_dos(p.requires_grad_(), t, m, **OPTIONS).loss.sum().backward()
    assert all(torch.equal(a, b) for a, b in zip(case, copies, strict=True))


@pytest.mark.parametrize("seed", range(20))
def test_shift_is_that_of_the_search(seed):
    p, t, m = make_case(seed, points=60, extra=25, components=1 + seed % 2)
    if seed % 4 == 3:  # a tie everywhere
        p[:], t[:] = 1.0, 1.0
    *_, shift, _ = cpu.loss_and_gradient(p, t, m, with_gradient=False, **OPTIONS)
    assert torch.equal(shift, equations.best_shift(p, t, m, **SEARCH))


@pytest.mark.parametrize("seed", range(10))
def test_shift_when_float32_sees_a_tie(seed):
    """Half of the prediction is the other half, but for one last digit."""
    generator = torch.Generator().manual_seed(seed)
    half = torch.rand(1, 40, generator=generator)
    p = torch.cat([half, half], -1)
    p[0, 40 + seed] = torch.nextafter(p[0, seed], half.new_tensor(0.0))
    t, m = 0.3 * half, torch.ones_like(half, dtype=torch.bool)
    *_, shift, _ = cpu.loss_and_gradient(
        p, t, m, with_gradient=False, weights={}, grid_spacing=SPACING
    )
    assert shift.item() == 40
    found = equations.best_shift(p, t, m, tail_weight=0.0)
    assert found.item() == 40


@pytest.mark.parametrize("scale", [1e-36, 1e-20, 1e-12, 1e6, 1e20, 1e34])
def test_shift_at_the_limits_of_float32(scale):
    p, t, m = make_case(3, points=60, extra=25, dtype=torch.float32)
    p, t = p * scale, t * scale
    *_, shift, _ = cpu.loss_and_gradient(p, t, m, with_gradient=False, **OPTIONS)
    assert torch.equal(shift, equations.best_shift(p, t, m, **SEARCH))
    assert len(set(shift.tolist())) > 1


@pytest.mark.parametrize("kind", ["root", "relative_root"])
class TestLossOfStructure:
    @pytest.mark.parametrize("module", [equations, dispatch], ids=["torch", "compiled"])
    def test_against_reference(self, kind, module):
        p, t, m = make_case(3, components=2)
        losses = loss_of(module, p, t, m, **OPTIONS, per_structure=kind)
        expected = []
        for row in zip(*as_numpy(p, t, m), strict=True):
            total = reference.masked_dos(*row, **HYPERS)
            if kind == "relative_root":
                size = np.where(row[2], row[1], 0.0) ** 2
                total /= sum(reference.integrate(c, SPACING) for c in size)
            expected.append(np.sqrt(total + 1e-6) - 1e-3)
        torch.testing.assert_close(losses, torch.tensor(expected), rtol=1e-10, atol=0)

    def test_terms_add_up(self, kind):
        p, t, m = make_case(4)
        found = dispatch.masked_dos(p, t, m, **OPTIONS, per_structure=kind)
        torch.testing.assert_close(found.terms.sum(-1), found.loss)

    def test_gradient(self, kind):
        p, t, m = make_case(2, samples=2, points=12, extra=5)
        p.requires_grad_()
        options = {**OPTIONS, "per_structure": kind}
        assert torch.autograd.gradcheck(
            lambda p: dispatch.masked_dos(p, t, m, **options).loss, p
        )
        assert torch.autograd.gradgradcheck(
            lambda p: dispatch.masked_dos(p, t, m, **options).loss, p
        )

    def test_perfect_prediction(self, kind):
        """A root has no slope at zero; the softened one has one, and is zero there."""
        _, t, m = make_case(2, extra=0)
        p = t.clone().requires_grad_()
        loss = dispatch.masked_dos(p, t, m, {}, grid_spacing=0.1, per_structure=kind)
        loss.loss.sum().backward()
        assert loss.loss.tolist() == [0.0] * len(t) and not p.grad.any()

    @pytest.mark.parametrize("what", ["nothing trusted", "no states"])
    def test_nothing_to_divide_by(self, kind, what):
        p, t, m = make_case(2)
        t, m = (t, m & False) if what == "nothing trusted" else (0 * t, m)
        p.requires_grad_()
        loss = dispatch.masked_dos(p, t, m, **OPTIONS, per_structure=kind).loss
        loss.sum().backward()
        assert loss.isfinite().all() and p.grad.isfinite().all()


def test_relative_root_has_no_scale():
    """Twice the states in prediction and target are the same relative error."""
    p, t, m = make_case(6)
    options = {**OPTIONS, "per_structure": "relative_root"}
    one = dispatch.masked_dos(p, t, m, **options).loss
    torch.testing.assert_close(
        dispatch.masked_dos(2 * p, 2 * t, m, **options).loss, one
    )


def curvature_term(predictions, targets, mask, shift, *, grid_spacing):
    """A term that has no kernel: the mean square of the second difference."""
    return predictions.diff(n=2, dim=-1).flatten(1).square().mean(1) / grid_spacing**4


TOY = equations.Term("curvature", curvature_term, "curve_weight", "", "roughness")


@pytest.mark.parametrize("weight", [0.0, 0.4])
def test_a_term_without_a_kernel(weight):
    p, t, m = make_case(7, components=2)
    terms = (*equations.TERMS, TOY)
    options = {**OPTIONS, "weights": {**WEIGHTS, "curve_weight": weight}}
    leaf, other = p.clone().requires_grad_(), p.clone().requires_grad_()
    found = dispatch.masked_dos(leaf, t, m, **options, terms=terms)
    expected, shift = equations.weighted_terms(other, t, m, **options, terms=terms)
    torch.testing.assert_close(found.terms, expected.detach())
    assert bool(found.terms[:, -1].any()) == (weight > 0)
    assert torch.equal(found.shift, shift)
    found.loss.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(leaf.grad, other.grad, rtol=1e-12, atol=1e-12)


def test_other_terms_only():
    """A table that does not begin with the terms of the kernels is left to torch."""
    p, t, m = make_case(8)
    found = dispatch.masked_dos(
        p, t, m, {"curve_weight": 1.0}, grid_spacing=SPACING, terms=(TOY,)
    )
    expected = curvature_term(p, t, m, None, grid_spacing=SPACING)
    torch.testing.assert_close(found.loss, expected)


def test_kernels_are_the_first_terms():
    names = [term.name for term in equations.TERMS]
    weights = [term.option for term in equations.TERMS]
    assert tuple(names[: len(cpu.KERNELS)]) == cpu.KERNELS
    assert tuple(weights[1 : len(cpu.KERNELS)]) == cpu.WEIGHTS
