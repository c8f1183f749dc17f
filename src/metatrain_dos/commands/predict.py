"""
Predict the density of states of structures, with an energy axis, the Fermi level and
the gap. The number of electrons fixes the arbitrary energy zero of a model, so that
energies are relative to the Fermi level. Above the trusted range of the training data,
predictions are extrapolations.
"""

import argparse
import math
from pathlib import Path
from typing import Any

from ..models.defaults import DEFAULT_THRESHOLD, DEFAULT_TOLERANCE, PARTS, ZEROS
from ._model_options import (
    add_chemiscope,
    add_electrons,
    add_grid,
    add_model,
    run_with_model,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="model.pt or model.ckpt, several for a committee, and files of structures "
        "that ASE reads, of which md.xyz@::10 takes every tenth",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="file to write; its ending gives the format: .xyz, .csv or .npz",
    )
    parser.add_argument(
        "--format",
        choices=("xyz", "csv", "npz"),
        help="format of the file, if its ending is another one",
    )
    parser.add_argument("--force", action="store_true", help="replace an existing file")
    parser.add_argument(
        "--states",
        action="store_true",
        help="also write the number of states below each energy",
    )
    parser.add_argument(
        "--figure",
        type=Path,
        metavar="FILE",
        help="also draw the predictions: one structure, the first 16 in a grid, or the "
        "mean with its error; its ending gives the format: .png, .svg or .pdf",
    )
    add_chemiscope(parser)
    parser.add_argument(
        "--mean",
        action="store_true",
        help="write the mean over all structures, such as frames of a trajectory, on "
        "one common zero, with standard errors that know of correlated frames",
    )
    parts = parser.add_mutually_exclusive_group()
    for part in PARTS:
        parts.add_argument(
            f"--per-{part}",
            dest="parts",
            action="store_const",
            const=part,
            help=f"also write the DOS of each {part}; a model of whole structures has "
            "learned this partition, which was not in its data",
        )
    add_electrons(parser.add_argument_group("number of electrons"))
    group = parser.add_argument_group("Fermi level and gap")
    group.add_argument(
        "--zero",
        choices=list(ZEROS),
        default="fermi",
        help="zero of the energies: "
        + "; ".join(f"{name}: {meaning}" for name, meaning in ZEROS.items())
        + " (default %(default)s)",
    )
    group.add_argument(
        "--tolerance",
        type=float,
        default=DEFAULT_TOLERANCE,
        metavar="FRACTION",
        help="error of the integral of the DOS in a gap, as a fraction of the "
        "electrons (default %(default)s)",
    )
    group.add_argument(
        "--threshold",
        type=float,
        default=DEFAULT_THRESHOLD,
        metavar="PER_EV",
        help="DOS for each electron below which there is a gap, 1/eV (default "
        "%(default)s)",
    )
    group.add_argument(
        "--smearing",
        type=float,
        metavar="EV",
        help="Gaussian smearing of the training DOS, used to correct the gap edges "
        "(default: that of grid.json)",
    )
    group.add_argument(
        "--temperature",
        dest="temperatures",
        type=float,
        nargs="+",
        default=(),
        metavar="K",
        help="also compute chemical potential, band energy, entropy, free energy and "
        "heat capacity of the electrons at these temperatures",
    )
    add_model(parser.add_argument_group("model"))
    add_grid(parser.add_argument_group("energy axis of the model"))


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    # Here, not above: `mtt-dos --help` should not wait for torch.
    from ..models.predict import predict

    options = vars(arguments)
    file, chemiscope = options.pop("figure"), options.pop("chemiscope")
    zero = options["zero"]

    def work() -> list[str]:
        kept: list[Any] = []
        most, total = 0.0, 0
        if file is not None:
            from ..figures import predictions

            predictions.refuse_figure(file)
            most = predictions.MOST_PANELS
        if chemiscope is not None:
            from ..figures import chemiscope_file

            chemiscope_file.refuse_chemiscope_file(chemiscope)
            most = math.inf

        def keep(*prediction: Any) -> None:
            nonlocal total
            total += 1
            if total <= most:
                kept.append(prediction)

        lines = predict(**options, on_prediction=keep)
        if file is not None:
            predictions.write_figure(file, kept, zero, total)
            lines.append(f"figure: {file}")
        if chemiscope is not None:
            chemiscope_file.write_predictions(chemiscope, kept, zero)
            lines.append(f"chemiscope: {chemiscope}")
        return lines

    run_with_model("predict", work)
