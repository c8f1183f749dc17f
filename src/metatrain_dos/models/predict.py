"""Predict the structures of files, and write the predictions to a file."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ase
import ase.io
import numpy as np
from ase.io.formats import parse_filename

from ..data.readers.extxyz import read_structures
from ..utils.files import refuse_special_file
from ..utils.progress import progress
from ..utils.text import shorten
from .defaults import ZEROS
from .electrons import INFO_KEY, refuse_more_lines
from .model import DEFAULT_BATCH_SIZE, MODEL_SUFFIXES, DOSModel
from .output import open_output
from .prediction import PredictedDOS
from .predictor import DOSPredictor


# Structures that are listed on the terminal.
SHOWN = 10

# Structures in which elements without valences are looked for.
LOOKED_AT = 1000


def predict(
    files: Sequence[Path],
    output: Path,
    *,
    format: str | None = None,
    force: bool = False,
    states: bool = False,
    mean: bool = False,
    on_prediction: Callable[[ase.Atoms, PredictedDOS], None] | None = None,
    batch_size: int = DEFAULT_BATCH_SIZE,
    target: str | None = None,
    device: str = "auto",
    extensions: Path | None = None,
    **options: Any,
) -> list[str]:
    """
    Predict the structures of some files, and write the predictions.

    :param files: one model or more, ``.pt`` or ``.ckpt``, and files of structures that
        ASE reads, each of which may end in ``@`` and an index as in ASE
    :param format: format of the file; by its ending unless given
    :param states: whether to write the number of states below each energy, too
    :param mean: whether to write the mean over all structures instead of each
    :param on_prediction: called with each structure and its prediction
    :param extensions: folder of compiled extensions of the models
    :param options: further keywords of :class:`DOSPredictor`
    :raises ValueError: if an argument does not fit; nothing is written then
    """
    models = [file for file in files if file.suffix in MODEL_SUFFIXES]
    structures = [file for file in files if file.suffix not in MODEL_SUFFIXES]
    if not models or not structures:
        raise ValueError(
            "files: expected at least one model (.pt or .ckpt) and one file of "
            f"structures, got {', '.join(map(str, files))}; add the missing one"
        )
    if mean and options.get("parts"):
        raise ValueError(
            "parts: expected none with a mean over structures, got "
            f"{options['parts']!r}; leave one of both out"
        )
    zero = options.get("zero", "fermi")
    with open_output(output, format, force=force) as written:
        predictor = DOSPredictor(
            [
                DOSModel.load(file, target=target, device=device, extensions=extensions)
                for file in models
            ],
            **options,
        )
        frames = _read(structures)
        summary = PredictionSummary()

        def add(atoms: ase.Atoms, predicted: PredictedDOS) -> None:
            curves = {"states": predicted.states} if states else {}
            written.write(atoms, replace(predicted, curves=curves | predicted.curves))
            summary.add(atoms, predicted)
            if on_prediction is not None:
                on_prediction(atoms, predicted)

        if mean:
            frames = progress("predicting", "structures", frames)
            atoms, predicted = predictor.average(frames, batch_size=batch_size)
            add(atoms, predicted)
            count = int(predicted.numbers["frames"])
            lines = list(_mean_lines(predicted))
        else:
            predictions = predictor.predict(frames, batch_size=batch_size)
            for atoms, predicted in progress("predicting", "structures", predictions):
                if zero != "axis" and np.isnan(predicted.electrons):
                    raise ValueError(_missing_electrons(atoms, structures))
                add(atoms, predicted)
            count = summary.count
            lines = list(summary.lines(ZEROS[zero], predictor.smearing))
        if count == 0:
            raise ValueError(
                f"structures: expected at least one, got none in "
                f"{', '.join(map(str, structures))}; check the files"
            )
        refuse_more_lines(options.get("electrons"), count)
    return [*lines, f"written: {output}"]


def _missing_electrons(atoms: ase.Atoms, structures: Sequence[Path]) -> str:
    """Describe which valences are missing."""
    symbols = set(atoms.get_chemical_symbols())
    for other in itertools.islice(_read(structures), LOOKED_AT):
        symbols |= set(other.get_chemical_symbols())
    valences = " ".join(f"{symbol}=..." for symbol in sorted(symbols))
    return (
        "electrons: expected the number of electrons of each structure, which fixes "
        f'the energy zero, got none; give --valences "{valences}" with the electrons '
        f"of each pseudopotential, or {INFO_KEY} in the info of structures, or choose "
        "--zero axis for the arbitrary zero of the training data"
    )


def _mean_lines(predicted: PredictedDOS) -> Iterator[str]:
    """List means and their errors for the terminal."""
    numbers = predicted.numbers
    yield f"mean over {numbers['frames']:g} structures"
    for name, value in numbers.items():
        error = numbers.get(f"{name}_error")
        if error is not None and name != "electrons":
            line = f"  {name:<28}{value:12.6g} +- {error:.2g}"
            spread = numbers.get(f"{name}_std")
            yield line if spread is None else f"{line}, {spread:.2g} over the committee"


class PredictionSummary:
    """Collect lines for the terminal, in bounded memory."""

    def __init__(self) -> None:
        self.count = 0
        self._first: list[str] = []
        self._unknown = self._problems = self._gaps = 0
        self._problem = ""

    def add(self, atoms: ase.Atoms, predicted: PredictedDOS) -> None:
        """Add one structure."""
        line = f"{self.count:>5}  {atoms.get_chemical_formula():<16}"
        if not np.isnan(predicted.electrons):
            line += f"{predicted.electrons:8g} electrons"
        if predicted.problem is not None:
            problem = f"structure {self.count}: {predicted.problem}"
            self._problem = self._problem or problem
            self._problems += 1
        elif np.isnan(predicted.electrons):
            self._unknown += 1
        else:
            gap = "open" if np.isnan(predicted.gap) else f"{predicted.gap:.2f} eV"
            line += f"  gap {gap}"
            spread = predicted.numbers.get("gap_std")
            if spread is not None:
                size = np.linalg.norm(predicted.curves["dos_std"])
                size /= np.linalg.norm(predicted.dos)
                # Members may agree on a gap, above all on none, and on nothing else.
                line += f" +- {spread:.2f}, DOS +- {size:.0%}"
            self._gaps += predicted.gap != 0
        if self.count < SHOWN:
            self._first.append(line.rstrip())
        self.count += 1

    def lines(self, zero: str, smearing: float | None) -> Iterator[str]:
        """Summarise all structures in lines for the terminal."""
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
            name, index = parse_filename(str(file))
            index = slice(None) if index is None else index
            # ASE would believe any announced number of atoms.
            if Path(name).suffix in (".xyz", ".extxyz"):
                yield from _chosen(read_structures(Path(name), whole=False), index)
            else:
                yield from ase.io.iread(name, index=index)
        # Parsers of ASE fail in ways that cannot be listed.
        except Exception as error:
            raise ValueError(
                f"structures: expected a file that ASE reads, got {file} "
                f"({shorten(error)}); check the path and the format"
            ) from error


def _chosen(frames: Iterator[ase.Atoms], index: int | slice) -> Iterator[ase.Atoms]:
    """Choose frames, in bounded memory unless they are counted from the end."""
    if isinstance(index, int):
        index = slice(index, index + 1 or None)
    bounds = (index.start, index.stop, index.step)
    if any(each is not None and each < 0 for each in bounds):
        return iter(list(frames)[index])
    return itertools.islice(frames, *bounds)
