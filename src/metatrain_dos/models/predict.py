"""Predict the structures of files, and write the predictions to a file."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import ase
import ase.io
import numpy as np

from ..data.readers.extxyz import read_structures
from ..utils.files import refuse_special_file
from ..utils.progress import progress
from ..utils.text import shorten
from .electrons import INFO_KEY
from .model import DEFAULT_BATCH_SIZE, DOSModel
from .output import open_output
from .predictor import ZEROS, DOSPredictor, PredictedDOS


# Structures that are listed on the terminal.
SHOWN = 10


def predict(
    model: Path,
    structures: Sequence[Path],
    output: Path,
    *,
    format: str | None = None,
    force: bool = False,
    states: bool = False,
    batch_size: int = DEFAULT_BATCH_SIZE,
    target: str | None = None,
    device: str = "auto",
    extensions: Path | None = None,
    **options: Any,
) -> list[str]:
    """
    Predict the structures of some files, and write the predictions.

    :param model: ``.pt`` or ``.ckpt``
    :param structures: files that ASE reads
    :param output: file to write
    :param format: format of the file; by its ending unless given
    :param force: whether to replace an existing file
    :param states: whether to write the number of states below each energy, too
    :param batch_size: number of structures per batch
    :param target: output of the model
    :param device: device of the model
    :param extensions: folder of compiled extensions of the model
    :param options: further keywords of :class:`DOSPredictor`
    :return: lines for the terminal
    :raises ValueError: if an argument does not fit; nothing is written then
    """
    with open_output(output, format, states=states, force=force) as written:
        predictor = DOSPredictor(
            DOSModel.load(model, target=target, device=device, extensions=extensions),
            **options,
        )
        summary = PredictionSummary()
        predictions = predictor.predict(_read(structures), batch_size=batch_size)
        for atoms, predicted in progress("predicting", "structures", predictions):
            written.write(atoms, predicted)
            summary.add(atoms, predicted)
        if summary.count == 0:
            raise ValueError(
                f"structures: expected at least one, got none in "
                f"{', '.join(map(str, structures))}; check the files"
            )
    zero = ZEROS[options.get("zero", "fermi")]
    return [*summary.lines(zero, predictor.smearing), f"written: {output}"]


class PredictionSummary:
    """Collect lines for the terminal, in bounded memory."""

    def __init__(self) -> None:
        self.count = 0
        self._first: list[str] = []
        self._unknown = self._problems = self._gaps = 0
        self._problem = ""

    def add(self, atoms: ase.Atoms, predicted: PredictedDOS) -> None:
        """
        Add one structure.

        :param atoms: the structure
        :param predicted: its DOS
        """
        line = f"{self.count:>5}  {atoms.get_chemical_formula():<16}"
        if predicted.electrons is not None:
            line += f"{predicted.electrons:8g} electrons"
        if predicted.gap is not None:
            gap = "open" if np.isnan(predicted.gap) else f"{predicted.gap:.2f} eV"
            line += f"  gap {gap}"
            self._gaps += predicted.gap != 0
        elif predicted.problem is not None:
            self._problem = self._problem or f"structure {self.count}: " + (
                predicted.problem
            )
            self._problems += 1
        else:
            self._unknown += 1
        if self.count < SHOWN:
            self._first.append(line.rstrip())
        self.count += 1

    def lines(self, zero: str, smearing: float | None) -> Iterator[str]:
        """
        Summarise all structures.

        :param zero: zero of the energies
        :param smearing: smearing that was removed from the edges, eV
        :return: lines for the terminal
        """
        yield from self._first
        if self.count > SHOWN:
            yield f"  ... and {self.count - SHOWN} more"
        yield f"structures: {self.count}, {self._gaps} with a gap"
        known = self.count - self._unknown - self._problems
        if known:
            yield f"energy zero: {zero}"
        if self._problems:
            yield (
                f"no Fermi level for {self._problems}, whose electrons do not fit; the "
                f"first is {self._problem}"
            )
        if self._unknown:
            yield (
                f"no Fermi level for {self._unknown}, with energies on the axis of the "
                "training data, whose zero is arbitrary: the number of electrons is "
                f"missing; give --electrons, --valences, or {INFO_KEY} in the info"
            )
        if known and not smearing:
            yield (
                "edges are those of the smeared DOS, so that gaps are too small: the "
                "smearing is unknown without a grid.json; give --smearing or --grid"
            )


def _read(files: Sequence[Path]) -> Iterator[ase.Atoms]:
    """Read structures one by one."""
    for file in files:
        refuse_special_file(file)
        try:
            # ASE would believe any announced number of atoms.
            if file.suffix in (".xyz", ".extxyz"):
                yield from read_structures(file, whole=False)
            else:
                yield from ase.io.iread(file, index=":")
        # Parsers of ASE fail in ways that cannot be listed.
        except Exception as error:
            raise ValueError(
                f"structures: expected a file that ASE reads, got {file} "
                f"({shorten(error)}); check the path and the format"
            ) from error
