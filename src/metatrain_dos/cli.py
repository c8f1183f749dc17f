"""The command ``mtt-dos``."""

import argparse
import io
import sys
from collections.abc import Sequence

from . import __version__


METATRAIN_COMMANDS = ("train", "eval", "export")
"""Commands of ``mtt`` that are passed on."""


def main(arguments: Sequence[str] | None = None) -> None:
    """
    Run ``mtt-dos``.

    :param arguments: the command line after the name of the command; that of the
        process unless given
    """
    # Not needed by whoever imports this module for `run_metatrain`.
    from .checking import command as check
    from .evaluating import command as evaluate
    from .predicting import command as predict
    from .preparing import command as prepare

    parser = argparse.ArgumentParser(prog="mtt-dos", description=__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    prepare.add_parser(commands)
    check.add_parser(commands)
    evaluate.add_parser(commands)
    predict.add_parser(commands)
    for command in METATRAIN_COMMANDS:
        commands.add_parser(
            command,
            add_help=False,
            help=f"`mtt {command}`, with the losses of all plugins registered first",
        )
    known, rest = parser.parse_known_args(arguments)
    if known.command in METATRAIN_COMMANDS:
        run_metatrain([known.command, *rest])
        return
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names of files need not be text, and a terminal may not know all letters.
        sys.stdout.reconfigure(errors="backslashreplace")
    known.run(known)


def run_metatrain(arguments: Sequence[str]) -> None:
    """
    Run ``mtt`` after registering the losses of all plugins.

    For interpreters that read no start-up files: ``python -S``, packages that are only
    on ``PYTHONPATH``, or ``METATRAIN_DOS_AUTOLOAD=0``.

    :param arguments: the command line after ``mtt``
    """
    from metatrain.__main__ import main as mtt

    from .registry import register_entry_points

    register_entry_points()
    sys.argv = ["mtt", *arguments]
    mtt()
