"""
Train one network with several losses.

This comparison is confounded: PET clips gradients, the losses differ in scale by a
factor of 200, and one learning rate serves all. It cannot rank losses;
docs/does-it-matter.md explains why, and what it can still show.

Data, split, network, initial weights and number of steps are the same for all.
Everything is run twice: with energies as the code printed them, which agree because one
code and one set of pseudopotentials made them all, and with the energies of each
structure moved by a random constant, as between codes, pseudopotentials and vacuum
levels.

Finished training runs are not repeated, so this may be interrupted. Compare them with
``compare_trainings.py``.
"""

import argparse
import json
import os
import queue
import subprocess
import sys
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from omegaconf import OmegaConf

from metatrain_dos.data.dataset import SPLITS, TARGET, TargetSpec, write_dataset
from metatrain_dos.data.prepare.split import split
from metatrain_dos.data.readers import read_extxyz


DATA = Path(__file__).parents[1] / "examples" / "data" / "structures.xyz.xz"
LARGEST_MOVE = 4.0  # eV

NETWORK = {
    "cutoff": 4.5,
    "d_pet": 64,
    "d_node": 128,
    "d_head": 64,
    "d_feedforward": 128,
    "num_heads": 4,
    "num_attention_layers": 1,
    "num_gnn_layers": 2,
}
TRAINING = {
    "batch_size": 8,
    "learning_rate": 1e-3,
    "log_interval": 1,
    "checkpoint_interval": 100000,
}


@dataclass(frozen=True)
class Run:
    """
    Describe one training run.

    :param condition: ``consistent`` or ``moved`` energies
    :param name: name of the loss in the tables
    :param seed: of the first weights and the order of the structures
    :param loss: options of the loss
    :param reference: energy reference
    :param extra_targets: columns of padding
    :param training: options of the training that are not those of all
    """

    condition: str
    name: str
    seed: int
    loss: dict[str, Any]
    reference: str = "raw"
    extra_targets: int = 0
    training: dict[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return Path(self.condition) / self.name / str(self.seed)


def ours(condition, seed, *, name=None, extra_targets=200, training=None, **options):
    """Train with ``masked_dos``, its options being the defaults unless given."""
    label = name or "masked_dos" + "".join(f" {k}={v:g}" for k, v in options.items())
    if extra_targets != 200:
        label += f" extra_targets={extra_targets}"
    loss = {"type": "masked_dos", "extra_targets": extra_targets, **options}
    return Run(
        condition,
        label,
        seed,
        loss,
        extra_targets=extra_targets,
        training=training or {},
    )


def rivals(condition, seed):
    """Train with the losses that metatrain has."""
    # NaN is their mask, and metatrain asks for these two weights of the first.
    agnostic = {
        "type": "shift_agnostic_mse",
        "int_weight": 2.0,
        "grad_penalty_weight": 1e-4,
    }
    yield Run(condition, "shift_agnostic_mse", seed, agnostic)
    yield Run(condition, "mse", seed, {"type": "mse"})
    if condition == "consistent":  # a reference moves with the energies
        yield Run(condition, "mse, Fermi level", seed, {"type": "mse"}, "fermi")


def comparison(seed):
    """List the training runs that compare losses."""
    for condition in ("moved", "consistent"):
        yield ours(condition, seed)
        yield ours(condition, seed, int_weight=0.01)
        yield from rivals(condition, seed)


def sweeps(seeds):
    """List the training runs that scan options, the most informative first."""
    for seed in seeds:
        for int_weight in (0, 1e-3):
            yield ours("moved", seed, int_weight=int_weight)
    seed = seeds[0]
    yield ours("moved", seed, int_weight=0.1)
    # Is it the clipping of large gradients that hurts?
    yield ours(
        "moved",
        seed,
        name="masked_dos grad_clip_norm=1e6",
        training={"grad_clip_norm": 1e6},
    )
    low = {"int_weight": 0.01}
    for extra_targets in (400, 0):
        yield ours("moved", seed, **low, extra_targets=extra_targets)
    yield ours("moved", seed, **low, tail_weight=0)
    for grad_weight in (1e-2, 0, 1):
        yield ours("moved", seed, **low, grad_weight=grad_weight)
    yield ours("moved", seed, int_weight=10)


def calculations(condition):
    """Read the shipped data, with energies as printed or moved."""
    found = list(read_extxyz(DATA))
    if condition == "moved":
        moves = np.random.default_rng(2026).uniform(
            -LARGEST_MOVE, LARGEST_MOVE, len(found)
        )
        found = [
            replace(
                calculation,
                eigenvalues=calculation.eigenvalues + move,
                fermi_level=calculation.fermi_level + move,
            )
            for calculation, move in zip(found, moves, strict=True)
        ]
    return found


def divided(condition):
    """Split the data, each material alike; the same split for all runs."""
    found = calculations(condition)
    materials = [calculation.atoms.info["material"] for calculation in found]
    strata = np.unique(materials, return_inverse=True)[1]
    part = split((0.8, 0.1, 0.1), 0, np.arange(len(found)), strata)
    return {
        name: [c for c, mine in zip(found, part, strict=True) if mine == number]
        for number, name in enumerate(SPLITS)
    }


def write(run, folder, epochs):
    """Write the data set and the options file of a run."""
    splits = divided(run.condition)
    spec = TargetSpec.covering(
        [calculation for part in splits.values() for calculation in part],
        reference=run.reference,
        extra_targets=run.extra_targets,
    )
    path = write_dataset(
        folder,
        splits,
        spec,
        model=NETWORK,
        training={**TRAINING, "num_epochs": epochs, **run.training},
    )
    for name in SPLITS:
        file = folder / f"{name.removesuffix('_set')}.xyz"
        frames = ase.io.read(file, ":")
        for frame in frames:
            frame.calc = None
            if run.loss["type"] != "masked_dos":
                dos, mask = frame.info["dos"], frame.info["dos_mask"]
                frame.info["dos"] = np.where(mask, dos, np.nan)
        ase.io.write(file, frames)
    options = OmegaConf.load(path)
    options.seed = run.seed
    options.final_eval = False
    if run.loss["type"] != "masked_dos":
        for name in SPLITS:
            del options[name].extra_data
    options.architecture.training.loss[TARGET] = run.loss
    OmegaConf.save(options, path)


def predict(folder, subset):
    """Evaluate the best model of a run; save one row for each structure."""
    from metatomic.torch import ModelOutput
    from metatomic_ase import MetatomicCalculator

    calculator = MetatomicCalculator(str(folder / "model.pt"), device="cpu")
    wanted = {TARGET: ModelOutput(sample_kind="system")}
    rows = [
        calculator.run_model(atoms, wanted)[TARGET].block().values[0].detach().numpy()
        for atoms in ase.io.read(folder / f"{subset}.xyz", ":")
    ]
    np.save(folder / f"{subset}.npy", np.array(rows, dtype=np.float32))


def train(run, output, epochs):
    """Do one training, unless it has been done."""
    folder = output / run.folder
    done = folder / "done.json"
    if done.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    write(run, folder, epochs)
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}
    with open(folder / "log.txt", "w") as log:
        for command in (
            [Path(sys.executable).with_name("mtt"), "train", "options.yaml"],
            [sys.executable, Path(__file__).resolve(), "--predict", "."],
        ):
            subprocess.run(
                command, cwd=folder, env=environment, stdout=log, stderr=log, check=True
            )
    done.write_text(json.dumps({"epochs": epochs, "loss": run.loss}) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--output", type=Path, default=Path("bench/trainings"))
    parser.add_argument("--epochs", type=int, default=80)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--only", choices=["comparison", "sweeps"], help="leave the others out"
    )
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side")
    parser.add_argument("--predict", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.predict:
        for subset in ("validation", "test"):
            predict(arguments.predict, subset)
        return

    runs = []
    if arguments.only != "sweeps":
        runs += [run for seed in arguments.seeds for run in comparison(seed)]
    if arguments.only != "comparison":
        runs += sweeps(arguments.seeds)
    waiting = queue.Queue()
    for run in runs:
        waiting.put(run)

    def work():
        while True:
            try:
                run = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                train(run, arguments.output, arguments.epochs)
            except subprocess.CalledProcessError as error:
                log = arguments.output / run.folder / "log.txt"
                print(f"{run.folder}: {error}; see {log}", flush=True)
                continue
            print(f"{run.folder}: done; {waiting.qsize()} wait", flush=True)

    workers = [threading.Thread(target=work) for _ in range(arguments.jobs)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


if __name__ == "__main__":
    main()
