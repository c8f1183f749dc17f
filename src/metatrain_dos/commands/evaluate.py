"""
Compare the predictions of a model with the computed DOS, after alignment. Writes a
table, figures, and one page that holds all of them.
"""

import argparse
from dataclasses import fields
from pathlib import Path

from ..figures.plan import Plan
from ._model_options import add_grid, add_model, run_with_model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """
    Add the arguments of the command.

    :param parser: parser of the command
    """
    parser.add_argument("model", type=Path, help="model.pt or model.ckpt")
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
        help="folder to make; an older report is replaced, anything else left alone",
    )
    parser.add_argument(
        "--structures",
        type=int,
        nargs="+",
        metavar="N",
        help="draw these, too, counted from 0 in the order of the file (default: the "
        "best, the median and the worst)",
    )
    parser.add_argument(
        "--tail-weight",
        type=float,
        metavar="WEIGHT",
        help="of what is predicted in front of a target, in the alignment (default: "
        "that of the training where the model or an options.yaml next to it says so, "
        "else 1)",
    )
    add_model(parser.add_argument_group("the model"))
    add_grid(parser.add_argument_group("what the columns of its prediction are"))


def run(arguments: argparse.Namespace) -> None:
    """
    Run the command.

    :param arguments: what its parser has parsed
    """
    # Here, not above: `mtt-dos --help` should not wait for torch.
    from ..figures.report import evaluate

    given = {each.name: getattr(arguments, each.name) for each in fields(Plan)}
    # What is not given has its default.
    plan = Plan(**{name: value for name, value in given.items() if value is not None})
    run_with_model("evaluate", lambda: evaluate(plan))
