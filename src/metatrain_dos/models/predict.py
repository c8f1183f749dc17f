"""From a model and structures to a file of predictions."""

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
from .model import DOSModel
from .output import find_format, open_output
from .predictor import ZEROS, DOSPredictor, PredictedDOS


# Structures that are listed on the terminal, and numbers of those with a problem.
SHOWN = 10


def predict(
    model: Path,
    structures: Sequence[Path],
    output: Path,
    *,
    format: str | None = None,
    force: bool = False,
    states: bool = False,
    batch_size: int = 16,
    target: str | None = None,
    device: str = "auto",
    extensions: Path | None = None,
    **options: Any,
) -> list[str]:
    """
    Predict the structures of some files, and write what is predicted.

    :param model: ``.pt`` or ``.ckpt``
    :param structures: files that ASE reads
    :param output: file to write
    :param format: of the file; by its ending unless given
    :param force: whether to replace a file that is there
    :param states: whether to write the number of states below each energy, too
    :param batch_size: structures that are predicted at once
    :param target: output of the model
    :param device: where the model runs
    :param extensions: folder of compiled extensions of the model
    :param options: further keywords of :class:`DOSPredictor`
    :return: what to say on the terminal
    :raises ValueError: if something does not fit; nothing is written then
    """
    format = find_format(output, format)
    with open_output(output, format, states=states, force=force) as written:
        predictor = DOSPredictor(
            DOSModel.load(model, target=target, device=device, extensions=extensions),
            **options,
        )
        summary = Summary()
        predictions = predictor.predict(_read(structures), batch_size=batch_size)
        for atoms, predicted in progress("predicting", "structures", predictions):
            written.write(atoms, predicted)
            summary.add(atoms, predicted)
        if summary.count == 0:
            raise ValueError(
                f"structures: expected at least one, got none in "
                f"{', '.join(map(str, structures))}; check the files"
            )
    lines = summary.lines(ZEROS[options.get("zero", "fermi")], predictor.smearing)
    return [*lines, f"written: {output}"]


class Summary:
    """Keep what the terminal says about predictions, in bounded memory."""

    def __init__(self) -> None:
        self.count = 0
        self._first: list[str] = []
        self._unknown = self._problems = self._gaps = 0
        self._problem = ""

    def add(self, atoms: ase.Atoms, predicted: PredictedDOS) -> None:
        """
        Count one structure.

        :param atoms: the structure
        :param predicted: its DOS
        """
        line = f"{self.count:>5}  {atoms.get_chemical_formula():<16}"
        if predicted.electrons is None:
            self._unknown += 1
        elif predicted.gap is None:
            if not self._problems:
                self._problem = f"structure {self.count}: {predicted.problem}"
            self._problems += 1
            line += f"{predicted.electrons:8g} electrons"
        else:
            gap = "open" if np.isnan(predicted.gap) else f"{predicted.gap:.2f} eV"
            self._gaps += predicted.gap != 0
            line += f"{predicted.electrons:8g} electrons  gap {gap}"
        if self.count < SHOWN:
            self._first.append(line.rstrip())
        self.count += 1

    def lines(self, zero: str, smearing: float | None) -> list[str]:
        """
        Say it.

        :param zero: what energies are relative to
        :param smearing: what has been taken out of the edges, eV
        :return: lines for the terminal
        """
        known = self.count - self._unknown - self._problems
        found = list(self._first)
        if self.count > SHOWN:
            found.append(f"  ... and {self.count - SHOWN} more")
        found.append(f"structures: {self.count}, {self._gaps} with a gap")
        if known:
            found.append(f"energy zero: {zero}")
        if self._problems:
            found.append(
                f"no Fermi level for {self._problems}, whose electrons do not fit; the "
                f"first is {self._problem}"
            )
        if self._unknown:
            found.append(
                f"no Fermi level for {self._unknown}, and energies on the axis of the "
                "training data, whose zero means nothing: the number of electrons is "
                f"missing; give --electrons, --valences, or {INFO_KEY} in the info"
            )
        if known and smearing is None:
            found.append(
                "edges are those of the smeared DOS, so that gaps are too small: no "
                "grid.json says the smearing; give --smearing or --grid"
            )
        return found


def _read(files: Sequence[Path]) -> Iterator[ase.Atoms]:
    """Read structures one by one."""
    for file in files:
        refuse_special_file(file)
        # ASE would take any number of atoms at its word.
        is_xyz = file.suffix in (".xyz", ".extxyz")
        frames = (
            read_structures(file, whole=False)
            if is_xyz
            else ase.io.iread(file, index=":")
        )
        while True:
            try:
                atoms = next(frames)
            except StopIteration:
                break
            # Parsers of ASE fail in ways that cannot be listed.
            except Exception as error:
                raise ValueError(
                    f"structures: expected a file that ASE reads, got {file} "
                    f"({shorten(error)}); check the path and the format"
                ) from error
            yield atoms
