"""Turn finished calculations into a data set that ``mtt train`` trains on."""

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from ..data.prepare.find import find_sources
from ..data.prepare.index import Catalogue
from ..data.prepare.pipeline import assemble, collect
from ..data.prepare.report import Report
from ..data.prepare.split import parse_fractions, split
from ..data.prepare.workers import open_workers
from ..data.target_spec import TargetSpec
from ..figures import plot_trusted_ranges
from ..utils.atomic import atomic_folder
from .prepare_arguments import CHOICES
from .prepare_arguments import add_arguments as add_arguments


@dataclass(frozen=True)
class Plan:
    """
    Hold what the user asks for; the command's help says what each of it means.

    What is ``None`` in a field that ``grid.json`` has, too, takes its default, or with
    ``like`` what is written there.
    """

    sources: Sequence[str]
    output: Path
    lists: Sequence[str] = ()
    like: Path | None = None
    spacing: float | None = None
    smearing: float | None = None
    extra_targets: int | None = None
    trust_margin: float | None = None
    reference: str | None = None
    spin_resolved: bool | None = None
    split: str = "0.8,0.1,0.1"
    seed: int = 0
    group_by: str | None = None
    stratify_by: str | None = None
    format: str = "xyz"
    workers: int = 1
    scheduler: str | None = None
    strict: bool = False
    tolerance: float = 0.5


def run(arguments: argparse.Namespace) -> None:
    """
    Run the command.

    :param arguments: what its parser has parsed
    """
    plan = Plan(**{each.name: getattr(arguments, each.name) for each in fields(Plan)})
    again = "the same command goes on where it was"
    try:
        report = prepare(plan)
    except KeyboardInterrupt:
        print(f"mtt-dos prepare: interrupted; {again}", file=sys.stderr)
        sys.exit(130)
    except BrokenExecutor as error:
        sys.exit(f"mtt-dos prepare: a worker process died ({error}); {again}")
    except ConnectionError as error:
        sys.exit(f"mtt-dos prepare: {error}")
    except OSError as error:  # a full disk, most likely
        sys.exit(f"mtt-dos prepare: {error}; when there is room, {again}")
    except MemoryError as error:
        sys.exit(
            f"mtt-dos prepare: expected more memory ({error}); give fewer --workers, "
            f"and {again}"
        )
    except ValueError as error:
        sys.exit(f"mtt-dos prepare: {error}")
    print("\n".join(report.lines()))
    print(f"\nnext: cd {plan.output} && mtt train options.yaml")


def prepare(plan: Plan) -> Report:
    """
    Make a data set, with its options file, report and figure.

    :param plan: what to make
    :return: what is in it
    :raises ValueError: if the plan does not fit the calculations
    """
    fractions = parse_fractions(plan.split)
    for name, value in (("seed", plan.seed), ("tolerance", plan.tolerance)):
        if not value >= 0:
            raise ValueError(f"{name}: expected a number >= 0, got {value}; change it")
    given = None if plan.like is None else _like(plan)
    with atomic_folder(plan.output, resume=True) as made:
        sources = find_sources(
            plan.sources, lists=plan.lists, leave_out=[plan.output, made.parent]
        )
        labels = dict.fromkeys(
            ["material", *filter(None, [plan.group_by, plan.stratify_by])]
        )
        # Workers may run elsewhere, where another folder is the current one.
        spool = made.parent.resolve() / "cache"
        with open_workers(plan.workers, plan.scheduler) as workers:
            catalogue = collect(
                sources, spool, tuple(labels), workers, strict=plan.strict
            )
            spec = given or _spec(plan, catalogue)
            problems = list(catalogue.problems(spec))
            if problems and plan.strict:
                first = problems[0]
                raise ValueError(
                    f"{first.source}, structure {first.number}: {first.reason}"
                )
            split_of = _split(plan, fractions, catalogue, spec)
            assemble(
                made,
                catalogue,
                split_of,
                spec,
                spool,
                workers,
                format=plan.format,
            )
        _draw(made / "trusted-ranges.png", catalogue, split_of, spec)
        files = [path for path in made.rglob("*") if path.is_file()]
        report = Report(
            catalogue,
            split_of,
            spec,
            problems,
            tolerance=plan.tolerance,
            format=plan.format,
            disk=sum(path.stat().st_size for path in files),
        )
        report.write(made / "report.json")
    return report


def _like(plan: Plan) -> TargetSpec:
    """Take the choices of another data set."""
    for name, option in CHOICES.items():
        if getattr(plan, name) is not None:
            raise ValueError(
                f"{option}: expected to come from the grid.json of --like, got a value "
                "of its own; leave one of them out"
            )
    path = Path(plan.like or "")
    try:
        return TargetSpec.read(path / "grid.json" if path.is_dir() else path)
    except OSError as error:
        raise ValueError(
            f"--like: expected a data set with a grid.json, but it cannot be read "
            f"({error}); check the path"
        ) from error


def _spec(plan: Plan, catalogue: Catalogue) -> TargetSpec:
    """Make the grid that covers all structures that say what is asked of them."""
    choices = {name: getattr(plan, name) for name in CHOICES}
    choices = {name: value for name, value in choices.items() if value is not None}
    return catalogue.spec(**choices)


def _split(
    plan: Plan,
    fractions: Sequence[float],
    catalogue: Catalogue,
    spec: TargetSpec,
) -> np.ndarray:
    """Give each structure the number of its split, or -1."""
    usable = catalogue.usable(spec)
    if not usable.any():
        raise ValueError(
            "SOURCES: expected structures that fit the grid, got none of "
            f"{len(usable)}; compare them with {spec.grid}"
        )
    groups, strata = (
        None if name is None else _numbers(catalogue, option, name)
        for option, name in (
            ("group_by", plan.group_by),
            ("stratify_by", plan.stratify_by),
        )
    )
    structures = int(usable.sum())
    split_of = np.full(len(usable), -1, dtype=np.int8)
    split_of[usable] = split(
        fractions,
        plan.seed,
        np.arange(structures) if groups is None else groups[usable],
        np.zeros(structures, int) if strata is None else strata[usable],
    )
    if not (split_of == 1).any():
        raise ValueError(
            f"split: expected something for validation, got nothing of {structures} "
            "structures; give more, or smaller groups"
        )
    return split_of


def _numbers(catalogue: Catalogue, option: str, name: str) -> np.ndarray:
    """Look up a label that every structure must have."""
    numbers, known = catalogue.labels(name)
    if "" in known:
        i = int(np.flatnonzero(numbers == known.index(""))[0])
        source = catalogue.sources[catalogue.facts["record"][i]]
        raise ValueError(
            f"{option}: expected {name!r} in the info of every structure, but "
            f"{source} has none; use 'formula' or 'folder'"
        )
    return numbers


def _draw(
    path: Path,
    catalogue: Catalogue,
    split_of: np.ndarray,
    spec: TargetSpec,
) -> None:
    """Draw the trusted ranges of the structures of a data set."""
    used = split_of >= 0
    zeros = catalogue.zeros(spec.reference)[used]
    numbers, names = catalogue.labels("material")
    figure = plot_trusted_ranges(
        catalogue.facts["lowest"][used] - zeros,
        catalogue.trusted(spec)[used],
        numbers[used],
        names,
        fermi_levels=catalogue.facts["fermi"][used] - zeros,
        grid=spec.grid,
    )
    figure.savefig(path, dpi=110)
