"""Every invariant of the loss, on cases that hypothesis makes, against the reference."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from metatrain_dos import compiled, functional, fused


DTYPES = (torch.float64, torch.float32)
MASKS = ("prefix", "holes", "single", "none", "all", "own for each row")
SHAPES = ("noise", "bumps", "flat", "zero", "one column", "the target, moved")


@dataclass(frozen=True)
class Case:
    p: torch.Tensor
    t: torch.Tensor
    m: torch.Tensor
    options: dict[str, float]

    @property
    def inputs(self):
        return self.p, self.t, self.m


@st.composite
def cases(draw, dtypes=DTYPES, samples=st.integers(1, 4), extra=st.integers(0, 9)):
    """Make predictions, targets, masks and options of all sizes and magnitudes."""
    shape = (draw(samples), *draw(st.sampled_from([(), (1,), (2,), (2, 3)])))
    points, more = draw(st.integers(1, 16)), draw(extra)
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
            "grad_weight": draw(number),
            "int_weight": draw(number),
            "tail_weight": draw(number),
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


def plain(p, t, m, **options):
    """Compute terms, shift and gradient with torch calls and autograd."""
    leaf = p.detach().clone().requires_grad_()
    terms, shift = functional.weighted_terms(leaf, t, m, **options)
    (gradient,) = torch.autograd.grad(terms.sum(), leaf)
    return terms.detach(), shift, gradient


def loops(p, t, m, **options):
    """Compute the same with compiled loops."""
    seen = []
    leaf = p.detach().clone().requires_grad_()
    assert compiled.is_possible(leaf)
    loss = fused.masked_dos(
        leaf, t, m, **options, watch=lambda *found: seen.extend(found)
    )
    (gradient,) = torch.autograd.grad(loss.sum(), leaf)
    terms, shift = seen
    torch.testing.assert_close(loss.detach(), terms.sum(-1), rtol=0, atol=0)
    return terms, shift, gradient


@pytest.fixture(scope="module", params=[plain, loops], ids=["plain", "compiled"])
def compute(request):
    if request.param is loops and compiled.jit.numba is None:
        pytest.skip("numba is not there")
    return request.param


@given(case=cases())
def test_the_reference(compute, case, tally):
    terms, shift, gradient = compute(*case.inputs, **case.options)
    assert terms.dtype == gradient.dtype == case.p.dtype
    tally("properties: a case against the reference")
