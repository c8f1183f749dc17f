"""Load trained models, and predict the DOS of structures in batches."""

# System is no Python class, so it cannot be in an annotation that is evaluated.
from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import ase
import numpy as np
import torch
from metatomic.torch import (
    AtomisticModel,
    ModelEvaluationOptions,
    ModelOutput,
    System,
    systems_to_torch,
)

from .load import find_target, load_model


MODEL_SUFFIXES = (".pt", ".ckpt")
"""Endings of exported models and of checkpoints."""

DEFAULT_BATCH_SIZE = 16
"""Structures in a batch: enough to keep a CPU busy."""


class DOSModel:
    """
    Predict the DOS of structures with a trained model.

    :param model: an exported model
    :param target: name of its output; the only one that can be a DOS unless given
    :param device: ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or the like; ``"auto"`` takes a
        GPU if there is one that the model supports
    :param path: file of the model, for messages and to find files next to it
    :param loss: options of the loss by target, if they are known
    :raises ValueError: if the output or the device does not exist
    """

    def __init__(
        self,
        model: AtomisticModel,
        *,
        target: str | None = None,
        device: str = "auto",
        path: Path | None = None,
        loss: Mapping[str, Any] | None = None,
    ) -> None:
        # Here, not above: metatrain takes a second.
        from metatrain.utils.neighbor_lists import get_requested_neighbor_lists

        capabilities = model.capabilities()
        self.path = path
        self.target = find_target(capabilities.outputs, target, path)
        self.atomic_types = tuple(capabilities.atomic_types)
        self.device = _find_device(capabilities.supported_devices, device)
        self.loss = (loss or {}).get(self.target)
        self._dtype = getattr(torch, capabilities.dtype)
        with warnings.catch_warnings():
            # of SOAP-BPNN as metatrain 2026.4 exports it; the user cannot change it
            warnings.filterwarnings("ignore", "module does not have '_mts_buffer_names")
            self._model = model.to(device=self.device, dtype=self._dtype).eval()
        self._kind = capabilities.outputs[self.target].sample_kind
        self._neighbor_lists = get_requested_neighbor_lists(model)
        self._columns: int | None = None

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        target: str | None = None,
        device: str = "auto",
        extensions: str | Path | None = None,
    ) -> DOSModel:
        """
        Load a model from a file that you trust.

        A checkpoint of metatrain (``.ckpt``) is a pickle, which can run any code when
        it is loaded. An exported model (``.pt``) is TorchScript, which runs no Python,
        but loads the compiled extensions that it names. A process that has loaded those
        of SOAP-BPNN from a folder cannot load its checkpoints later.

        :param path: ``.pt`` or ``.ckpt``
        :param target: name of the output; the only one that can be a DOS unless given
        :param device: as in the class
        :param extensions: folder of compiled extensions of an exported model;
            ``extensions`` next to it unless given, if that exists
        :raises ValueError: if the file is no model, or as in the class
        """
        path = Path(path)
        if not path.is_file() or path.suffix not in MODEL_SUFFIXES:
            raise ValueError(
                f"model: expected an existing .pt or .ckpt file, got {path}; give the "
                "one that `mtt train` has written, before the structures"
            )
        if extensions is None and (path.parent / "extensions").is_dir():
            extensions = path.parent / "extensions"
        model, loss = load_model(path, extensions)
        return cls(model, target=target, device=device, path=path, loss=loss)

    @property
    def columns(self) -> int:
        """Number of columns of a prediction, found with a first one of a lone atom."""
        if self._columns is None:
            lone_atom = ase.Atoms(numbers=self.atomic_types[:1], positions=[[0, 0, 0]])
            next(self.predict([lone_atom]))
        assert self._columns is not None  # the prediction has set it
        return self._columns

    def predict(
        self,
        structures: Iterable[ase.Atoms | System],
        *,
        batch_size: int = DEFAULT_BATCH_SIZE,
        per_atom: bool = False,
    ) -> Iterator[np.ndarray]:
        """
        Predict structures one batch after the other.

        No more than a batch is in memory. The rows of atoms of a structure are summed
        unless they are asked for.

        :param structures: any number of structures, positions in Å
        :param batch_size: number of structures per batch
        :param per_atom: whether to return the rows of atoms
        :return: for each structure its DOS, ``(columns,)``, or ``(atoms, columns)``
            with ``per_atom``, float64, states/eV
        :raises ValueError: if a structure has no atoms, or elements that are unknown to
            the model, or the model has no rows for atoms
        """
        check_batch_size(batch_size)
        if per_atom and self._kind != "atom":
            raise ValueError(
                f"per_atom: expected False, because {self.target!r} of this model has "
                f"one row for each {self._kind}; leave it out"
            )
        # Not a generator itself, so that mistakes show here and not at first use.
        return self._predict(structures, batch_size, per_atom)

    def _predict(
        self,
        structures: Iterable[ase.Atoms | System],
        batch_size: int,
        per_atom: bool,
    ) -> Iterator[np.ndarray]:
        """Predict with arguments that have been checked."""
        numbered = enumerate(structures)
        while batch := list(itertools.islice(numbered, batch_size)):
            systems = [self._system(number, each) for number, each in batch]
            values, owners = self._evaluate(systems)
            values = values[np.argsort(owners, kind="stable")]
            ends = np.cumsum(np.bincount(owners, minlength=len(systems)))
            rows = np.split(values, ends[:-1])
            yield from rows if per_atom else (each.sum(0) for each in rows)

    def _system(self, number: int, structure: ase.Atoms | System) -> System:
        """Convert a structure to a system with neighbour lists."""
        from metatrain.utils.neighbor_lists import get_system_with_neighbor_lists

        if isinstance(structure, ase.Atoms):
            atoms = structure.copy()
            # To metatrain, an axis is periodic where it is not zero.
            atoms.cell[~atoms.pbc] = 0.0
            system = systems_to_torch(atoms, dtype=self._dtype)
        else:
            system = structure.to(device="cpu", dtype=self._dtype)
        if not (system.positions.isfinite().all() and system.cell.isfinite().all()):
            raise ValueError(
                f"structure {number}: expected finite positions and cell, got NaN or "
                "infinity; leave the structure out"
            )
        unknown = set(system.types.tolist()) - set(self.atomic_types)
        if len(system) == 0 or unknown:
            found = f"atomic numbers {sorted(unknown)}" if unknown else "none at all"
            raise ValueError(
                f"structure {number}: expected atoms of the {len(self.atomic_types)} "
                f"elements of the model, got {found}; leave the structure out, or "
                "train on structures like it"
            )
        system = get_system_with_neighbor_lists(system, self._neighbor_lists)
        return system.to(device=self.device)

    def _evaluate(self, systems: list[System]) -> tuple[np.ndarray, np.ndarray]:
        """Run the model: rows ``(rows, columns)``, and the system of each."""
        # In its own kind: metatrain cannot sum the scales of targets of atoms.
        output = ModelOutput(unit="", sample_kind=self._kind)
        options = ModelEvaluationOptions(outputs={self.target: output})
        with torch.no_grad():
            found = self._model(systems, options, check_consistency=False)[self.target]
        block = found.block(0)
        if len(found) != 1 or block.components:
            raise ValueError(
                f"model: expected one block without components for {self.target!r}, "
                f"got {len(found)}, the first of shape {tuple(block.values.shape)}; "
                "choose an output that is a DOS"
            )
        owners = block.samples.column("system").cpu().numpy()
        values = block.values.to(device="cpu", dtype=torch.float64).numpy()
        self._columns = values.shape[-1]
        return values, owners


def check_batch_size(batch_size: int) -> None:
    """Refuse batches without structures."""
    if batch_size < 1:
        raise ValueError(
            f"batch_size: expected a number > 0, got {batch_size}; "
            f"{DEFAULT_BATCH_SIZE} is a good choice"
        )


def _find_device(supported: list[str], device: str) -> torch.device:
    """Choose where the model runs."""
    counts = {
        "cpu": 1,
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
    }
    usable = [kind for kind in supported if counts.get(kind)]
    if device == "auto" and usable:
        return torch.device(usable[0])
    names = {f"{kind}:{i}" for kind in usable for i in range(counts[kind])}
    if device in {*usable, *names}:
        return torch.device(device)
    raise ValueError(
        f"device: expected one that exists here and that the model supports "
        f"({', '.join(usable) or 'none'}), got {device!r}; choose 'auto' or 'cpu'"
    )
