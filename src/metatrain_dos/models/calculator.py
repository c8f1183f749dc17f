"""Predictions of the DOS as an ASE calculator."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ase
import numpy as np
from ase.calculators.calculator import Calculator, all_changes

from .model import DOSModel
from .output import LEVELS
from .predictor import DOSPredictor


class DOSCalculator(Calculator):
    """
    Predict the DOS of one structure at a time, as ``mtt-dos predict`` does.

    .. code-block:: python

        atoms.calc = DOSCalculator("model.pt", valences={"Si": 4, "O": 6})
        energies, dos = atoms.calc.get_dos(atoms)
        gap = atoms.calc.get_property("gap", atoms)

    Its properties, and the keys of its ``results``, are ``dos_energies`` (eV), ``dos``
    (states/eV), ``states``, ``electrons``, ``fermi_level``, ``highest_occupied``,
    ``lowest_unoccupied``, ``gap`` and ``axis_zero`` (eV), as
    :class:`~metatrain_dos.models.predictor.PredictedDOS` describes them. It has no
    potential energies and forces.

    :param model: ``.pt`` or ``.ckpt``, or a loaded model
    :param target: output of the model; the only one that can be a DOS unless given
    :param device: device of the model
    :param options: keywords of
        :class:`~metatrain_dos.models.predictor.DOSPredictor`: ``electrons``,
        ``valences``, ``zero``, ``grid`` and others
    :raises ValueError: if the model cannot be loaded, or an option does not fit
    """

    implemented_properties = ["dos_energies", "dos", "states", *LEVELS]  # noqa: RUF012

    def __init__(
        self,
        model: str | Path | DOSModel,
        *,
        target: str | None = None,
        device: str = "auto",
        **options: Any,
    ) -> None:
        super().__init__()
        if not isinstance(model, DOSModel):
            model = DOSModel.load(model, target=target, device=device)
        self._predictor = DOSPredictor(model, **options)

    def calculate(
        self,
        atoms: ase.Atoms | None = None,
        properties: Sequence[str] = ("dos",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """
        Predict a structure; ASE calls this when it has changed.

        :param atoms: the structure
        :param properties: ignored; all are computed at once
        :param system_changes: ignored
        :raises ValueError: if the model cannot predict the structure, or its number of
            electrons does not fit
        """
        super().calculate(atoms, properties, system_changes)
        structures = [] if atoms is None else [atoms]
        ((_, predicted),) = self._predictor.predict(structures)
        if predicted.problem:
            raise ValueError(predicted.problem)
        self.results = {
            name: getattr(predicted, name) for name in self.implemented_properties
        }

    def get_dos(self, atoms: ase.Atoms | None = None) -> tuple[np.ndarray, np.ndarray]:
        """
        Predict the DOS.

        :param atoms: the structure; the last one unless given
        :return: energies ``(points,)``, eV, and DOS ``(points,)``, states/eV
        """
        atoms = self.atoms if atoms is None else atoms
        return self.get_property("dos_energies", atoms), self.get_property("dos", atoms)
