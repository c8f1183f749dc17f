"""Loss and gradient on a GPU, against the equations in float64 on the CPU."""

import pytest
import torch
from helpers.cases import OPTIONS, make_case

from metatrain_dos.loss import dispatch
from metatrain_dos.loss import terms as equations


pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.mark.parametrize("dtype, rtol", [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("seed", range(4))
def test_same_as_on_the_cpu(seed, dtype, rtol):
    sizes = {"points": 400 + 37 * seed, "extra": 15 * seed, "components": 1 + seed % 3}
    p, t, m = make_case(seed, dtype=torch.float64, **sizes)
    p.requires_grad_()
    wanted = equations.masked_dos(p, t, m, **OPTIONS)
    (slope,) = torch.autograd.grad(wanted.sum(), p)
    there = p.detach().to("cuda", dtype).requires_grad_()
    found = dispatch.masked_dos(there, t.to(there), m.cuda(), **OPTIONS).loss
    (gradient,) = torch.autograd.grad(found.sum(), there)
    torch.testing.assert_close(found.cpu().double(), wanted, rtol=rtol, atol=0)
    off = torch.linalg.norm(gradient.cpu().double() - slope)
    assert off <= rtol * torch.linalg.norm(slope)


def test_never_waits_for_the_device():
    p, t, m = (each.cuda() for each in make_case(1, points=363, extra=20))
    p.requires_grad_()
    try:
        torch.cuda.set_sync_debug_mode("error")
        dispatch.masked_dos(p, t, m, **OPTIONS).loss.sum().backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
