"""What commands that use a trained model have in common."""

import argparse
import sys
import warnings
from collections.abc import Callable
from pathlib import Path


def add_model(group: argparse._ArgumentGroup) -> None:
    """
    Add how the model is used.

    :param group: what ``add_argument_group`` returned
    """
    group.add_argument(
        "--target",
        metavar="NAME",
        help="output of the model (default: the only one that can be a DOS)",
    )
    group.add_argument(
        "--device",
        default="auto",
        metavar="DEVICE",
        help="cpu, cuda, cuda:1... (default %(default)s: a GPU where there is one)",
    )
    group.add_argument(
        "--batch-size",
        type=int,
        default=16,
        metavar="STRUCTURES",
        help="that are predicted at once (default %(default)s)",
    )
    group.add_argument(
        "--extensions",
        type=Path,
        metavar="FOLDER",
        help="compiled extensions of an exported model (default: `extensions` next to "
        "it, if it is there)",
    )


def add_grid(group: argparse._ArgumentGroup) -> None:
    """
    Add what says where the columns are.

    :param group: what ``add_argument_group`` returned
    """
    group.add_argument(
        "--grid",
        type=Path,
        metavar="FILE",
        help="grid.json of the data set that the model was trained on (default: that "
        "next to the model, or to the data; else what the loss of the training says)",
    )
    group.add_argument(
        "--grid-spacing",
        dest="spacing",
        type=float,
        metavar="EV",
        help="distance between two columns, instead of what is found",
    )
    group.add_argument(
        "--extra-targets",
        type=int,
        metavar="COLUMNS",
        help="columns in front of those of a target, instead of what is found",
    )


def run_with_model(command: str, work: Callable[[], list[str]]) -> None:
    """
    Do the work of a command and print what it says, or what is wrong.

    :param command: name of the command
    :param work: does it, and returns lines for the terminal
    """
    try:
        with warnings.catch_warnings():
            # metatrain's own, and those of its dependencies
            warnings.filterwarnings("ignore", module=r"(metatrain|metatomic|torch)\.")
            lines = work()
    except KeyboardInterrupt:
        print(f"mtt-dos {command}: interrupted, and nothing written", file=sys.stderr)
        sys.exit(130)
    except (OSError, ValueError) as error:
        sys.exit(f"mtt-dos {command}: {error}")
    print("\n".join(lines))
