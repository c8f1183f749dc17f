"""
Read outputs of calculations, or data sets, each in a fork with limits of its own.

Damage may make a compiled library crash, and what is read must add up. One path in each
line of the input, and whether it is a data set, one answer in each line of the output,
both JSON.
"""

import json
import os
import resource
import signal
import sys
import warnings
from pathlib import Path

import numpy as np

from metatrain_dos.data.dataset import training_frame
from metatrain_dos.data.readers import READERS, Reader, read_calculations
from metatrain_dos.data.samples import samples
from metatrain_dos.data.target_spec import TargetSpec
from metatrain_dos.models.evaluation_data import find_data
from metatrain_dos.utils.text import shorten


SECONDS = 20
MEMORY = 2 * 2**30  # far more than allowed, to measure how much it is


def serve():
    for line in sys.stdin:
        path, data = json.loads(line)
        answer = in_fork(Path(path), read_data if data else read)
        print(json.dumps(answer), file=ANSWERS, flush=True)


def in_fork(path, read):
    """Read in a fork, which has limits of its own."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read_end)
        _limit()
        _answer(write_end, read(path))
    os.close(write_end)
    with os.fdopen(read_end) as stream:
        text = stream.read()
    _, status, used = os.wait4(child, 0)
    return {
        "status": os.waitstatus_to_exitcode(status),
        "memory": used.ru_maxrss * 1024,
        "seconds": used.ru_utime + used.ru_stime,
        **json.loads(text or "{}"),
    }


def read(path):
    """Read all calculations, and make what a data set would have of them."""
    count = 0
    try:
        for calculation in read_calculations(path):
            check(calculation)
            count += 1
            error = _use(calculation)
            if error:
                return {"count": count, "unusable": error}
    except ValueError as error:
        return {"count": count, "message": str(error)}
    except BaseException as error:
        return {"count": count, "wrong": f"{type(error).__name__}: {error}"}
    return {"count": count}


def read_data(path):
    """Read a data set as ``check`` and ``evaluate`` do, which name it for any error."""
    count = 0
    try:
        [section] = find_data(path, "mtt::dos")
        for sample in samples(section, "mtt::dos"):
            assert len(sample.target) == 1, sample.target.shape
            assert len(sample.atoms) > 0 and np.isfinite(sample.atoms.positions).all()
            count += 1
    except Exception as error:
        return {"count": count, "message": shorten(error)}
    return {"count": count}


def read_unruly(path):
    """Do what no reader may do, to see that it is noticed."""
    if path.stem == "abort":
        os.abort()
    raise KeyError(path.stem)


def check(calculation):
    """Demand numbers that are finite and belong together."""
    atoms, bands = calculation.atoms, calculation.eigenvalues
    weights = calculation.kpoint_weights
    levels = [
        x for x in (calculation.fermi_level, calculation.n_electrons) if x is not None
    ]
    assert len(atoms) > 0 and all(0 < z < 119 for z in atoms.numbers), atoms.numbers
    for numbers in (atoms.positions, atoms.cell.array, bands, weights, levels):
        assert np.isfinite(numbers).all(), numbers
    assert bands.ndim == 3 and bands.size > 0 and len(bands) in (1, 2), bands.shape
    assert weights.shape == bands.shape[1:2] and (weights > 0).all(), weights
    assert abs(weights.sum() - 1) < 0.01 or abs(weights.sum() - 2) < 0.01, weights


def _use(calculation):
    """Make the entry of a data set; say why where that is not possible."""
    try:
        frame = training_frame(calculation, TargetSpec.covering([calculation]))
    except ValueError as error:
        return str(error)
    assert np.isfinite(frame.info["dos"]).all()
    return ""


def _limit():
    with open("/proc/self/statm") as file:
        present = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (present + MEMORY,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    signal.alarm(100 * SECONDS)  # also ends what waits


def _answer(pipe, answer):
    """Answer, and end without the cleanup of the interpreter."""
    with os.fdopen(pipe, "w") as stream:
        json.dump(answer, stream)
    os._exit(0)


if __name__ == "__main__":
    # What a library prints does not belong among the answers.
    ANSWERS = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    READERS["unruly"] = Reader(("*.unruly",), read_unruly)
    import pyfive  # noqa: F401

    serve()
