"""
Show the terms of the loss in the log of ``mtt train``.

metatrain gives the numbers of an epoch, as lists of names, values and units, to those
handlers of its logger that have a method ``emit_data``; these write ``train.csv``, and
to Weights & Biases. Then it prints the same lists. :class:`TrainingLog` is one more
handler, in front of the others, that inserts columns into these lists. Nothing of
metatrain is replaced.

Set ``METATRAIN_DOS_LOG=0`` to switch it off.
"""

import logging
import math
import os
import warnings
from importlib.metadata import version
from weakref import WeakSet, WeakValueDictionary

import torch

from .epoch_terms import PHASES, EpochSummary, EpochTerms
from .registry import INSTALL


SWITCH = "METATRAIN_DOS_LOG"

Column = tuple[str, str, str]
"""Name, value, unit."""


class TrainingLog(logging.Handler):
    """Insert columns into metatrain's log of an epoch."""

    def __init__(self) -> None:
        super().__init__()
        # By target: a training run has one loss for each, and the newest is in use.
        self._followed: WeakValueDictionary[str, EpochTerms] = WeakValueDictionary()
        self._introduced: WeakSet[EpochTerms] = WeakSet()

    def follow(self, sums: EpochTerms) -> None:
        """Show the sums of a loss for as long as that loss keeps them."""
        self._followed[sums.target] = sums

    def emit(self, record: logging.LogRecord) -> None:
        """Leave ordinary messages to the other handlers."""

    def emit_data(self, keys: list[str], values: list[str], units: list[str]) -> None:
        """Insert our columns behind the loss of each phase, in place."""
        try:
            self._insert(keys, values, units)
        except Exception as error:
            self._followed.clear()
            _warn(str(error))

    def _insert(self, keys: list[str], values: list[str], units: list[str]) -> None:
        columns: dict[str, list[Column]] = {phase: [] for phase in PHASES}
        for sums in [s for s in self._followed.values() if s.has_seen_data]:
            found = sums.read()
            if sums not in self._introduced:
                self._introduced.add(sums)
                logging.info(_introduction(sums, found))
            for phase, summary in found.items():
                columns[phase] += _columns(
                    f"{phase} {sums.target}", sums.names, summary
                )
                if sums.extra_targets:
                    share = f"{100 * summary.at_limit:.1f}"
                    name = f"{phase} {sums.target} shifts at limit"
                    columns[phase].append((name, share, "%"))
        if not any(columns.values()):
            return
        places = {phase: keys.index(f"{phase} loss") + 1 for phase in PHASES}
        for phase in reversed(PHASES):  # from the end, so that places stay right
            place = places[phase]
            new = zip(*columns[phase], strict=True)
            for whole, part in zip((keys, values, units), new, strict=True):
                whole[place:place] = part


def follow(
    target: str, names: tuple[str, ...], grid_spacing: float, extra_targets: int
) -> EpochTerms | None:
    """
    Show the terms of a loss, if metatrain is about to log a training run.

    Arguments are those of :class:`~metatrain_dos.plugin.epoch_terms.EpochTerms`.

    :return: the sums of the loss, shown for as long as somebody keeps them; ``None``
        where nobody writes numbers down: outside of ``mtt train``, in all but the first
        of several processes, or where it is switched off
    """
    if os.environ.get(SWITCH) == "0":
        return None
    logger = _metatrain_logger()
    if logger is None:
        return None
    handlers = list(logger.handlers)
    others = [h for h in handlers if not isinstance(h, TrainingLog)]
    if not any(hasattr(handler, "emit_data") for handler in others):
        return None
    log = next((h for h in handlers if isinstance(h, TrainingLog)), TrainingLog())
    # in front of those who write down what they are given
    logger.handlers[:] = [log, *others]
    sums = EpochTerms(target, names, grid_spacing, extra_targets)
    log.follow(sums)
    return sums


def _metatrain_logger() -> logging.Logger | None:
    """Find the logger whose handlers are given the numbers of an epoch, or warn."""
    try:
        import metatrain.utils.logging as module

        for owner, name in (
            (module.CustomLogger, "data"),
            (module.CSVFileHandler, "emit_data"),
        ):
            getattr(owner, name)
        return module.ROOT_LOGGER
    except (ImportError, AttributeError) as error:
        _warn(str(error))
        return None


def _introduction(sums: EpochTerms, found: dict[str, EpochSummary]) -> str:
    """Describe the constants of the run."""
    trusted = " and ".join(
        f"{summary.trusted:.1%} of the {phase} points"
        for phase, summary in found.items()
        if not math.isnan(summary.trusted)
    )
    limit = sums.extra_targets * sums.grid_spacing
    return f"{sums.target}: the mask trusts {trusted}; shifts are 0 to {limit:g} eV"


def _columns(
    prefix: str, names: tuple[str, ...], summary: EpochSummary
) -> list[Column]:
    """Write a summary as metatrain writes its own numbers."""
    # metatrain adds the losses of all processes; this one has its share only.
    distributed = torch.distributed
    is_shared = distributed.is_available() and distributed.is_initialized()
    processes = distributed.get_world_size() if is_shared else 1
    return [
        *(
            (f"{prefix} {name} term", f"{processes * term:.3e}", "")
            for name, term in zip(names, summary.terms, strict=True)
        ),
        (f"{prefix} shift", f"{summary.shift:.3f}", "eV"),
        (f"{prefix} shift spread", f"{summary.spread:.3f}", "eV"),
    ]


def _warn(reason: str) -> None:
    """Warn that the terms are missing in metatrain's log."""
    warnings.warn(
        f"metatrain {version('metatrain')} logs in another way than metatrain-dos "
        f"{version('metatrain-dos')} expects ({reason}), so the training goes on, but "
        f"its log does not show the terms of the loss 'masked_dos'; {INSTALL}",
        RuntimeWarning,
        stacklevel=2,
    )
