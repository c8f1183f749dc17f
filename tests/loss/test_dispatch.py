"""The closed-form gradient, against automatic differentiation of the plain version."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers.cases import OPTIONS, make_case

from metatrain_dos.loss import cpu, dispatch
from metatrain_dos.loss import terms as equations


@pytest.fixture(autouse=True, params=["compiled", "torch"])
def implementation(request, monkeypatch):
    """Do everything with numba, and as if it were not there."""
    if request.param == "torch":
        monkeypatch.setattr(cpu.jit, "numba", None)
    assert cpu.can_run(torch.zeros(1)) == (request.param == "compiled")
    return request.param


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
    for implementation in (equations, dispatch):
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
        lambda p: dispatch.masked_dos(p, t, m, **OPTIONS), p
    )


def test_targets_that_need_gradients():
    p, t, m = make_case(3, samples=2, points=9, extra=4)
    t.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda t: dispatch.masked_dos(p, t, m, **OPTIONS), t, atol=1e-6
    )


def test_chunks_change_nothing(monkeypatch):
    p, t, m = make_case(4, samples=7, components=2)
    p.requires_grad_()
    whole = dispatch.masked_dos(p, t, m, **OPTIONS)
    (expected,) = torch.autograd.grad(whole.sum(), p)
    monkeypatch.setattr(cpu, "CHUNK", 200)  # two samples at a time, then one
    pieces = dispatch.masked_dos(p, t, m, **OPTIONS)
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
        loss = implementation.masked_dos(
            p, t.masked_fill(gaps, float("nan")), m, **OPTIONS
        )
        torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("padded", ["target", "mask", "prediction", "all"])
@pytest.mark.parametrize("samples", [1, 3])
def test_slices_of_wider_tensors(padded, samples):
    names = ("prediction", "target", "mask")
    case = make_case(7, samples=samples, components=2)
    slices = [
        torch.nn.functional.pad(x, (5, 0), value=1)[..., 5:]
        if padded in (name, "all")
        else x
        for name, x in zip(names, case, strict=True)
    ]
    gradients = []
    for p, t, m in (case, slices):
        p = p.detach().requires_grad_()
        dispatch.masked_dos(p, t, m, **OPTIONS).sum().backward()
        gradients.append(p.grad)
    assert torch.equal(*gradients)


def test_watched():
    p, t, m = make_case(5, components=2)
    p.requires_grad_()
    seen = []
    loss = dispatch.masked_dos(
        p, t, m, **OPTIONS, watch=lambda *seen_: seen.append(seen_)
    )
    ((terms, shift),) = seen
    expected, expected_shift = equations.weighted_terms(p, t, m, **OPTIONS)
    torch.testing.assert_close(terms, expected.detach())
    assert torch.equal(shift, expected_shift)
    assert not terms.requires_grad
    torch.testing.assert_close(terms.sum(-1), loss.detach())


def test_no_gradient_wanted(case):
    p, t, m = case
    loss = dispatch.masked_dos(p, t, m, **OPTIONS)
    assert not loss.requires_grad
    with torch.no_grad():
        same = dispatch.masked_dos(p.requires_grad_(), t, m, **OPTIONS)
    assert torch.equal(loss, same)


def test_inputs_are_left_alone(case):
    copies = [x.clone() for x in case]
    p, t, m = case
    dispatch.masked_dos(p.requires_grad_(), t, m, **OPTIONS).sum().backward()
    assert all(torch.equal(a, b) for a, b in zip(case, copies, strict=True))


@pytest.mark.parametrize("seed", range(20))
def test_shift_is_that_of_the_search(seed):
    options = {k: OPTIONS[k] for k in ("grid_spacing", "tail_weight")}
    p, t, m = make_case(seed, points=60, extra=25, components=1 + seed % 2)
    if seed % 4 == 3:  # a tie everywhere
        p[:], t[:] = 1.0, 1.0
    *_, shift, _ = cpu.loss_and_gradient(p, t, m, with_gradient=False, **OPTIONS)
    assert torch.equal(shift, equations.best_shift(p, t, m, **options))


@pytest.mark.parametrize("seed", range(10))
def test_shift_when_float32_sees_a_tie(seed, implementation):
    """Half of the prediction is the other half, but for one last digit."""
    if implementation == "torch":
        pytest.skip("nothing is compiled")
    options = {k: OPTIONS[k] for k in ("grid_spacing", "tail_weight")}
    options["tail_weight"] = 0.0
    generator = torch.Generator().manual_seed(seed)
    half = torch.rand(1, 40, generator=generator)
    p = torch.cat([half, half], -1)
    p[0, 40 + seed] = torch.nextafter(p[0, seed], half.new_tensor(0.0))
    t, m = 0.3 * half, torch.ones_like(half, dtype=torch.bool)
    *_, shift, _ = cpu.loss_and_gradient(
        p, t, m, with_gradient=False, **{**OPTIONS, **options}
    )
    assert shift.item() == 40
    assert equations.best_shift(p, t, m, **options).item() == 40


@pytest.mark.parametrize("scale", [1e-36, 1e-20, 1e-12, 1e6, 1e20, 1e34])
def test_shift_at_the_limits_of_float32(scale, implementation):
    if implementation == "torch":
        pytest.skip("nothing is compiled")
    options = {k: OPTIONS[k] for k in ("grid_spacing", "tail_weight")}
    p, t, m = make_case(3, points=60, extra=25, dtype=torch.float32)
    p, t = p * scale, t * scale
    *_, shift, _ = cpu.loss_and_gradient(p, t, m, with_gradient=False, **OPTIONS)
    assert torch.equal(shift, equations.best_shift(p, t, m, **options))
    assert len(set(shift.tolist())) > 1


@pytest.mark.parametrize("unusual", ["meta", "half", "parameter"])
def test_tensors_that_numba_cannot_read(unusual, implementation):
    values = torch.zeros(2, 3)
    if unusual == "meta":
        assert not cpu.can_run(values.to("meta"))
    elif unusual == "half":
        assert not cpu.can_run(values.half())
    elif implementation == "compiled":
        assert cpu.can_run(torch.nn.Parameter(values))


@pytest.mark.parametrize("home", ["fine", "in the way"])
def test_where_compiled_code_is_kept(tmp_path, implementation, home):
    """Not next to the source; nowhere if the home directory cannot be written to."""
    if implementation == "torch":
        pytest.skip("nothing is compiled")
    cache = tmp_path / "home" / ".cache"
    cache.parent.mkdir()
    if home == "in the way":
        cache.write_text("")
    script = (
        "import torch\n"
        "from metatrain_dos.loss import cpu\n"
        "p = torch.ones(1, 8, dtype=torch.float64)\n"
        "m = torch.ones(1, 6, dtype=torch.bool)\n"
        "w = dict.fromkeys(('grad_weight', 'int_weight', 'grid_spacing', "
        "'tail_weight'), 1.0)\n"
        "found = cpu.loss_and_gradient(p, p[:, :6], m, with_gradient=False, **w)\n"
        "print(found[2].item())\n"
    )
    environment = {
        **{k: v for k, v in os.environ.items() if k not in ("XDG_CACHE_HOME",)},
        "HOME": str(cache.parent),
    }
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True
    )
    assert done.stdout.strip() == "0", done.stderr
    assert bool(list(cache.rglob("*.nbc"))) == (home == "fine")
    source = Path(cpu.__file__).parent
    assert not list(source.rglob("*.nbc"))
