"""The implementations of the loss, which all pass the same tests."""

import pytest
import torch

from metatrain_dos.loss import cpu, dispatch
from metatrain_dos.loss import terms as equations


@pytest.fixture(params=["compiled", "closed form"])
def implementation(request, monkeypatch):
    """Let ``dispatch`` use the loops for a CPU, or the operations for a GPU."""
    assert cpu.can_run(torch.zeros(1))
    if request.param == "closed form":
        monkeypatch.setattr(cpu, "can_run", lambda _: False)


@pytest.fixture(params=["equations", "compiled", "closed form"])
def masked_dos(request, monkeypatch):
    """All implementations of the loss."""
    if request.param == "equations":
        return equations.masked_dos
    if request.param == "closed form":
        monkeypatch.setattr(cpu, "can_run", lambda _: False)
    return lambda *tensors, **options: dispatch.masked_dos(*tensors, **options).loss
