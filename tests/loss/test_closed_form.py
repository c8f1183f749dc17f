"""The number of operations that a GPU is told to do."""

import pytest
import torch
from helpers.cases import OPTIONS, make_case
from torch.utils._python_dispatch import TorchDispatchMode

from metatrain_dos.loss import alignment, closed_form, cpu, dispatch
from metatrain_dos.loss import terms as equations


class Operations(TorchDispatchMode):
    """Count the operations that start work on a device; views do not."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        self.count += not function.is_view
        return function(*arguments, **(options or {}))


def count(function, p, t, m):
    """Count the operations of one loss and its gradient, of each sample."""
    p = p.clone().requires_grad_()
    outer = torch.ones(len(p), dtype=p.dtype)
    with Operations() as forward:
        loss = function(p, t, m, **OPTIONS)
    with Operations() as backward:
        torch.autograd.grad(loss, p, outer)
    return forward.count, backward.count


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_operations(monkeypatch, dtype):
    """Automatic differentiation of the equations has three times as many."""
    monkeypatch.setattr(cpu, "can_run", lambda _: False)
    case = make_case(1, points=363, extra=20, dtype=dtype)
    alignment._has_float64(case[0].device)  # once for each device, not for each batch
    forward, backward = count(
        lambda *case, **options: dispatch.masked_dos(*case, **options).loss, *case
    )
    assert forward + backward <= 56
    assert backward == 1  # a product with the gradient that the forward pass has made
    assert sum(count(equations.masked_dos, *case)) > 3 * 56


def test_no_gradient_wanted():
    """Without it, fewer operations, and the same loss."""
    p, t, m = make_case(2, components=2)
    results, counts = [], []
    for with_gradient in (True, False):
        with Operations() as operations:
            loss, *_, gradient = closed_form.loss_and_gradient(
                p, t, m, with_gradient=with_gradient, **OPTIONS
            )
        results.append(loss)
        assert (gradient is not None) == with_gradient
        counts.append(operations.count)
    assert torch.equal(*results)
    assert counts[1] <= counts[0] - 10  # the gradient takes so many


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_left_to_the_equations(monkeypatch, dtype):
    def refuse(*_, **__):
        raise AssertionError

    monkeypatch.setattr(closed_form, "loss_and_gradient", refuse)
    p, t, m = make_case(3, dtype=dtype)
    assert dispatch.masked_dos(p, t, m, **OPTIONS).loss.isfinite().all()
