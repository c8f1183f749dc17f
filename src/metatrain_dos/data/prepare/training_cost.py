"""Estimate what ``mtt train`` needs for data that it reads all at once."""

import time
from pathlib import Path

import ase.io


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
