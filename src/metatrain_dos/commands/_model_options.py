"""Options that all commands with a trained model share."""

import argparse
import sys
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path


def add_model(group: argparse._ArgumentGroup) -> None:
    """Add the options of the model."""
    group.add_argument(
        "--target",
        metavar="NAME",
        help="output of the model (default: the only one that can be a DOS)",
    )
    group.add_argument(
        "--device",
        default="auto",
        metavar="DEVICE",
        help="cpu, cuda, cuda:1... (default %(default)s: a GPU if there is one)",
    )
    group.add_argument(
        "--batch-size",
        type=int,
        default=16,
        metavar="N",
        help="number of structures per batch (default %(default)s)",
    )
    group.add_argument(
        "--extensions",
        type=Path,
        metavar="FOLDER",
        help="compiled extensions of an exported model (default: `extensions` next to "
        "it, if that exists)",
    )


def add_chemiscope(group: argparse._ActionsContainer) -> None:
    """Add the file for the viewer chemiscope."""
    group.add_argument(
        "--chemiscope",
        type=Path,
        metavar="FILE",
        help="also write structures beside their DOS for the viewer chemiscope: .json "
        "or .json.gz (needs metatrain-dos[chemiscope])",
    )


def add_grid(group: argparse._ArgumentGroup) -> None:
    """Add the options of the energy axis."""
    group.add_argument(
        "--grid",
        "--like",  # as in `prepare`
        type=Path,
        metavar="FILE",
        help="grid.json of the data set that the model was trained on, or pet-mad-dos "
        "(default: the one next to the model or the data, else the options of the "
        "loss)",
    )
    group.add_argument(
        "--grid-spacing",
        dest="spacing",
        type=float,
        metavar="EV",
        help="distance between two columns",
    )
    group.add_argument(
        "--extra-targets",
        type=int,
        metavar="COLUMNS",
        help="number of columns in front of the first column of a target",
    )
    group.add_argument(
        "--origin",
        type=float,
        metavar="EV",
        help="energy of the first column of a target",
    )


def add_electrons(group: argparse._ArgumentGroup) -> None:
    """Add the options that tell the number of electrons."""
    group.add_argument(
        "--electrons",
        metavar="SOURCE",
        help="a file with one number per structure, the name of an entry of their "
        "info, or one number for all (default: n_electrons in the info, else the "
        "valences in grid.json)",
    )
    group.add_argument(
        "--valences",
        metavar="SOURCE",
        help='electrons of each element in neutral structures: "Si=4 O=6", or a YAML '
        "or JSON file",
    )


def run_with_model(command: str, work: Callable[[], Iterable[str]]) -> None:
    """Do the work of a command, and print its lines or its error."""
    try:
        with warnings.catch_warnings():
            # of metatrain and its dependencies
            warnings.filterwarnings("ignore", module=r"(metatrain|metatomic|torch)\.")
            lines = work()
    except KeyboardInterrupt:
        print(f"mtt-dos {command}: interrupted; nothing was written", file=sys.stderr)
        sys.exit(130)
    except (OSError, ValueError) as error:
        sys.exit(f"mtt-dos {command}: {error}")
    print("\n".join(lines))
