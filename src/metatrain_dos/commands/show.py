"""
Draw one structure of a data set: its DOS, the energies at which that is trusted, and
the calculation that it comes from.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from ..data.defaults import SOURCES_FILE


# Number of the report -> name on the terminal and unit.
NUMBERS = {
    "family": ("family", ""),
    "step": ("step", ""),
    "steps": ("steps in file", ""),
    "mesh": ("k-points", " in the full mesh"),
    "bands": ("bands", ""),
    "electrons": ("electrons", ""),
    "missing_electrons": ("missing", " electrons up to the Fermi level"),
    "on_atoms": ("on atoms", " of each occupied state"),
    "empty_on_atoms": ("empty", " of each empty state on atoms"),
    "lowest_state": ("lowest state", " eV"),
    "trusted_limit": ("trusted up to", " eV"),
    "fermi_level": ("Fermi level", " eV"),
    "kpoint_error": ("k-point error", " of the DOS"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "dataset", type=Path, metavar="DATASET", help="folder that `prepare` has made"
    )
    parser.add_argument(
        "index",
        type=int,
        metavar="INDEX",
        help="number of the structure in its set, counted from 0",
    )
    parser.add_argument(
        "--set",
        dest="split",
        choices=["training", "validation", "test"],
        default="training",
        help="set of the structure (default %(default)s)",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FIGURE",
        help="figure to write (default: SET-INDEX.png, here)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    split, index = arguments.split, arguments.index
    output = arguments.output or Path(f"{split}-{index}.png")
    try:
        for line in show(arguments.dataset, f"{split}_set", index, output):
            print(line)
    except (OSError, ValueError) as error:
        sys.exit(f"mtt-dos show: {error}")


def show(folder: Path, split: str, index: int, output: Path) -> Iterator[str]:
    """Draw a structure of ``training_set`` or another, and describe it in lines."""
    # Imported here because `mtt-dos show --help` should not wait for them.
    import numpy as np

    from ..data.options_file import OptionsFile
    from ..data.samples import samples
    from ..data.sections import read_sections
    from ..data.target_spec import TARGET, TargetSpec
    from ..figures.style import default_settings
    from ..figures.target import plot_target

    spec = TargetSpec.read(folder / "grid.json")
    sections = read_sections(OptionsFile.read(folder / "options.yaml"), split)
    found = samples(sections[0], TARGET) if sections and index >= 0 else iter(())
    sample = next(islice(found, max(index, 0), None), None)
    if sample is None:
        raise ValueError(
            f"index: expected the number of a structure in the {split}, got "
            f"{index}; {folder / SOURCES_FILE} lists them"
        )
    if spec.projected:
        symbols = np.array(sample.atoms.get_chemical_symbols())
        targets = {
            str(each): (sample.target[symbols == each], sample.counts[symbols == each])
            for each in dict.fromkeys(symbols)
        }
    else:
        names = ("up", "down") if spec.spin_resolved else (TARGET,)
        arrays = sample.target, sample.counts
        channels = (np.split(values[0], len(names)) for values in arrays)
        targets = dict(zip(names, zip(*channels, strict=True), strict=True))
    formula = str(sample.atoms.get_chemical_formula())
    report = json.loads((folder / "report.json").read_text("utf-8"))
    rows = (row for row in report["trusted_ranges"] if row["split"] == split)
    row = next(islice(rows, index, None))
    with default_settings():
        title = f"{split} {index}: {formula}"
        plot_target(spec.energies, targets, title, row.get("fermi_level")).savefig(
            output, dpi=150
        )
    yield f"{'structure':<15}{title}"
    yield f"{'source':<15}{row['source']}, structure {row['number']}"
    for key, (name, unit) in NUMBERS.items():
        if row.get(key) is not None:
            yield f"{name:<15}{row[key]:g}{unit}"
    yield f"{'figure':<15}{output}"
