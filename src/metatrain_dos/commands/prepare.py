"""Make the data set that :mod:`.prepare_arguments` asks for."""

import argparse
import math
import sys
from concurrent.futures import BrokenExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..data.defaults import (
    COARSEST,
    DEFAULT_ALLOWANCE,
    DEFAULT_REFERENCE,
    DEFAULT_SMEARING,
    LARGE_MEMORY,
    TRUST_MARGIN,
)
from ..data.prepare import training_cost
from ..data.prepare.align import align
from ..data.prepare.find import find_sources
from ..data.prepare.grouping import FAMILY, NONE, split_structures
from ..data.prepare.index import Index
from ..data.prepare.options import PrepareOptions
from ..data.prepare.read import read_all
from ..data.prepare.report import Report
from ..data.prepare.report_lines import report_lines
from ..data.prepare.split import parse_fractions
from ..data.prepare.valences import find_valences
from ..data.prepare.workers import open_workers
from ..data.prepare.write import ambiguous_split, write_splits
from ..data.presets import PRESETS, spec_file
from ..data.target_spec import TargetSpec
from ..data.writers import DATASET_FORMATS
from ..figures import plot_trusted_ranges
from ..figures.style import default_settings
from ..loss.defaults import DEFAULT_SPACING
from ..utils.atomic import atomic_folder
from ..utils.text import shorten


GRID_OPTIONS = {
    "spacing": "--grid-spacing",
    "energy_range": "--energy-range",
    "smearing": "--smearing",
    "extra_targets": "--extra-targets",
    "trust_margin": "--trust-margin",
    "reference": "--reference",
    "spin_resolved": "--spin-resolved",
    "projected": "--projected",
}
"""Field of the options -> argument, for those that ``--like`` takes over."""


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    names = PrepareOptions.__dataclass_fields__
    given = {name: value for name, value in vars(arguments).items() if name in names}
    options = PrepareOptions(**given)
    again = "the same command goes on where it was"
    try:
        report = prepare(options)
    except KeyboardInterrupt:
        print(f"mtt-dos prepare: interrupted; {again}", file=sys.stderr)
        sys.exit(130)
    except BrokenExecutor as error:
        sys.exit(f"mtt-dos prepare: a worker process died ({error}); {again}")
    except (ConnectionError, ValueError) as error:
        sys.exit(f"mtt-dos prepare: {error}")
    except OSError as error:  # a full disk, most likely
        sys.exit(f"mtt-dos prepare: {error}; when there is room, {again}")
    except MemoryError as error:
        sys.exit(
            f"mtt-dos prepare: expected more memory ({error}); give fewer --workers, "
            f"and {again}"
        )
    print("\n".join(report_lines(report)))
    print(f"\nnext: mtt-dos check {options.output / 'options.yaml'}")
    print(f"then: cd {options.output} && mtt train options.yaml")


def prepare(options: PrepareOptions) -> Report:
    """Make a data set, with its options file, report and figure."""
    fractions = parse_fractions(options.split)
    for name in ("seed", "tolerance"):
        value = getattr(options, name)
        if not value >= 0:
            raise ValueError(f"{name}: expected a number >= 0, got {value}; change it")
    like = None if options.like is None else _read_like(options)
    projected = bool(like.projected if like else options.projected)
    for name, why in (
        ("spin_resolved", "targets of atoms are summed over spin"),
        ("steps", "codes write the projections of the last step only"),
    ):
        if projected and getattr(options, name):
            option = f"--{name.replace('_', '-')}"
            raise ValueError(
                f"{option}: expected not to be given with --projected, because {why}; "
                "leave one of them out"
            )
    smearing = DEFAULT_SMEARING if options.smearing is None else options.smearing
    smearing = like.smearing if like else smearing
    if not 0 < smearing < math.inf:
        raise ValueError(
            f"smearing: expected an energy > 0 in eV, got {smearing}; "
            f"{DEFAULT_SMEARING} suits usual grids of k-points"
        )
    # Keywords of readers.
    given: dict[str, Any] = {
        "smearing": options.dos_smearing,
        "energy_range": options.dos_range,
        "steps": options.steps or None,
        "projected": projected or None,
    }
    with atomic_folder(options.output, resume=True) as made:
        found = find_sources(
            options.sources,
            lists=options.lists,
            leave_out=[options.output, made.parent],
        )
        # Workers may run elsewhere, where another folder is the current one.
        cache = made.parent.resolve() / "cache"
        labels = {options.group_by, options.stratify_by} - {None, FAMILY, NONE}
        with open_workers(options.workers, options.scheduler) as workers:
            index = read_all(
                found,
                cache,
                workers,
                labels=sorted(filter(None, labels)),
                smearing=smearing,
                options={key: each for key, each in given.items() if each is not None},
                strict=options.strict,
            )
            reference = options.reference or DEFAULT_REFERENCE
            if (like.reference if like else reference) == "neutral":
                align(index, cache, workers, smearing)
            spec = like or _choose_spec(options, index, smearing)
            best = index.best_of_equal()
            used = index.usable(spec)
            problems = list(index.problems(spec))
            if problems and options.strict:
                raise ValueError(str(problems[0]))
            if not used.any():
                raise ValueError(
                    "SOURCES: expected structures that fit the grid, got none of "
                    f"{len(used)}; the first says: {problems[0]}"
                )
            if not options.keep_duplicates:
                used &= best == np.arange(len(used))
            related, split_of, grouping = split_structures(
                options, fractions, index, used
            )
            format = options.format or _choose_format(index, split_of, spec)
            recipe = write_splits(
                made,
                index,
                split_of,
                spec,
                cache,
                workers,
                format=format,
                energy=options.energy,
                architecture=options.architecture,
            )
        report = Report(
            index,
            split_of,
            best,
            related,
            grouping,
            fractions,
            spec,
            problems,
            found.kinds_unread(projected=projected),
            recipe,
            tolerance=options.tolerance,
            format=format,
        )
        try:
            _draw(made / "trusted-ranges.png", index, split_of, spec)
        except Exception as error:  # matplotlib raises whatever it likes
            report.warnings.append(f"trusted-ranges.png is missing: {shorten(error)}")
        files = [path for path in made.rglob("*") if path.is_file()]
        report.disk = sum(path.stat().st_size for path in files)
        if report.memory:
            report.seconds = training_cost.seconds(
                made / f"training{DATASET_FORMATS[format].suffix}",
                structures=int((split_of >= 0).sum()),
                arrays=2,
            )
        report.write(made / "report.json")
    return report


def _read_like(options: PrepareOptions) -> TargetSpec:
    """Take the settings of another data set."""
    for name, option in GRID_OPTIONS.items():
        if getattr(options, name) is not None:
            raise ValueError(
                f"{option}: expected to come from the grid.json of --like, got a value "
                "of its own; leave one of them out"
            )
    try:
        return TargetSpec.read(spec_file(Path(options.like or "")))
    except OSError as error:
        raise ValueError(
            f"--like: expected a data set with a grid.json, or {', '.join(PRESETS)}, "
            f"but it cannot be read ({error}); check the path"
        ) from error


def _choose_spec(options: PrepareOptions, index: Index, smearing: float) -> TargetSpec:
    """Make the grid for all structures, and find the electrons of their elements."""
    given = {name: getattr(options, name) for name in GRID_OPTIONS}
    given["reference"] = options.reference or DEFAULT_REFERENCE
    if options.spacing is None:
        given["spacing"] = min(DEFAULT_SPACING, COARSEST * smearing)
    if options.trust_margin is None:
        given["trust_margin"] = round(TRUST_MARGIN * smearing, 6)
    # A spacing that is smaller is refused later.
    if options.extra_targets is None and given["spacing"] > 1e-4:
        given["extra_targets"] = math.ceil(DEFAULT_ALLOWANCE / given["spacing"])
    spec = index.spec(**{k: value for k, value in given.items() if value is not None})
    numbers, compositions = index.labels("composition")
    # Many structures have the same composition and electrons.
    pairs = np.unique(np.stack([numbers, index.rows["electrons"]], -1), axis=0)
    valences = find_valences([compositions[int(i)] for i, _ in pairs], pairs[:, 1])
    return replace(spec, valences=valences or None)


def _choose_format(index: Index, split_of: np.ndarray, spec: TargetSpec) -> str:
    """Choose what people can read, unless it takes much memory in a training run."""
    if training_cost.memory_of(index, split_of >= 0, spec) < LARGE_MEMORY:
        return "xyz"
    return "zip" if ambiguous_split(index, split_of, spec) else "memmap"


def _draw(path: Path, index: Index, split_of: np.ndarray, spec: TargetSpec) -> None:
    """Draw the trusted ranges of the structures of a data set."""
    used = split_of >= 0
    zeros = index.zeros(spec.reference)[used]
    numbers, names = index.labels("material")
    with default_settings():
        figure = plot_trusted_ranges(
            index.rows["lowest"][used] - zeros,
            index.trusted(spec)[used],
            numbers[used],
            names,
            fermi_levels=index.rows["fermi"][used] - zeros,
            grid=spec.grid,
        )
        figure.savefig(path, dpi=110)
