"""Addresses in the documentation of other projects, for links from our pages."""

import zlib
from pathlib import Path


PROJECTS = {
    "python": (
        "https://docs.python.org/3/",
        {
            "py:class": {
                "bool": "library/functions.html#bool",
                "dict": "library/stdtypes.html#dict",
                "float": "library/functions.html#float",
                "int": "library/functions.html#int",
                "list": "library/stdtypes.html#list",
                "pathlib.Path": "library/pathlib.html#pathlib.Path",
                "str": "library/stdtypes.html#str",
                "tuple": "library/stdtypes.html#tuple",
                **{
                    f"collections.abc.{name}": (
                        f"library/collections.abc.html#collections.abc.{name}"
                    )
                    for name in (
                        "Callable",
                        "Iterable",
                        "Iterator",
                        "Mapping",
                        "Sequence",
                    )
                },
            },
            "py:exception": {
                "TypeError": "library/exceptions.html#TypeError",
                "ValueError": "library/exceptions.html#ValueError",
            },
        },
    ),
    "numpy": (
        "https://numpy.org/doc/stable/",
        {
            "py:class": {
                "numpy.ndarray": "reference/generated/numpy.ndarray.html#numpy.ndarray"
            }
        },
    ),
    "torch": (
        "https://docs.pytorch.org/docs/stable/",
        {"py:class": {"torch.Tensor": "tensors.html#torch.Tensor"}},
    ),
    "ase": (
        "https://ase-lib.org/",
        {
            "py:class": dict.fromkeys(
                ("ase.Atoms", "ase.atoms.Atoms"), "ase/atoms.html#ase.Atoms"
            )
        },
    ),
    "metatensor": (
        "https://docs.metatensor.org/latest/",
        {
            "py:class": {
                "metatensor.torch.TensorMap": (
                    "torch/reference/tensor.html#metatensor.torch.TensorMap"
                ),
                "metatensor.torch.TensorBlock": (
                    "torch/reference/block.html#metatensor.torch.TensorBlock"
                ),
            }
        },
    ),
    "metatrain": (
        "https://docs.metatensor.org/metatrain/latest/",
        {
            "py:class": {
                "metatrain.utils.loss.LossInterface": (
                    "dev-docs/utils/loss.html#metatrain.utils.loss.LossInterface"
                )
            },
            "std:doc": {
                "concepts/fine-tuning": "concepts/fine-tuning.html",
                "concepts/loss-functions": "concepts/loss-functions.html",
                "architectures/generated/llpr": "architectures/generated/llpr.html",
            },
        },
    ),
}
"""Name -> address of the documentation, and kind -> name -> page in it."""


def write_inventories(folder: Path) -> dict[str, tuple[str, str]]:
    """
    Write the inventories that Sphinx would otherwise fetch.

    :param folder: destination, created if necessary
    :return: value of ``intersphinx_mapping``
    """
    folder.mkdir(parents=True, exist_ok=True)
    mapping = {}
    for name, (address, kinds) in PROJECTS.items():
        lines = [
            f"{item} {kind} 1 {page} -"
            for kind, pages in kinds.items()
            for item, page in pages.items()
        ]
        head = (
            "# Sphinx inventory version 2\n"
            f"# Project: {name}\n"
            "# Version: \n"
            "# The remainder of this file is compressed using zlib.\n"
        )
        path = folder / f"{name}.inv"
        body = zlib.compress("\n".join([*lines, ""]).encode())
        path.write_bytes(head.encode() + body)
        mapping[name] = (address, str(path))
    return mapping
