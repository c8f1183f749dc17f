"""
Write systems and tensors in the formats of metatomic and metatensor.

Both are documented: zip files of arrays in numpy's format, without compression. Their
own functions make the same of tensors of torch, in several times the time.
"""

import io
from collections.abc import Mapping
from functools import lru_cache
from zipfile import ZipFile, ZipInfo

import ase
import numpy as np


def system_bytes(frame: ase.Atoms) -> bytes:
    """Make a structure, its cell zero if not periodic, as ``metatomic.torch.save``."""
    arrays = {
        "positions": frame.positions,
        "cell": frame.cell.array,
        "types": frame.numbers.astype(np.int32),
        "pbc": frame.pbc,
    }
    return _store({f"{name}.npy": array_bytes(array) for name, array in arrays.items()})


def tensor_map_bytes(
    index: int,
    key: str,
    values: np.ndarray,
    per_atom: bool = False,
    forces: np.ndarray | None = None,
    strain: np.ndarray | None = None,
) -> bytes:
    """
    Make a ``TensorMap`` of one structure as ``TensorMap.save_buffer`` does.

    :param index: number of the structure
    :param key: name of the properties
    :param values: numbers, of any shape
    :param per_atom: whether their first axis is that of atoms
    :param forces: forces, whose negative is the gradient of an energy, ``(atoms, 3)``
    :param strain: gradient of an energy with respect to strain, ``(3, 3)``
    :return: content of a file
    """
    block = "blocks/0"
    if per_atom:
        names, samples = ["system", "atom"], [[index, i] for i in range(len(values))]
    else:
        names, samples = ["system"], [[index]]
    values = values.reshape(len(samples), -1)
    members = {
        "keys.npy": _range("_", 1),
        f"{block}/values.npy": array_bytes(values),
        f"{block}/samples.npy": array_bytes(_labels(names, samples)),
        f"{block}/properties.npy": _range(key, values.shape[1]),
    }
    if forces is not None:
        gradient = f"{block}/gradients/positions"
        atoms = [[0, atom] for atom in range(len(forces))]
        members |= {
            f"{gradient}/values.npy": array_bytes(-forces[..., None]),
            f"{gradient}/samples.npy": array_bytes(_labels(["sample", "atom"], atoms)),
            f"{gradient}/components/0.npy": _range("xyz", 3),
        }
    if strain is not None:
        gradient = f"{block}/gradients/strain"
        members |= {
            f"{gradient}/values.npy": array_bytes(strain[None, ..., None]),
            f"{gradient}/samples.npy": _range("sample", 1),
            f"{gradient}/components/0.npy": _range("xyz_1", 3),
            f"{gradient}/components/1.npy": _range("xyz_2", 3),
        }
    return _store(members)


def add_members(archive: ZipFile, members: Mapping[str, bytes]) -> None:
    """Add members without the time, so that equal data make equal files."""
    for name, content in members.items():
        archive.writestr(ZipInfo(name), content)


def _store(members: Mapping[str, bytes]) -> bytes:
    """Make an archive in memory."""
    file = io.BytesIO()
    with ZipFile(file, "w") as archive:
        add_members(archive, members)
    return file.getvalue()


def array_bytes(array: np.ndarray) -> bytes:
    """Make an array as ``numpy.save`` does."""
    return _header(array.dtype, array.shape) + array.tobytes()


@lru_cache(maxsize=1000)
def _header(dtype: np.dtype, shape: tuple[int, ...]) -> bytes:
    """Make the header, which takes most of the time."""
    file = io.BytesIO()
    description = np.lib.format.dtype_to_descr(dtype)
    header = {"descr": description, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue()


@lru_cache(maxsize=1000)
def _range(name: str, size: int) -> bytes:
    """Make the labels 0, 1, 2 and so on."""
    return array_bytes(_labels([name], np.arange(size)[:, None]))


def _labels(names: list[str], values: object) -> np.ndarray:
    """Make labels, one row of integers for each."""
    dtype = np.dtype([(name, np.int32) for name in names])
    return np.array(values, dtype=np.int32).view(dtype)[:, 0]
