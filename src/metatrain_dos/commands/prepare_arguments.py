"""Turn finished calculations into a data set that ``mtt train`` trains on."""

import argparse
import os
from pathlib import Path

from ..data.defaults import (
    COARSEST,
    DEFAULT_ALLOWANCE,
    DEFAULT_REFERENCE,
    DEFAULT_SMEARING,
    FORMATS,
    LARGE_MEMORY,
    REFERENCES,
    TRUST_MARGIN,
)
from ..data.prepare.options import PrepareOptions
from ..data.recipe import MODELS
from ..loss.defaults import DEFAULT_SPACING


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add all options. Those that are not given are not in the parsed arguments."""
    parser.argument_default = argparse.SUPPRESS
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
        metavar="FILE",
        help="file with one source in each line, relative to the file; same as @FILE",
    )
    add = parser.add_argument_group("targets").add_argument
    add(
        "--like",
        type=Path,
        metavar="DATASET",
        help="take all of the following, and the split of known structures and their "
        "relatives, from another data set, so that its models fit this one, too, or "
        "the columns of the published model pet-mad-dos; "
        "structures that do not fit its grid are left out",
    )
    add(
        "--grid-spacing",
        dest="spacing",
        type=float,
        metavar="EV",
        help=f"distance between two energies (default {DEFAULT_SPACING} or, if "
        f"that is less, {COARSEST:g} x the smearing, which shows all there is)",
    )
    add(
        "--energy-range",
        nargs=2,
        type=float,
        metavar=("FIRST", "LAST"),
        help="energies of the grid, eV, relative to --reference; leaves room for "
        "structures that are added later with --like (default: as far as the "
        "structures need)",
    )
    add(
        "--smearing",
        type=float,
        metavar="EV",
        help="standard deviation of the Gaussian for each eigenvalue (default "
        f"{DEFAULT_SMEARING}: bridges the gaps between the k-points of usual grids)",
    )
    add(
        "--extra-targets",
        type=int,
        metavar="COLUMNS",
        help="columns that the prediction has more than the target, along which the "
        f"loss slides it (default {DEFAULT_ALLOWANCE:g} eV: about as far as energy "
        "zeros differ)",
    )
    add(
        "--trust-margin",
        type=float,
        metavar="EV",
        help="how far below the minimum of the highest band a target is trusted "
        f"(default {TRUST_MARGIN:g} x the smearing, within which states that were not "
        "computed would count)",
    )
    add(
        "--reference",
        choices=list(REFERENCES),
        help=f"zero of the energies (default {DEFAULT_REFERENCE}: the smaller the "
        "shifts, the better the model; "
        + "; ".join(f"{name}: {what}" for name, what in REFERENCES.items())
        + ")",
    )
    add(
        "--spin-resolved",
        action="store_true",
        help="keep the two spin channels apart, side by side in the columns of the "
        "target, where the loss aligns them with one shift (default: their sum, which "
        "most people want, in half the columns)",
    )
    add(
        "--projected",
        action="store_true",
        help="make targets of atoms, which add up to the DOS, from projections: "
        "<projected> of vasprun.xml, PROCAR beside it, or atomic_proj.xml of projwfc.x "
        "(default: one target for each structure)",
    )
    add = parser.add_argument_group("DOS that is on a grid already").add_argument
    add(
        "--dos-smearing",
        type=float,
        metavar="EV",
        help="standard deviation of the Gaussians of which it is made, 0 for "
        "tetrahedra, where the outputs beside it do not say it; up to --smearing, "
        "Gaussians are added (default: such a DOS is not used)",
    )
    add(
        "--dos-range",
        nargs=2,
        type=float,
        metavar=("FIRST", "LAST"),
        help="its first and last energy, eV, where the files have none: deepmd-kit "
        "(default: such a DOS is not used)",
    )
    add = parser.add_argument_group("structures and their split").add_argument
    add(
        "--steps",
        action="store_true",
        help="take all steps of a relaxation or trajectory whose eigenvalues are in "
        "the file, in one split (default: the last one)",
    )
    add(
        "--keep-duplicates",
        action="store_true",
        help="keep all calculations of the same structure, in one split (default: the "
        "one with most k-points, then bands, then digits, then the last)",
    )
    add(
        "--split",
        metavar="FRACTIONS",
        help="fractions of training, validation and test (default "
        f"{PrepareOptions.split}: as usual); a hash of each structure and its "
        "relatives decides, so that most stay where they are when others are added",
    )
    add(
        "--seed",
        type=int,
        help=f"seed of that hash (default {PrepareOptions.seed}: the same data set "
        "every time)",
    )
    add(
        "--group-by",
        metavar="WHAT",
        help="keep structures together that agree in this: 'family' (near relatives, "
        "such as the steps of a trajectory), 'formula', 'folder', a key of their info, "
        "or 'none' (default family, but none with --stratify-by; relatives in both "
        "training and test make errors look small)",
    )
    add(
        "--stratify-by",
        metavar="WHAT",
        help="split each formula, folder or value of a key of the info on its own, so "
        "that each has a structure in validation and in test (default: all in one)",
    )
    add = parser.add_argument_group("files and processes").add_argument
    add(
        "--energy",
        action="store_true",
        help="train on the energy, too, and on forces and stress where every structure "
        "has them (default: only on the DOS)",
    )
    add(
        "--architecture",
        choices=list(MODELS),
        help="network of the options file, in a size and with a length of training "
        "that suit the data set; for other networks, and for metatrain's own sizes, "
        f"edit that file (default {PrepareOptions.architecture}: on 100 structures two "
        "thirds of the error of PET in the same time)",
    )
    add(
        "--format",
        choices=FORMATS,
        help="xyz is extended XYZ, which people can read; zip (metatrain's "
        "DiskDataset) and memmap (single precision) are read from disk batch by batch "
        "(default xyz where metatrain takes less than "
        f"{LARGE_MEMORY / 1e6:.0f} MB of memory for it, else memmap)",
    )
    add(
        "--workers",
        type=int,
        default=os.cpu_count() or 1,
        metavar="N",
        help="processes on this machine (default %(default)s: one for each core)",
    )
    add(
        "--scheduler",
        metavar="ADDRESS",
        help="use the workers of a Dask cluster, which must see the same files; needs "
        "metatrain-dos[dask] (default: --workers)",
    )
    add(
        "--strict",
        action="store_true",
        help="stop at the first calculation that cannot be used (default: report it, "
        "and go on)",
    )
    add(
        "--tolerance",
        type=float,
        metavar="ELECTRONS",
        help="list structures whose states up to the Fermi level differ by more from "
        f"their electrons (default {PrepareOptions.tolerance}: smeared occupations of "
        "a metal differ by some tenths, mistakes by whole electrons)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    from .prepare import run  # which takes a second to import

    run(arguments)
