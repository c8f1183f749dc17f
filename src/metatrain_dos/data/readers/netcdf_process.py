"""
Read arrays from netCDF files, in a process that does nothing else.

Each line of the input is a request as JSON, and each line of the output its answer.
This module is run as a script, and imports nothing of the package.
"""

import json
import os
import sys
from typing import Any


def read(path: str, variables: list[str], dimensions: list[str]) -> dict[str, Any]:
    """
    Read some variables and dimensions of a file.

    :param path: the file
    :param variables: names of the variables
    :param dimensions: names of the dimensions
    :return: numbers of each variable, and the size of each dimension, by name
    :raises Exception: whatever the netCDF library raises where the file is damaged
    """
    import netCDF4

    with netCDF4.Dataset(path) as file:
        file.set_auto_mask(False)
        size = os.path.getsize(path)
        found = {name: _array(file[name], size) for name in variables}
        return found | {name: len(file.dimensions[name]) for name in dimensions}


def _array(variable: Any, size: int) -> Any:
    """Read an array, whose header may claim more than a file of that size holds."""
    if variable.size * variable.dtype.itemsize > size:
        raise ValueError(
            f"{variable.name} of shape {variable.shape} in a file of {size} bytes"
        )
    if variable.dtype.kind not in "iuf":
        raise ValueError(f"{variable.name} of {variable.dtype}")
    return variable[...].tolist()


def serve() -> None:
    """Answer requests until there are no more."""
    del sys.path[0]  # this folder, whose modules have the names of codes
    # What libraries print does not belong among the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        try:
            answer: dict[str, Any] = {"found": read(**json.loads(line))}
        except Exception as error:  # files go wrong in many ways
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    serve()
