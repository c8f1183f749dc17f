"""The command ``mtt-dos``."""

import argparse
import io
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module

from .. import __version__


COMMANDS = {
    "prepare": "turn finished calculations into a data set that `mtt train` trains on",
    "show": "draw a structure of a data set, with its mask and source",
    "check": "find whatever would spoil a training run before it starts",
    "evaluate": "measure the errors of a trained model after alignment",
    "predict": "predict DOS, Fermi levels and gaps with a trained model",
}
"""Each is a module of this folder, which is imported only when it is needed."""

PARSERS = {"prepare": "prepare_arguments"}
"""Module with the parser of a command, if it is another one."""

METATRAIN_COMMANDS = ("train", "eval", "export")
"""Commands of ``mtt`` that are passed on."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``mtt-dos``, with the command line of the process unless another is given."""
    try:
        try:
            _run(arguments)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # `head`, for example, has read enough. Nothing may be written at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)  # as if the signal had ended the command


def _run(arguments: Sequence[str] | None) -> None:
    """Parse the command line and run the command."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(prog="mtt-dos", description=__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    chosen = next((word for word in given if not word.startswith("-")), None)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary)
        if name == chosen:
            module = import_module(f".{PARSERS.get(name, name)}", __package__)
            command.description = (module.__doc__ or "").replace("``", "`")
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    for name in METATRAIN_COMMANDS:
        commands.add_parser(
            name,
            add_help=False,
            help=f"`mtt {name}`, with the losses of all plugins registered first",
        )
    known, rest = parser.parse_known_args(given)
    if known.command in METATRAIN_COMMANDS:
        run_metatrain([known.command, *rest])
        return
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names of files need not be text, and a terminal may not know all letters.
        sys.stdout.reconfigure(errors="backslashreplace")
    run = known.run
    del known.run, known.command  # which leaves the options
    run(known)


def run_metatrain(arguments: Sequence[str]) -> None:
    """
    Run ``mtt`` after registering the losses of all plugins.

    For interpreters that read no start-up files: ``python -S``, packages that are only
    on ``PYTHONPATH``, or ``METATRAIN_DOS_AUTOLOAD=0``.
    """
    from metatrain.__main__ import main as mtt

    from ..plugin.registry import register_entry_points

    register_entry_points()
    sys.argv = ["mtt", *arguments]
    mtt()
