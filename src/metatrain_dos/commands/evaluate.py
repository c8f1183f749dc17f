"""
Compare the predictions of a model with the computed DOS, after alignment. Write a
table, figures, and one page with all of them.
"""

import argparse
from pathlib import Path

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
        "models",
        nargs="+",
        type=Path,
        metavar="model",
        help="model.pt or model.ckpt, several for a committee, whose mean is compared",
    )
    parser.add_argument(
        "data",
        type=Path,
        help="data set with targets, in any format that `prepare` writes; or an "
        "options file, or the folder that it is in, for its test_set",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="REPORT",
        help="new folder for the report; replaces an older report, and nothing else",
    )
    parser.add_argument(
        "--structures",
        type=int,
        nargs="+",
        default=(),
        metavar="N",
        help="also draw these, counted from 0 in the order of the file, besides the "
        "best, the median and the worst",
    )
    parser.add_argument(
        "--compare",
        dest="compare_with",
        type=Path,
        metavar="REPORT",
        help="report of another model on the same data, to compare with",
    )
    parser.add_argument(
        "--tail-weight",
        type=float,
        metavar="WEIGHT",
        help="weight of the prediction in front of a target, in the alignment "
        "(default: that of the training run if the model or an options.yaml next to it "
        "tells it, else 1)",
    )
    add_chemiscope(parser)
    add_electrons(parser.add_argument_group("number of electrons"))
    add_model(parser.add_argument_group("the model"))
    add_grid(parser.add_argument_group("energies of the columns of the prediction"))


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    # Imported here because `mtt-dos --help` should not wait for torch.
    from ..figures.report import evaluate

    run_with_model("evaluate", lambda: evaluate(**vars(arguments)))
