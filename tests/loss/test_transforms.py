"""The loss under the transforms of torch, and for tensors of unusual kinds."""

import pytest
import torch
from helpers.cases import OPTIONS, make_case
from torch.autograd import forward_ad
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from metatrain_dos.loss import alignment, dispatch
from metatrain_dos.loss import terms as equations


# The same sums in another order change the last digits only.
ROUNDING = {"rtol": 1e-11, "atol": 1e-12}


def gradient(p, t, m):
    leaf = p.clone().requires_grad_()
    loss = equations.masked_dos(leaf, t, m, **OPTIONS).sum()
    return torch.autograd.grad(loss, leaf)[0]


def test_func_grad(masked_dos, case):
    p, t, m = case
    found = torch.func.grad(lambda p: masked_dos(p, t, m, **OPTIONS).sum())(p)
    torch.testing.assert_close(found, gradient(*case), **ROUNDING)


def test_func_vmap(masked_dos, case):
    def of_one(p, t, m):
        return masked_dos(p[None], t[None], m[None], **OPTIONS)[0]

    expected = equations.masked_dos(*case, **OPTIONS)
    torch.testing.assert_close(torch.func.vmap(of_one)(*case), expected, **ROUNDING)


def test_forward_mode(masked_dos, case):
    p, t, m = case
    direction = torch.linspace(-1, 1, p.numel(), dtype=p.dtype).view_as(p)
    expected = (gradient(*case) * direction).sum(-1)
    _, found = torch.func.jvp(
        lambda p: masked_dos(p, t, m, **OPTIONS), (p,), (direction,)
    )
    torch.testing.assert_close(found, expected, **ROUNDING)
    with forward_ad.dual_level():
        loss = masked_dos(forward_ad.make_dual(p, direction), t, m, **OPTIONS)
        found = forward_ad.unpack_dual(loss).tangent
    torch.testing.assert_close(found, expected, **ROUNDING)


# torch announces changes of its own while it compiles.
@pytest.mark.filterwarnings("ignore")
def test_torch_compile():
    """A graph break, for every size of the batch; the same numbers to the last bit."""
    torch._dynamo.reset()
    graphs = []

    def count(graph, _):
        graphs.append(graph)
        return graph.forward

    def step(p, t, m):
        return dispatch.masked_dos(2 * p, t, m, **OPTIONS).loss.mean()

    compiled = torch.compile(step, backend=count)
    for samples in (4, 3):
        p, t, m = make_case(1, samples=samples)
        results = []
        for function in (compiled, step):
            leaf = p.clone().requires_grad_()
            loss = function(leaf, t, m)
            loss.backward()
            results.append((loss.detach(), leaf.grad))
        for found, expected in zip(*results, strict=True):
            assert torch.equal(found, expected)
    assert len(graphs) >= 2  # before the loss, and after it


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_masks_by_selection(masked_dos, dtype):
    """The squared slope at a high peak overflows, where the target constrains it."""
    p = torch.zeros(1, 1220, dtype=dtype)
    p[0, 4:1196] = 80.0  # whose sum overflows, too; zero behind the target
    mask = torch.ones(1, 1200, dtype=torch.bool)
    options = {**OPTIONS, "grid_spacing": 0.05}
    loss = masked_dos(p, p[:, :1200], mask, **options)
    assert loss.dtype == dtype and loss.item() == 0.0


def test_masked_targets_may_be_infinite(masked_dos, case):
    p, t, m = case
    expected = masked_dos(p, t, m, **OPTIONS)
    for value in (float("inf"), 1e300):
        hidden = t.masked_fill(~m, value)
        torch.testing.assert_close(masked_dos(p, hidden, m, **OPTIONS), expected)


@pytest.mark.parametrize("shape", [(0,), (0, 2), (3, 0)])
def test_nothing_to_compute(masked_dos, shape):
    p = torch.rand(*shape, 27, dtype=torch.float64, requires_grad=True)
    t = torch.rand(*shape, 20, dtype=torch.float64)
    loss = masked_dos(p, t, t > 0.3, **OPTIONS)
    loss.sum().backward()
    assert loss.tolist() == [0.0] * shape[0] and p.grad.shape == p.shape


class WithoutFloat64(TorchDispatchMode):
    """Refuse float64 as Apple's devices do."""

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        result = function(*arguments, **(options or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor) and leaf.dtype in (
                torch.float64,
                torch.complex128,
            ):
                raise TypeError("this device has no float64")
        return result


@pytest.mark.parametrize("seed", range(5))
def test_device_without_float64(seed):
    """The cost of the shift is the lowest within the bound of rounding errors."""
    p, t, m = make_case(seed, points=200, extra=40, dtype=torch.float32)
    alignment._has_float64.cache_clear()
    try:
        with WithoutFloat64():
            shift = alignment.best_shift(p, t, m, tail_weight=1.0)
            loss = equations.masked_dos(p, t, m, **OPTIONS)
    finally:
        alignment._has_float64.cache_clear()
    costs = alignment.alignment_costs(p, t, m, grid_spacing=0.05, tail_weight=1.0)
    chosen = costs.gather(1, shift[:, None])[:, 0]
    # two bounds of 16 roundings of float32, of the norms of the squares
    norms = p.square().sum(-1).sqrt() * t.shape[-1] ** 0.5 * p.abs().amax(-1)
    bound = 2 * 16 * torch.finfo(torch.float32).eps * 0.05 * 4 * norms
    assert (chosen - costs.amin(1) <= bound).all()
    assert loss.isfinite().all()
