"""Write calculations to a file, and load them, faster than any format of text."""

import json
from typing import Any, BinaryIO

import ase
import numpy as np
from ase.io.jsonio import decode, encode

from ..calculation import Calculation


def store(calculation: Calculation, file: BinaryIO) -> None:
    """
    Append a calculation to a file: a header as JSON, then the bytes of its arrays.

    :param calculation: what to store
    :param file: open for writing bytes
    """
    atoms = calculation.atoms
    arrays = {
        "cell": atoms.cell.array,
        "pbc": atoms.pbc,
        "eigenvalues": calculation.eigenvalues,
        "kpoint_weights": calculation.kpoint_weights,
        **({} if calculation.kpoints is None else {"kpoints": calculation.kpoints}),
        **{f"atoms.{name}": values for name, values in atoms.arrays.items()},
    }
    header = json.dumps(
        {
            "info": encode(atoms.info),
            "fermi_level": calculation.fermi_level,
            "n_electrons": calculation.n_electrons,
            "arrays": [
                (name, values.dtype.str, values.shape)
                for name, values in arrays.items()
            ],
        }
    ).encode()
    file.write(len(header).to_bytes(8, "little"))
    file.write(header)
    for values in arrays.values():
        file.write(np.ascontiguousarray(values).tobytes())


def restore(file: BinaryIO) -> Calculation:
    """
    Load the calculation that begins where a file is open.

    :param file: open for reading bytes, where :func:`store` began to write
    :return: the calculation, to the last bit
    """
    header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    arrays: dict[str, Any] = {}
    for name, kind, shape in header["arrays"]:
        dtype = np.dtype(kind)
        content = file.read(dtype.itemsize * int(np.prod(shape)))
        arrays[name] = np.frombuffer(content, dtype).reshape(shape)
    atoms = ase.Atoms(
        arrays["atoms.numbers"],
        positions=arrays["atoms.positions"],
        cell=arrays["cell"],
        pbc=arrays["pbc"],
        info=decode(header["info"]),
    )
    for name, values in arrays.items():
        kind, _, key = name.partition(".")
        if kind == "atoms" and not atoms.has(key):
            atoms.set_array(key, values)
    return Calculation(
        atoms=atoms,
        eigenvalues=arrays["eigenvalues"],
        kpoint_weights=arrays["kpoint_weights"],
        kpoints=arrays.get("kpoints"),
        fermi_level=header["fermi_level"],
        n_electrons=header["n_electrons"],
    )
