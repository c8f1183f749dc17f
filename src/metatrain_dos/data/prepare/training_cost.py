"""Estimate what ``mtt train`` needs for data that it reads all at once."""

import time
from pathlib import Path

import ase.io
import numpy as np

from ..target_spec import TargetSpec
from .index import Index


# Bytes that metatrain 2026.4 takes for each structure, for each of its atoms, and for
# each number of its targets and masks, of which about half is its label.
STRUCTURE, ATOM, NUMBER = 11_400, 53, 15.5

# metatrain reads the file once for the structures, and once for each array; the rest is
# what it makes of them, as a fraction of that.
OVERHEAD = 1.07

SAMPLE = 50
"""Structures that are read to see how long it takes."""


def memory(structures: int, atoms: int, numbers: int) -> int:
    """
    Estimate the memory of data that are read at once.

    :param structures: number of structures
    :param atoms: number of all their atoms
    :param numbers: numbers in all their targets and masks
    :return: memory, bytes
    """
    return int(STRUCTURE * structures + NUMBER * numbers + ATOM * atoms)


def memory_of(index: Index, used: np.ndarray, spec: TargetSpec) -> int:
    """
    Estimate the memory of a data set that is read at once, with its masks.

    :param index: structures
    :param used: whether a structure is in the data set, ``(structures,)``, bool
    :param spec: grid and other settings
    :return: memory, bytes
    """
    structures, atoms = int(used.sum()), int(index.rows["atoms"][used].sum())
    targets = atoms if spec.projected else structures
    return memory(structures, atoms, 2 * spec.columns * targets)


def seconds(file: Path, structures: int, arrays: int) -> float:
    """
    Estimate how long it takes to read extended XYZ, on this machine.

    :param file: file with some of the structures
    :param structures: number of structures in all files
    :param arrays: number of targets and masks of each
    :return: time, s
    """
    start = time.process_time()
    read = len(ase.io.read(file, f":{SAMPLE}"))  # as metatrain does
    spent = time.process_time() - start
    return OVERHEAD * (1 + arrays) * structures * spent / read
