"""
Predict the density of states of structures, with an energy axis, the Fermi level and
the gap at it. The energy zero of a model is arbitrary: the number of electrons fixes
it, so that energies are relative to the Fermi level. Predictions above the energies
where the training data were trusted are extrapolations.
"""

import argparse
from pathlib import Path

from ..models.predictor import DEFAULT_THRESHOLD, DEFAULT_TOLERANCE, ZEROS
from ._model_options import add_grid, add_model, run_with_model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """
    Add the arguments of the command.

    :param parser: parser of the command
    """
    parser.add_argument("model", type=Path, help="model.pt or model.ckpt")
    parser.add_argument(
        "structures", nargs="+", type=Path, help="files that ASE reads, all structures"
    )
    _add_output(parser)
    _add_electrons(parser.add_argument_group("how many electrons there are"))
    _add_analysis(parser.add_argument_group("Fermi level and gap"))
    add_model(parser.add_argument_group("the model"))
    add_grid(parser.add_argument_group("what the columns of its prediction are"))


def run(arguments: argparse.Namespace) -> None:
    """
    Run the command.

    :param arguments: what its parser has parsed
    """
    # Here, not above: `mtt-dos --help` should not wait for torch.
    from ..models.predict import predict

    options = {
        name: value
        for name, value in vars(arguments).items()
        if name not in ("command", "run")
    }
    run_with_model("predict", lambda: predict(**options))


def _add_output(parser: argparse.ArgumentParser) -> None:
    """Add where the predictions go."""
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="file to write: extended XYZ, CSV or NPZ, as it ends",
    )
    parser.add_argument(
        "--format",
        choices=("xyz", "csv", "npz"),
        help="of the file, if it ends otherwise",
    )
    parser.add_argument(
        "--force", action="store_true", help="replace the file if it is there"
    )
    parser.add_argument(
        "--states",
        action="store_true",
        help="write the integral of the DOS, too, which is the number of states "
        "below each energy",
    )


def _add_electrons(group: argparse._ArgumentGroup) -> None:
    """Add what says how many electrons there are."""
    group.add_argument(
        "--electrons",
        metavar="WHERE",
        help="a file with one number per structure, or the name of an entry of their "
        "info, or one number for all (default: n_electrons of those that have it)",
    )
    group.add_argument(
        "--valences",
        metavar="WHERE",
        help='of each element, for neutral structures: "Si=4 O=6", or a YAML or JSON '
        "file",
    )


def _add_analysis(group: argparse._ArgumentGroup) -> None:
    """Add how levels are found."""
    group.add_argument(
        "--zero",
        choices=list(ZEROS),
        default="fermi",
        help="what energies are relative to: "
        + "; ".join(f"{name}: {meaning}" for name, meaning in ZEROS.items())
        + " (default %(default)s)",
    )
    group.add_argument(
        "--tolerance",
        type=float,
        default=DEFAULT_TOLERANCE,
        metavar="FRACTION",
        help="of the electrons, by which the integral of the DOS may be off in a gap "
        "(default %(default)s)",
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
        help="of the DOS in the training data, to take it out of the edges of a gap "
        "(default: that of grid.json)",
    )
