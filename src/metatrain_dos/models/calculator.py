"""Predictions of the DOS as an ASE calculator."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ase
import numpy as np
from ase.calculators.calculator import Calculator, all_changes

from .model import DOSModel
from .prediction import LEVELS
from .predictor import DOSPredictor


class DOSCalculator(Calculator):
    """
    Predict the DOS of one structure at a time, as ``mtt-dos predict`` does.

    .. code-block:: python

        atoms.calc = DOSCalculator("model.pt", valences={"Si": 4, "O": 6})
        energies, dos = atoms.calc.get_dos(atoms)
        gap = atoms.calc.get_property("gap", atoms)

    Its properties, and the keys of its ``results``, are ``dos_energies`` (eV), ``dos``
    (states/eV), ``states`` and the numbers of
    :class:`~metatrain_dos.models.prediction.PredictedDOS`: ``electrons``,
    ``fermi_level``, ``gap`` and others, ``heat_capacity_300K`` and the like with
    ``temperatures=[300]``, ``gap_std`` and ``dos_std`` of a committee. With ``parts``,
    ``parts`` is a mapping from atoms or elements to their DOS. It has no potential
    energies and forces.

    :param model: ``.pt`` or ``.ckpt``, or a loaded model; a list of them is a committee
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
        model: str | Path | DOSModel | Sequence[str | Path | DOSModel],
        *,
        target: str | None = None,
        device: str = "auto",
        **options: Any,
    ) -> None:
        super().__init__()
        is_one = isinstance(model, (str, Path, DOSModel))
        models: Any = [model] if is_one else model
        self._predictor = DOSPredictor(
            [
                each
                if isinstance(each, DOSModel)
                else DOSModel.load(each, target=target, device=device)
                for each in models
            ],
            **options,
        )
        self.implemented_properties = [
            *("dos_energies", "dos", "states", "dos_std", "parts"),
            *self._predictor.names,
        ]

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
        self._predicted = predicted
        self.results = {
            "dos_energies": predicted.dos_energies,
            "dos": predicted.dos,
            "states": predicted.states,
            **predicted.curves,
            **predicted.numbers,
        }
        if predicted.parts:
            self.results["parts"] = predicted.parts

    def _repr_html_(self) -> str | None:
        """Show the last results in a notebook."""
        return self._predicted._repr_html_() if self.results else None

    def check_state(self, atoms: ase.Atoms, tol: float = 1e-15) -> list[str]:
        """Compare the number of electrons in the info, too, which ASE does not."""
        changes: list[str] = super().check_state(atoms, tol)
        states = [each.info.get("n_electrons") for each in (self.atoms, atoms) if each]
        if len(states) == 2 and states[0] != states[1]:
            changes.append("n_electrons")
        return changes

    def get_dos(self, atoms: ase.Atoms | None = None) -> tuple[np.ndarray, np.ndarray]:
        """
        Predict the DOS.

        :param atoms: the structure; the last one unless given
        :return: energies ``(points,)``, eV, and DOS ``(points,)``, states/eV
        """
        atoms = self.atoms if atoms is None else atoms
        return self.get_property("dos_energies", atoms), self.get_property("dos", atoms)
