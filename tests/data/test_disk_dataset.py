"""Files of metatensor and metatomic, written without them, and archives of many."""

import io
import zipfile

import ase
import numpy as np
import pytest
import torch
from metatensor.torch import Labels, TensorBlock, TensorMap, equal_raise, load_buffer
from metatomic.torch import load_system, systems_to_torch

from metatrain_dos.data.archive import ArchiveWriter, pack
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


@pytest.mark.parametrize("start", [0, 5 * 2**30])
def test_archives_of_any_size(tmp_path, start):
    """Positions beyond 4 GB, after a hole that takes no space on the disk."""
    parts = [{"a/ä.npy": b"some"}, {"b": b"", "c": b"more"}]
    path = tmp_path / "archive.zip"
    file = path.open("wb")
    file.seek(start)
    archive = ArchiveWriter(file)
    for part in parts:
        archive.add(*pack(part))
    archive.close()
    with zipfile.ZipFile(path) as found:
        assert found.testzip() is None  # checksums
        contents = {name: found.read(name) for name in found.namelist()}
    assert contents == parts[0] | parts[1]


def test_more_members_than_16_bits_count(tmp_path):
    members = {str(i): b"" for i in range(70_000)}
    path = tmp_path / "archive.zip"
    archive = ArchiveWriter(path.open("wb"))
    archive.add(*pack(members))
    archive.close()
    with zipfile.ZipFile(path) as found:
        assert len(found.namelist()) == len(members)
