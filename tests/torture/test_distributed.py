"""Training on several processes, with gloo on CPUs."""

import os
import re
import socket
import subprocess
import sys

import ase.build
import numpy as np
import old_project
import pytest
import torch
from helpers.cases import make_case, tensor_map
from helpers.training import TINY_PET
from metatensor.torch import TensorMap
from metatomic.torch import systems_to_torch
from metatrain.pet import PET
from metatrain.utils.architectures import get_default_hypers
from metatrain.utils.data import DatasetInfo
from metatrain.utils.data.target_info import get_generic_target_info
from metatrain.utils.distributed.distributed_data_parallel import (
    DistributedDataParallel,
)
from metatrain.utils.evaluate_model import evaluate_model
from metatrain.utils.neighbor_lists import (
    get_requested_neighbor_lists,
    get_system_with_neighbor_lists,
)

from metatrain_dos import MaskedDOSLoss


NAME = "mtt::dos"
POINTS, EXTRA, STRUCTURES = 30, 12, 8

# The same sums in another order, in float64; gradients of this model are about 1.
ROUNDING = 1e-9


def gradient_of(share, wrap=lambda model: model, reduction="mean"):
    """
    Make a PET, always the same, and compute the gradient of its loss.

    :param share: indices of the structures
    :param wrap: wraps the model as a process of a distributed run does
    :return: the gradient of all parameters, ``(parameters,)``
    """
    torch.manual_seed(0)
    layout = {
        "quantity": "",
        "unit": "",
        "type": "scalar",
        "sample_kind": "system",
        "num_subtargets": POINTS + EXTRA,
    }
    info = get_generic_target_info(NAME, layout)
    hypers = get_default_hypers("pet", base_precision=64)["model"] | TINY_PET
    model = PET(hypers, DatasetInfo("angstrom", [14], {NAME: info})).to(torch.float64)
    structures = [
        ase.build.bulk("Si", "diamond", a=5.2 + 0.05 * i) for i in range(STRUCTURES)
    ]
    neighbours = get_requested_neighbor_lists(model)
    systems = [
        get_system_with_neighbor_lists(system, neighbours)
        for system in systems_to_torch([structures[i] for i in share], torch.float64)
    ]
    model = wrap(model)
    _, targets, mask = make_case(0, STRUCTURES, points=POINTS, extra=EXTRA)
    loss = MaskedDOSLoss(NAME, extra_targets=EXTRA, reduction=reduction)
    predictions = evaluate_model(model, systems, {NAME: info}, is_training=True)
    keys = predictions[NAME].keys
    value = loss(
        predictions,
        {NAME: TensorMap(keys, [tensor_map(targets[share]).block().copy()])},
        {f"{NAME}_mask": TensorMap(keys, [tensor_map(mask[share]).block().copy()])},
    )
    # As metatrain does: in a distributed training all parameters have to take part.
    parameters = [p for p in model.parameters() if p.requires_grad]
    (value + 0.0 * sum(p.sum() for p in parameters)).backward()
    return torch.cat([p.grad.flatten() for p in parameters])


def process(rank, shares, folder, reduction):
    """Be one process of a distributed training, for one step."""
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder}/store",
        rank=rank,
        world_size=len(shares),
    )
    gradient = gradient_of(shares[rank], DistributedDataParallel, reduction)
    torch.save(gradient, folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def distributed_gradient(shares, folder, reduction="mean"):
    folder.mkdir()
    torch.multiprocessing.spawn(process, (shares, folder, reduction), len(shares))
    gradients = [torch.load(folder / f"{rank}.pt") for rank in range(len(shares))]
    for other in gradients[1:]:
        torch.testing.assert_close(gradients[0], other, rtol=0, atol=0)
    return gradients[0]


def split(*sizes):
    return [chunk.tolist() for chunk in torch.arange(STRUCTURES).split(sizes)]


def test_equal_shares_are_the_joined_batch(tmp_path, amount, tally):
    expected = gradient_of(list(range(STRUCTURES)))
    assert expected.abs().max() > 1e-3
    for number in amount([2], [2, 4]):
        shares = split(*[STRUCTURES // number] * number)
        found = distributed_gradient(shares, tmp_path / str(number))
        torch.testing.assert_close(found, expected, rtol=0, atol=ROUNDING)
        tally("processes that trained together", number)


def test_unequal_shares_weigh_processes_equally(tmp_path, only_torture, tally):
    """A structure in a small share counts for more, as docs/developing.md says."""
    shares = split(6, 2)
    found = distributed_gradient(shares, tmp_path / "unequal")
    each = torch.stack([gradient_of(share) for share in shares])
    torch.testing.assert_close(found, each.mean(0), rtol=0, atol=ROUNDING)
    joined = gradient_of(list(range(STRUCTURES)))
    assert (found - joined).abs().max() > 1e3 * ROUNDING
    tally("processes that trained together", 2)


def test_sums_are_divided_by_the_number_of_processes(tmp_path, only_torture, tally):
    found = distributed_gradient(split(6, 2), tmp_path / "sum", reduction="sum")
    joined = gradient_of(list(range(STRUCTURES)), reduction="sum")
    torch.testing.assert_close(found, joined / 2, rtol=0, atol=STRUCTURES * ROUNDING)
    tally("processes that trained together", 2)


# metatrain asks for NCCL and a GPU. Everything else is its own: the variables of SLURM,
# the shares of the data, the wrapper of the model, and the sums over processes.
ON_CPUS = """
import sys
import torch
import metatrain.pet.trainer as trainer
from metatrain.__main__ import main
from metatrain.utils.distributed.slurm import DistributedEnvironment

def initialize(port):
    environment = DistributedEnvironment(port)
    torch.distributed.init_process_group("gloo")
    return torch.device("cpu"), environment.world_size, environment.rank

class OnCPU(trainer.DistributedDataParallel):
    def __init__(self, model, device_ids):
        super().__init__(model)

trainer.initialize_slurm_nccl_process_group = initialize
trainer.DistributedDataParallel = OnCPU
main()
"""


def slurm(rank, tasks):
    return {
        "SLURM_JOB_ID": "1",
        "SLURM_JOB_NODELIST": "localhost",
        "SLURM_NTASKS": str(tasks),
        "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": str(rank),
    }


def test_metatrain_under_slurm(tmp_path, only_torture, tally):
    """
    The loss that two processes log is the sum of theirs.

    The learning rate of the first step is zero, so that the validation loss after it is
    that of the model before any training, which the seed decides.
    """
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    logged = {}
    for tasks in (1, 2):
        folder = tmp_path / str(tasks)
        old_project.write(folder, TINY_PET)
        options = folder / "options.yaml"
        # which several tasks of SLURM do not allow
        text = options.read_text("utf-8").replace("    distributed: false\n", "")
        options.write_text(text)
        changes = {
            "batch_size": old_project.STRUCTURES // tasks,
            "distributed_port": port,
            "num_workers": 2,
        }
        override = [
            word
            for key, value in changes.items()
            for word in ("-r", f"architecture.training.{key}={value}")
        ]
        # Rank 0 first: the others wait for it.
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", ON_CPUS, "train", "options.yaml", *override],
                cwd=folder,
                env={**os.environ, **slurm(rank, tasks), "OMP_NUM_THREADS": "1"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for rank in range(tasks)
        ]
        logs = [process.communicate(timeout=900)[0] for process in processes]
        assert [process.returncode for process in processes] == [0] * tasks, logs
        (first, *_) = re.findall(r"validation loss: (\S+)", logs[0])
        logged[tasks] = float(first)
    # The log has four digits.
    assert logged[2] == pytest.approx(2 * logged[1], rel=1e-3)
    assert np.isfinite(logged[2])
    tally("processes that trained together", 2)
