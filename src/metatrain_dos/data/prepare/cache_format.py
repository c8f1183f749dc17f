"""Write calculations to a file and read them again, faster than any text format."""

import json
from dataclasses import fields
from typing import Any, BinaryIO

import ase
import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io.jsonio import decode, encode

from ..calculation import Calculation
from ..gridded_dos import AnyCalculation, GriddedDOS


def dump(calculation: AnyCalculation, file: BinaryIO) -> None:
    """
    Append a calculation to a file: a header as JSON, then the bytes of its arrays.

    :param calculation: calculation to write
    :param file: file open for writing bytes
    """
    atoms = calculation.atoms
    values = {
        each.name: getattr(calculation, each.name)
        for each in fields(calculation)
        if each.name != "atoms"
    }
    arrays = {
        "cell": atoms.cell.array,
        "pbc": atoms.pbc,
        **{f"atoms.{name}": array for name, array in atoms.arrays.items()},
        **{name: each for name, each in values.items() if isinstance(each, np.ndarray)},
    }
    header = json.dumps(
        {
            "info": encode(atoms.info),
            "results": encode(atoms.calc.results) if atoms.calc else None,
            "values": {k: v for k, v in values.items() if k not in arrays},
            "arrays": [
                (name, array.dtype.str, array.shape) for name, array in arrays.items()
            ],
        }
    ).encode()
    file.write(len(header).to_bytes(8, "little"))
    file.write(header)
    for array in arrays.values():
        file.write(np.ascontiguousarray(array).tobytes())


def load(file: BinaryIO) -> AnyCalculation:
    """
    Read the calculation that begins at the current position of a file.

    :param file: file open for reading bytes, at the position where :func:`dump` began
    :return: the calculation, equal to the last bit
    """
    header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    arrays: dict[str, Any] = {}
    for name, kind, shape in header["arrays"]:
        dtype = np.dtype(kind)
        content = file.read(dtype.itemsize * int(np.prod(shape)))
        arrays[name] = np.frombuffer(content, dtype).reshape(shape)
    atoms = ase.Atoms(
        arrays.pop("atoms.numbers"),
        positions=arrays.pop("atoms.positions"),
        cell=arrays.pop("cell"),
        pbc=arrays.pop("pbc"),
        info=decode(header["info"]),
    )
    for name in [name for name in arrays if name.startswith("atoms.")]:
        atoms.set_array(name.removeprefix("atoms."), arrays.pop(name))
    if header["results"] is not None:
        atoms.calc = SinglePointCalculator(atoms, **decode(header["results"]))
    kind = GriddedDOS if "edges" in arrays else Calculation
    return kind(atoms=atoms, **arrays, **header["values"])
