"""
Train networks of metatrain with several losses, each at its best.

The losses differ in scale, PET clips gradients, and each loss has a learning rate and
an energy zero that suit it. So every rival is trained with several weights, rates and
zeros; errors on the validation set choose among them, and errors on the test set, which
chooses nothing, are what the tables show.

.. code-block:: bash

    python benchmarks/bench_losses.py row --loss mse --weight 10 --rate 3e-3 --seed 1
    python benchmarks/bench_losses.py suite headline
    python benchmarks/compare_losses.py

A row is one training run: one line of ``benchmarks/results/losses.csv``. A suite is a
list of rows; those that are in the file are not trained again. The data are those of
``examples/data``. Energies are counted from the neutral level unless ``--zero`` says
otherwise; ``moved`` moves each structure from there by a constant of up to 4 eV,
``aligned`` then moves the structures of each composition to where they agree, and
``lowest`` counts from the lowest state.
"""

import argparse
import csv
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, astuple, dataclass, fields, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from omegaconf import OmegaConf

from metatrain_dos.data.calculation import Calculation
from metatrain_dos.data.dataset import SPLITS, TARGET, TargetSpec, write_dataset
from metatrain_dos.data.gridded_dos import AnyCalculation
from metatrain_dos.data.mutual_alignment import counted_from, mutual_zeros
from metatrain_dos.data.readers import read_extxyz
from metatrain_dos.data.references import reference_energy
from metatrain_dos.models.errors import align
from metatrain_dos.models.model import DOSModel
from metatrain_dos.utils.atomic import atomic_folder


HERE = Path(__file__).parent
DATA = HERE.parent / "examples" / "data" / "structures.xyz.xz"
RESULTS = HERE / "results" / "losses.csv"
OUTPUT = HERE.parent / "bench" / "losses"
LARGEST_MOVE = 4.0  # eV
FROM_TARGETS = ("moved", "aligned", "together", "lowest")

PET = {
    "cutoff": 4.5,
    "d_pet": 64,
    "d_node": 128,
    "d_head": 64,
    "d_feedforward": 128,
    "num_heads": 4,
    "num_attention_layers": 1,
    "num_gnn_layers": 2,
}
SOAP = {"max_angular": 4, "max_radial": 4, "cutoff": {"radius": 5.0}}


def soap_bpnn(neurons: int, legacy: bool = False, **soap: Any) -> dict[str, Any]:
    """Choose the size of a SOAP-BPNN; ``legacy`` has a network for each element."""
    return {
        "soap": {**SOAP, **soap},
        "bpnn": {"num_neurons_per_layer": neurons},
        "legacy": legacy,
    }


NETWORKS = {
    "soap32": ("soap_bpnn", soap_bpnn(32)),
    "soap64": ("soap_bpnn", soap_bpnn(64)),
    "soap128": ("soap_bpnn", soap_bpnn(128)),
    "soap256": ("soap_bpnn", soap_bpnn(256)),
    "soap128-large": ("soap_bpnn", soap_bpnn(128, max_angular=6, max_radial=6)),
    "soap128-near": ("soap_bpnn", soap_bpnn(128, cutoff={"radius": 4.0})),
    "soap128-far": ("soap_bpnn", soap_bpnn(128, cutoff={"radius": 6.5})),
    "soap128-wide": (
        "soap_bpnn",
        soap_bpnn(128, max_angular=6, max_radial=6, cutoff={"radius": 6.5}),
    ),
    "soap128-deep": (
        "soap_bpnn",
        soap_bpnn(128)
        | {"bpnn": {"num_neurons_per_layer": 128, "num_hidden_layers": 3}},
    ),
    "soap128-plain": (
        "soap_bpnn",
        soap_bpnn(128) | {"bpnn": {"num_neurons_per_layer": 128, "layernorm": False}},
    ),
    "soap-legacy": ("soap_bpnn", soap_bpnn(16, True, max_angular=2, max_radial=2)),
    "pet": ("pet", PET),
    "pet-full": ("pet", {}),  # metatrain's defaults
}

LOSSES = {
    # As `mtt-dos prepare` writes it
    "masked_dos": {"type": "masked_dos", "per_structure": "relative_root"},
    "root": {"type": "masked_dos", "per_structure": "root"},
    "square": {"type": "masked_dos", "per_structure": "square"},
    "no_gradient": {
        "type": "masked_dos",
        "per_structure": "relative_root",
        "grad_weight": 0.0,
    },
    # metatrain's, which asks for the weights of all terms and takes a spacing of 0.05
    "shift_agnostic_mse": {"type": "shift_agnostic_mse", "grad_penalty_weight": 1e-4},
    "mse": {"type": "mse"},
}


@dataclass(frozen=True)
class Row:
    """
    Describe one training run.

    :param network: one of :data:`NETWORKS`
    :param loss: one of :data:`LOSSES`
    :param weight: ``weight`` of the loss
    :param rate: learning rate
    :param zero: zero of the energies: a reference of ``mtt-dos prepare``, or
        ``moved``, ``aligned`` or ``lowest``
    :param split: ``structure`` (three of five of each material for training) or
        ``material0``, ``material1``, ... (materials that are not in training)
    :param share: share of the training structures
    :param epochs: length, with all training structures
    :param batch: structures in a batch
    :param clip: ``grad_clip_norm`` of PET; 0 for its default of 1
    :param int_weight: of ``masked_dos`` and ``shift_agnostic_mse``
    :param window: how far ``masked_dos`` can slide a target, eV
    :param spacing: of the energy grid, eV
    :param smearing: of the targets, eV
    :param seed: of the first weights and the order of the structures
    """

    network: str = "soap128"
    loss: str = "masked_dos"
    weight: float = 1.0
    rate: float = 3e-3
    zero: str = "neutral"
    split: str = "structure"
    share: float = 1.0
    epochs: int = 100
    batch: int = 8
    clip: float = 0.0
    int_weight: float = 0.01
    window: float = 10.0
    spacing: float = 0.15
    smearing: float = 0.3
    seed: int = 0


ERRORS = {
    "dos": "DOS, states/eV/atom",
    "integrated": "integrated DOS, states/atom",
    "relative": "median relative error of the DOS",
}
COLUMNS = [
    *(field.name for field in fields(Row)),
    *(f"{part}_{error}" for part in ("validation", "test") for error in ERRORS),
    "seconds",
    "parameters",
]
"""Columns of a file of results; seconds are those of one core."""


@cache
def calculations() -> tuple[Calculation, ...]:
    """Read the shipped data."""
    return tuple(read_extxyz(DATA))


def moved() -> list[AnyCalculation]:
    """Count energies from the neutral level, moved by a constant for each structure."""
    moves = np.random.default_rng(2026).uniform(-1, 1, len(calculations()))
    return [
        counted_from(each, reference_energy(each, "neutral") - LARGEST_MOVE * move)
        for each, move in zip(calculations(), moves, strict=True)
    ]


def aligned(found: list[AnyCalculation]) -> list[AnyCalculation]:
    """Move structures to where the DOS of the first of their composition agrees."""
    names = [each.atoms.get_chemical_formula(empirical=True) for each in found]
    for name in set(names):
        members = [i for i, other in enumerate(names) if other == name]
        some = [found[i] for i in members]
        zeros = mutual_zeros(some, [np.nan] * len(some), Row().smearing)
        for i, each, zero in zip(members, some, zeros, strict=True):
            found[i] = counted_from(each, zero)
    return found


def parts(split: str, share: float) -> dict[str, np.ndarray]:
    """Divide the structures; the same for all runs, seeds and losses."""
    names = [calculation.atoms.info["material"] for calculation in calculations()]
    materials, material = np.unique(names, return_inverse=True)
    random = np.random.default_rng(2026)
    if split == "structure":
        # Place of each structure among those of its material
        place = np.empty(len(names), int)
        for number in range(len(materials)):
            members = np.flatnonzero(material == number)
            place[members] = random.permutation(len(members))
        part = np.where(place == 3, 1, np.where(place == 4, 2, 0))
    else:
        random = np.random.default_rng(int(split.removeprefix("material")))
        part = np.zeros(len(names), int)
        held_out = 0
        for number in random.permutation(len(materials)):
            mine = material == number
            # A network knows the elements of its training set only.
            if held_out < 12 and _elements(mine) <= _elements((part == 0) & ~mine):
                part[mine] = 1 + held_out % 2
                held_out += 1
    found = {name: np.flatnonzero(part == i) for i, name in enumerate(SPLITS)}
    training = random.permutation(found["training_set"])
    found["training_set"] = np.sort(training[: round(share * len(training))])
    return found


def _elements(chosen: np.ndarray) -> set[str]:
    """Collect the elements of some structures."""
    return {
        symbol
        for i in np.flatnonzero(chosen)
        for symbol in calculations()[i].atoms.get_chemical_symbols()
    }


def write(row: Row) -> Path:
    """
    Write the data set of a run, unless one like it is there.

    :param row: the run
    :return: folder of the data set
    """
    own = LOSSES[row.loss]["type"] == "masked_dos"
    padding = round(row.window / row.spacing) if own else 0
    folder = OUTPUT / (
        f"data {row.zero} {row.split} {row.share:g} {row.spacing:g} {row.smearing:g} "
        f"{f'{padding} columns' if own else 'NaN'}"
    )
    if folder.exists():
        return folder
    found: Sequence[AnyCalculation] = calculations()
    if row.zero == "moved":
        found = moved()
    elif row.zero == "aligned":
        found = aligned(moved())
    elif row.zero == "together":
        found = aligned(
            [counted_from(each, reference_energy(each, "neutral")) for each in found]
        )
    elif row.zero == "lowest":
        found = [counted_from(each, each.lowest) for each in found]
    spec = TargetSpec.covering(
        found,
        spacing=row.spacing,
        smearing=row.smearing,
        trust_margin=3 * row.smearing,
        reference="raw" if row.zero in FROM_TARGETS else row.zero,
        extra_targets=padding,
    )
    chosen = parts(row.split, row.share)
    with atomic_folder(folder) as made:
        path = write_dataset(
            made, {name: [found[i] for i in chosen[name]] for name in SPLITS}, spec
        )
        if not own:  # NaN is the mask of metatrain's losses
            options = OmegaConf.load(path)
            for name in SPLITS:
                del options[name].extra_data
                file = made / options[name].systems.read_from
                frames = ase.io.read(file, ":")
                for frame in frames:
                    dos, mask = frame.info["dos"], frame.info["dos_mask"]
                    frame.info["dos"] = np.where(mask, dos, np.nan)
                ase.io.write(file, frames)
            OmegaConf.save(options, path)
    return folder


def options_of(row: Row, folder: Path) -> Any:
    """Make the options of a training run on a data set."""
    options = OmegaConf.load(folder / "options.yaml")
    del options.test_set
    options.seed = row.seed
    options.architecture.name, options.architecture.model = NETWORKS[row.network]
    options.architecture.training.update(
        num_epochs=row.epochs,
        batch_size=row.batch,
        learning_rate=row.rate,
        log_interval=row.epochs,
        checkpoint_interval=row.epochs,
        num_workers=0,
    )
    if row.clip:
        options.architecture.training.grad_clip_norm = row.clip
    loss = {**LOSSES[row.loss], "weight": row.weight}
    if row.loss != "mse":
        loss["int_weight"] = row.int_weight
    if loss["type"] == "masked_dos":
        written = options.architecture.training.loss[TARGET]
        loss = {**written, **loss}
    options.architecture.training.loss = {TARGET: loss}
    return options


def judge(
    predictions: np.ndarray,
    targets: np.ndarray,
    mask: np.ndarray,
    atoms: np.ndarray,
    spacing: float,
) -> dict[str, float]:
    """
    Compare predictions with targets by the same errors for all losses.

    Each prediction may slide anywhere along its target, as ``shift_agnostic_mse`` lets
    it in training, with zeros around it.
    """
    free = targets.shape[-1]
    aligned = align(
        np.pad(predictions, ((0, 0), (free, free))), targets, mask, grid_spacing=spacing
    )
    return {
        "dos": float(np.mean(aligned.rmse / atoms)),
        "integrated": float(np.mean(aligned.cumulative_rmse / atoms)),
        "relative": float(np.median(aligned.relative_rmse)),
    }


def train(row: Row, keep: Path) -> dict[str, float]:
    """
    Do one training run, and judge its best checkpoint.

    :param row: the run
    :param keep: file for its predictions
    :return: errors, seconds of one core, and number of parameters
    """
    from metatrain.cli.train import train_model

    os.chdir(write(row))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        began = time.process_time()
        train_model(
            options_of(row, Path()),
            output=str(folder / "model.pt"),
            extensions=str(folder / "extensions"),
            checkpoint_dir=str(folder),
        )
        seconds = time.process_time() - began
        model = DOSModel.load(folder / "model.ckpt", device="cpu")
    found: dict[str, float] = {}
    predicted: dict[str, np.ndarray] = {}
    for part in ("validation", "test"):
        frames = ase.io.read(f"{part}.xyz", ":")
        predicted[part] = np.array(list(model.predict(frames)))
        errors = judge(predicted[part], *truth(frames), row.spacing)
        found |= {f"{part}_{name}": round(error, 5) for name, error in errors.items()}
    np.savez_compressed(keep, **{k: v.astype("f4") for k, v in predicted.items()})
    found["seconds"] = round(seconds)
    found["parameters"] = sum(p.numel() for p in model._model.parameters())
    return found


def truth(frames: list[ase.Atoms]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Take targets, masks and numbers of atoms from a data set."""
    size = TargetSpec.read("grid.json").grid.size
    targets = np.array([np.array(frame.info["dos"])[-size:] for frame in frames])
    mask = ~np.isnan(targets)
    if "dos_mask" in frames[0].info:
        mask &= np.array(
            [np.array(frame.info["dos_mask"])[-size:] for frame in frames], bool
        )
    return targets, mask, np.array([len(frame) for frame in frames])


def label(row: Row) -> str:
    """Name a row by what is not the default."""
    usual = asdict(Row())
    return "_".join(
        f"{name}={value}"
        for name, value in asdict(row).items()
        if value != usual[name] or name in ("network", "loss", "seed")
    )


def read(path: Path = RESULTS) -> list[dict[str, Any]]:
    """Read the results that are there: one dictionary for each row."""
    if not path.exists():
        return []
    with path.open() as file:
        return [
            {name: _value(name, text) for name, text in line.items()}
            for line in csv.DictReader(file)
        ]


def _value(name: str, text: str) -> Any:
    usual = getattr(Row(), name, 0.0)
    return type(usual)(text)


def do(row: Row) -> None:
    """Train a row in a process of its own, and append it to the results."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    # Once, before processes are forked
    calculations()
    for module in ("cli.train", "pet.trainer", "soap_bpnn.trainer"):
        import_module(f"metatrain.{module}")
    import_module("torch._dynamo")
    receiver, sender = multiprocessing.Pipe(duplex=False)

    def work() -> None:
        sender.send(train(row, OUTPUT / f"{label(row)}.npz"))

    child = multiprocessing.get_context("fork").Process(target=work)
    began = time.time()
    child.start()
    sender.close()
    try:
        found = receiver.recv()
    except EOFError:
        print(f"{label(row)}: failed", flush=True)
        return
    finally:
        child.join()
    is_new = not RESULTS.exists()
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        if is_new:
            writer.writerow(COLUMNS)
        values = {**asdict(row), **found}
        writer.writerow([values[name] for name in COLUMNS])
    print(
        f"{label(row)}: {found['test_dos']:.4f} {found['test_integrated']:.4f}, "
        f"{found['seconds']} s of {time.time() - began:.0f} s",
        flush=True,
    )


RIVALS = ("masked_dos", "mse")
SHIFT_AGNOSTIC = Row(loss="shift_agnostic_mse", zero="moved", spacing=0.05)
EQUAL_TIME = 30
"""Epochs of PET that take as long as a hundred of SOAP-BPNN."""


def headline() -> Iterator[Row]:
    """Compare losses where zeros agree, and where they do not."""
    for seed in range(5):
        for zero in ("neutral", "moved", "aligned"):
            for loss in RIVALS:
                if seed < 3 or loss == "masked_dos" or zero == "neutral":
                    yield Row(loss=loss, zero=zero, seed=seed)
    for seed in range(3):
        yield replace(SHIFT_AGNOSTIC, int_weight=0.0, rate=1e-3, seed=seed)
    yield replace(SHIFT_AGNOSTIC, int_weight=0.0, rate=1e-3, zero="aligned")
    yield replace(SHIFT_AGNOSTIC, int_weight=2.0)
    for zero in ("moved", "aligned"):
        yield Row(loss="mse", zero=zero, rate=1e-3)


def rates() -> Iterator[Row]:
    """Give each loss several learning rates, and one several weights."""
    for loss in RIVALS:
        yield Row(loss=loss, rate=1e-2)
        for seed in range(3):
            yield Row(loss=loss, rate=1e-3, seed=seed)
    for weight in (10.0, 200.0):
        yield Row(loss="mse", weight=weight)


def zeros() -> Iterator[Row]:
    """Count energies from several zeros."""
    for seed in range(3):
        for zero in ("raw", "fermi", "together"):
            for loss in RIVALS:
                yield Row(loss=loss, zero=zero, seed=seed)
    yield Row(zero="lowest")
    for change in (
        {"loss": "square"},
        {"loss": "no_gradient"},
        {"int_weight": 0.003},
        {"int_weight": 0.0},
        {"window": 2.0},
        {"window": 0.0},
    ):
        yield Row(zero="together", **change)
    for seed in range(2):
        for loss in RIVALS:
            yield Row(loss=loss, zero="together", epochs=250, seed=seed)


def shares() -> Iterator[Row]:
    """Train on a half and a quarter of the structures."""
    for seed in range(3):
        for loss in RIVALS:
            for share in (0.5, 0.25):
                yield Row(loss=loss, share=share, seed=seed)
            yield Row(loss=loss, share=0.5, seed=seed, epochs=250)


def lengths() -> Iterator[Row]:
    """Train longer."""
    for seed in range(3):
        for loss in RIVALS:
            for epochs in (250, 400):
                yield Row(loss=loss, epochs=epochs, seed=seed)
        yield Row(zero="moved", epochs=250, seed=seed)
        yield Row(spacing=0.05, epochs=250, seed=seed)
        yield Row(loss="mse", rate=1e-3, epochs=250, seed=seed)
    for seed in range(2):
        yield Row(rate=1e-3, epochs=250, seed=seed)
        yield Row(int_weight=0.003, epochs=250, seed=seed)
        yield Row(batch=16, epochs=500, seed=seed)
        for network in ("soap256", "soap128-far", "soap128-deep"):
            yield Row(network=network, epochs=250, seed=seed)


def networks() -> Iterator[Row]:
    """Compare networks, PET for the time that SOAP-BPNN takes, and on a GPU."""
    for network in ("soap64", "soap256"):
        yield Row(network=network)
    for kind in ("large", "far", "wide", "deep", "plain"):
        for seed in range(2):
            yield Row(network=f"soap128-{kind}", seed=seed)
    yield Row(network="soap128-near")
    yield Row(network="soap64", loss="mse")
    yield Row(network="soap64", zero="moved")
    small = Row(network="pet", epochs=EQUAL_TIME)
    full = Row(network="pet-full", epochs=200, rate=1e-3)
    for each in (small, full):
        yield each
        # Small enough that no gradient is clipped.
        yield replace(each, weight=0.005)
        for weight in (1.0, 10.0, 200.0):
            yield replace(each, loss="mse", weight=weight)
    slow = replace(full, rate=3e-4)
    yield slow
    yield replace(slow, loss="mse", weight=200.0)


def unseen() -> Iterator[Row]:
    """Predict materials that are not in the training set."""
    for number in range(4):
        for loss in RIVALS:
            yield Row(split=f"material{number}", loss=loss)
    for number in range(2):
        yield Row(split=f"material{number}", network="pet", epochs=EQUAL_TIME)


def options() -> Iterator[Row]:
    """Change one option of our loss, or of the training run, at a time."""
    yield Row(int_weight=0.03)
    yield Row(int_weight=0.03, epochs=250)
    yield Row(batch=4, epochs=50)
    yield Row(window=2.0)
    for seed in range(3):
        yield Row(loss="square", seed=seed)
    for seed in range(2):
        yield Row(spacing=0.05, seed=seed)
    for smearing, spacings in ((0.1, (0.05, 0.02)), (0.5, (0.25, 0.08))):
        for spacing in spacings:
            yield Row(smearing=smearing, spacing=spacing)


SUITES = {
    each.__name__: each
    for each in (headline, rates, zeros, shares, lengths, networks, unseen, options)
}
"""Lists of rows; some rows are in several."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("row", help="do one training run")
    for field in fields(Row):
        one.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=type(field.default),
            default=field.default,
        )
    several = commands.add_parser("suite", help="do the runs of a list")
    several.add_argument("names", nargs="+", choices=list(SUITES))
    arguments = vars(parser.parse_args())
    command = arguments.pop("command")
    if command == "row":
        do(Row(**arguments))
    if command == "suite":
        done = {tuple(each[field.name] for field in fields(Row)) for each in read()}
        for name in arguments["names"]:
            for row in SUITES[name]():
                if astuple(row) not in done:
                    do(row)
                    done.add(astuple(row))


if __name__ == "__main__":
    main()
