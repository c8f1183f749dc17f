"""Files of metatensor and metatomic, written without them."""

import io

import ase
import numpy as np
import pytest
import torch
from metatensor.torch import Labels, TensorBlock, TensorMap, equal_raise, load_buffer
from metatomic.torch import load_system, systems_to_torch

from metatrain_dos.data.disk_dataset import system_bytes, tensor_map_bytes


def as_tensor_map(content):
    return load_buffer(torch.from_numpy(np.frombuffer(content, np.uint8).copy()))


def test_tensor_maps_are_those_of_metatensor():
    rng = np.random.default_rng(0)
    values, forces, strain = rng.random(1), rng.random((2, 3)), rng.random((3, 3))
    block = TensorBlock(
        torch.tensor(values)[None],
        Labels("system", torch.tensor([[7]])),
        [],
        Labels.range("energy", 1),
    )
    atoms = torch.tensor([[0, 0], [0, 1]])
    for name, gradient, samples, axes in (
        ("positions", -forces, Labels(["sample", "atom"], atoms), ["xyz"]),
        ("strain", strain[None], Labels.range("sample", 1), ["xyz_1", "xyz_2"]),
    ):
        components = [Labels.range(axis, 3) for axis in axes]
        numbers = torch.tensor(gradient)[..., None]
        block.add_gradient(
            name, TensorBlock(numbers, samples, components, block.properties)
        )
    wanted = TensorMap(Labels.single(), [block])
    made = tensor_map_bytes(7, "energy", values, forces=forces, strain=strain)
    equal_raise(as_tensor_map(made), wanted)


@pytest.mark.parametrize("pbc", [True, (True, False, True), False])
def test_systems_are_those_of_metatomic(pbc):
    atoms = ase.Atoms("HF", np.random.default_rng(0).random((2, 3)), pbc=pbc)
    atoms.cell[atoms.pbc] = (np.eye(3) + 0.1)[atoms.pbc]
    found = load_system(io.BytesIO(system_bytes(atoms)))
    wanted = systems_to_torch(atoms, dtype=torch.float64)
    for name in ("types", "positions", "cell", "pbc"):
        assert torch.equal(getattr(found, name), getattr(wanted, name)), name
