"""The options of ``mtt-dos prepare``, each with its default and the reason for it."""

import argparse
import os
from pathlib import Path

from ..data.dos import DEFAULT_SMEARING, DEFAULT_TRUST_MARGIN
from ..data.references import REFERENCES
from ..data.target_spec import DEFAULT_EXTRA_TARGETS
from ..data.writers import DATASET_FORMATS
from ..loss.options import DEFAULT_SPACING


CHOICES = {
    "spacing": "--grid-spacing",
    "smearing": "--smearing",
    "extra_targets": "--extra-targets",
    "trust_margin": "--trust-margin",
    "reference": "--reference",
    "spin_resolved": "--spin-resolved",
}
"""Field of ``grid.json`` -> option; these are not given together with ``--like``."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """
    Add all options.

    :param parser: parser of the command
    """
    parser.add_argument(
        "sources",
        nargs="*",
        metavar="SOURCES",
        help="files, folders (searched for names that a reader knows), shell patterns, "
        "and @FILE for a list of them",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="DATASET",
        help="folder to make; until it is complete, it is DATASET.unfinished",
    )
    parser.add_argument(
        "--list",
        dest="lists",
        action="append",
        default=[],
        metavar="FILE",
        help="file with one source in each line, relative to the file; same as @FILE",
    )
    _add_grid(parser.add_argument_group("what a target is"))
    _add_split(parser.add_argument_group("what is held out of training"))
    _add_work(parser.add_argument_group("how it is done"))


def _add_grid(group: argparse._ArgumentGroup) -> None:
    """Add what goes into ``grid.json``."""
    group.add_argument(
        "--like",
        type=Path,
        metavar="DATASET",
        help="take all of the following from the grid.json of another data set, so "
        "that its models fit this one, too; structures that do not fit its grid are "
        "left out",
    )
    group.add_argument(
        "--grid-spacing",
        dest="spacing",
        type=float,
        metavar="EV",
        help=f"distance between two energies (default {DEFAULT_SPACING}: a sixth of "
        "the default smearing shows all there is)",
    )
    group.add_argument(
        "--smearing",
        type=float,
        metavar="EV",
        help="standard deviation of the Gaussian for each eigenvalue (default "
        f"{DEFAULT_SMEARING}: bridges the gaps between the k-points of usual grids)",
    )
    group.add_argument(
        "--extra-targets",
        type=int,
        metavar="COLUMNS",
        help="columns that the prediction has more than the target, along which the "
        f"loss slides it (default {DEFAULT_EXTRA_TARGETS}: with the default spacing "
        "10 eV, about as far as energy zeros differ)",
    )
    group.add_argument(
        "--trust-margin",
        type=float,
        metavar="EV",
        help="how far below the minimum of the highest band a target is trusted "
        f"(default {DEFAULT_TRUST_MARGIN}: three times the default smearing, within "
        "which states that were not computed would count)",
    )
    group.add_argument(
        "--reference",
        choices=list(REFERENCES),
        help="what energies are relative to (default raw, because the loss aligns; "
        + "; ".join(f"{name}: {what}" for name, what in REFERENCES.items())
        + ")",
    )
    group.add_argument(
        "--spin-resolved",
        action="store_true",
        default=None,
        help="make each spin channel a target of its own (default: their sum, which "
        "is what most want, and half the columns)",
    )


def _add_split(group: argparse._ArgumentGroup) -> None:
    """Add how structures are divided."""
    group.add_argument(
        "--split",
        default="0.8,0.1,0.1",
        metavar="FRACTIONS",
        help="of training, validation and test (default %(default)s: as usual)",
    )
    group.add_argument(
        "--seed",
        type=int,
        default=0,
        help="of the random split (default %(default)s: the same data set every time)",
    )
    group.add_argument(
        "--group-by",
        metavar="WHAT",
        help="keep structures together that agree in this: 'formula', 'folder', or a "
        "key of their info, for example the molecule of a trajectory (default: none "
        "is related; relatives in both training and test make errors look small)",
    )
    group.add_argument(
        "--stratify-by",
        metavar="WHAT",
        help="split each formula, folder or value of a key of the info on its own, so "
        "that each has a structure in validation and in test (default: all in one)",
    )


def _add_work(group: argparse._ArgumentGroup) -> None:
    """Add what has no influence on the numbers."""
    group.add_argument(
        "--format",
        choices=list(DATASET_FORMATS),
        default="xyz",
        help="xyz is extended XYZ, to be read by people; zip (metatrain's DiskDataset) "
        "and memmap (single precision) are for sets larger than memory (default "
        "%(default)s)",
    )
    group.add_argument(
        "--workers",
        type=int,
        default=os.cpu_count() or 1,
        metavar="N",
        help="processes on this machine (default %(default)s: one for each core)",
    )
    group.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="use the workers of a Dask cluster, which must see the same files; needs "
        "metatrain-dos[dask] (default: --workers)",
    )
    group.add_argument(
        "--strict",
        action="store_true",
        help="stop at the first calculation that cannot be used (default: report it, "
        "and go on)",
    )
    group.add_argument(
        "--tolerance",
        type=float,
        default=0.5,
        metavar="ELECTRONS",
        help="list structures whose states up to the Fermi level differ by more from "
        "their electrons (default %(default)s: smeared occupations of a metal differ "
        "by some tenths, mistakes by whole electrons)",
    )
