r"""
Compute the loss and its gradient on a CPU, one structure after the other.

The same equations as in :mod:`metatrain_dos.loss.terms`, written as loops that numba
compiles, so that the numbers of a structure stay in the cache of the processor from the
first term to the last. Only the fast Fourier transforms of the shift search are left to
torch.

Where they cannot be compiled, or are compiled by another process for the next run,
:mod:`metatrain_dos.loss.dispatch` uses torch; this is decided once for each dtype, so
that a training run does not change its last digits half-way. Nothing here starts a
thread, so that processes may be forked at any time.
"""

import math
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import correlation, jit, shift_search, terms


# Numbers in the predictions that are worked on at once: few enough for the transforms
# to stay in the cache, enough to make the calls to torch cheap in comparison.
CHUNK = 131072

KERNELS = ("masked", "tail", "gradient", "cumulative")
"""Terms that are computed here, in this order."""

WEIGHTS = ("tail_weight", "grad_weight", "int_weight")
"""Their weights, but for the first, whose weight is 1."""


def can_run(predictions: Tensor) -> bool:
    """Tell whether loops are compiled, and can reach the numbers of predictions."""
    return (
        predictions.device.type == "cpu"
        and predictions.dtype in (torch.float32, torch.float64)
        # tensors of tracers and the like hold no numbers
        and type(predictions) in (Tensor, torch.nn.Parameter)
        and _is_compiled(predictions.dtype)
    )


@cache
def _is_compiled(dtype: torch.dtype) -> bool:
    """Load the loops for a dtype, or have them compiled."""
    code = f"import torch, {__name__} as cpu; cpu.compile_for_others({dtype})"
    return jit.load_or_compile(lambda: _small_loss(dtype), code)


def compile_for_others(dtype: torch.dtype) -> None:
    """Compile the loops for a dtype, in a process that does nothing else."""
    jit.compile_for_others(lambda: _small_loss(dtype))


def _small_loss(dtype: torch.dtype) -> None:
    """Call all loops."""
    p = torch.ones(1, 8, dtype=dtype)
    m = torch.ones(1, 6, dtype=torch.bool)
    options: dict[str, Any] = {"weights": {}, "grid_spacing": 1.0}
    loss_and_gradient(p, p[:, :6], m, with_gradient=True, **options)


def loss_and_gradient(
    predictions: Tensor,
    targets: Tensor,
    mask: Tensor,
    *,
    with_gradient: bool,
    weights: Mapping[str, float],
    grid_spacing: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """
    Compute the loss of each sample, its terms, and its gradient.

    :param predictions: predicted DOS, ``(samples, ..., points + E)``, float32 or
        float64 on a CPU, states/eV
    :param weights: weights of the terms by the name of their option
    :return: loss ``(samples,)``, terms and shift as those of
        :func:`metatrain_dos.loss.terms.weighted_terms`, and the derivative of each
        sample's loss, shape of ``predictions``, or ``None``
    """
    p, t, m = _rows(predictions), _wide_rows(targets), _wide_rows(mask)
    gradient = np.empty(p.shape if with_gradient else (0, 0, 0), p.dtype)
    points = targets.shape[-1]
    tail_weight, grad_weight, int_weight = (
        float(weights.get(option, 0.0)) for option in WEIGHTS
    )
    loss, found = np.empty(len(p), p.dtype), np.empty((len(p), len(KERNELS)), p.dtype)
    shift = np.zeros(len(p), np.int64)
    step = max(1, CHUNK * len(p) // max(p.size, 1))
    for first in range(0, len(p), step):
        rows = slice(first, first + step)
        counts = np.empty((*p[rows].shape[:2], points), np.bool_)
        correlation.what_counts(t[rows], m[rows], counts)
        if p.shape[-1] > points and p.size:  # there is a shift to choose
            _search(p[rows], t[rows], counts, tail_weight, shift[rows])
        terms.weighted_terms(
            p[rows],
            t[rows],
            counts,
            shift[rows],
            float(grid_spacing),  # a whole number would be compiled once more
            tail_weight,
            grad_weight,
            int_weight,
            loss[rows],
            found[rows],
            gradient[rows],
        )
    return (
        torch.from_numpy(loss),
        torch.from_numpy(found),
        torch.from_numpy(shift),
        torch.from_numpy(gradient).view_as(predictions) if with_gradient else None,
    )


def _search(
    p: np.ndarray, t: np.ndarray, m: np.ndarray, tail_weight: float, shift: np.ndarray
) -> None:
    """Write the best shift of each sample to ``shift``."""
    samples, components, points = m.shape
    rows, extra = samples * components, p.shape[-1] - points
    size = correlation.block_size(points, extra)
    most = rows * math.ceil(points / (size - extra))
    signals = np.empty((most, 2, size), np.float32)
    blocks = np.empty(rows + 1, np.int64)
    constants = np.empty((samples, components, 4))
    correlation.prepare(p, t, m, signals, blocks, constants)
    signals = signals[: max(blocks[-1], 1)]  # some libraries refuse to do nothing
    spectra = torch.fft.rfft(torch.from_numpy(signals)).numpy()
    products = np.empty((samples, components, size // 2 + 1), np.complex64)
    correlation.multiply(spectra, blocks, products)
    correlations = torch.fft.irfft(torch.from_numpy(products), n=size).numpy()
    shift_search.best_shifts(p, t, m, correlations, constants, tail_weight, shift)


def _rows(values: Tensor) -> np.ndarray:
    """Look at a tensor as ``(samples, components, columns)``, in one piece."""
    rows = values.detach().contiguous().numpy()
    return rows.reshape(len(rows), math.prod(rows.shape[1:-1]), rows.shape[-1])


def _wide_rows(values: Tensor) -> np.ndarray:
    """
    Look at a tensor as :func:`_rows` does, but copy no ends of wider rows.

    Where it is one, as a target without its padding is, the rows are as wide as those.
    """
    *others, columns = values.shape
    padding, offset = values.stride(-2) - columns, values.storage_offset()
    if values.stride(-1) == 1 and 0 < padding <= offset:
        wide = values.detach().as_strided(
            (*others, columns + padding), values.stride(), offset - padding
        )
        values = wide if wide.is_contiguous() else values
    return _rows(values)
