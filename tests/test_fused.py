"""The closed-form gradient, against automatic differentiation of the plain version."""

import pytest
import torch
from conftest import OPTIONS, make_case

from metatrain_dos import functional, fused


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("left_out", [None, *OPTIONS])
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
    options = dict(OPTIONS)
    if left_out == "grid_spacing":
        options["grid_spacing"] = 0.5
    elif left_out is not None:
        options[left_out] = 0.0
    results = []
    for implementation in (functional, fused):
        leaf = p.clone().requires_grad_()
        loss = implementation.masked_dos(leaf, t, m, **options)
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
        lambda p: fused.masked_dos(p, t, m, **OPTIONS), p
    )


def test_targets_that_need_gradients():
    p, t, m = make_case(3, samples=2, points=9, extra=4)
    t.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda t: fused.masked_dos(p, t, m, **OPTIONS), t, atol=1e-6
    )


def test_chunks_change_nothing(monkeypatch):
    p, t, m = make_case(4, samples=7, components=2)
    p.requires_grad_()
    whole = fused.masked_dos(p, t, m, **OPTIONS)
    (expected,) = torch.autograd.grad(whole.sum(), p)
    monkeypatch.setattr(fused, "CHUNK", 200)  # two samples at a time, then one
    assert len(fused._chunks(p)) == 4
    pieces = fused.masked_dos(p, t, m, **OPTIONS)
    (gradient,) = torch.autograd.grad(pieces.sum(), p)
    torch.testing.assert_close(pieces, whole)
    torch.testing.assert_close(gradient, expected)


def test_no_gradient_wanted(case):
    p, t, m = case
    loss = fused.masked_dos(p, t, m, **OPTIONS)
    assert not loss.requires_grad
    with torch.no_grad():
        same = fused.masked_dos(p.requires_grad_(), t, m, **OPTIONS)
    assert torch.equal(loss, same)


def test_inputs_are_left_alone(case):
    copies = [x.clone() for x in case]
    p, t, m = case
    fused.masked_dos(p.requires_grad_(), t, m, **OPTIONS).sum().backward()
    assert all(torch.equal(a, b) for a, b in zip(case, copies, strict=True))
