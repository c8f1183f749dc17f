"""From a model and data to a report."""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..data.target_spec import TargetSpec
from ..loss.options import MaskedDOSHypers
from ..models.axis import find_axis, training_loss
from ..models.comparison import Comparison
from ..models.error_table import ErrorTable
from ..models.evaluation_data import find_data
from ..models.model import DOSModel
from ..models.selection import choose, collect
from ..utils.atomic import atomic_folder
from ..utils.progress import progress
from .plan import Plan
from .report_figures import draw
from .report_page import SUMMARY, format_number, write_page


PAGE, CSV, JSON, FIGURES = "report.html", "errors.csv", "errors.json", "figures"
"""Content of the folder of a report."""

# Materials that are listed on the terminal.
SHOWN = 10


def evaluate(plan: Plan) -> list[str]:
    """
    Compare a model with data, and write the report.

    :param plan: what to compare, and where to write
    :return: what to say on the terminal
    :raises ValueError: if model and data do not fit, or the folder is not free
    """
    with atomic_folder(plan.output, is_replaceable=_is_report) as folder:
        model = DOSModel.load(
            plan.model,
            target=plan.target,
            device=plan.device,
            extensions=plan.extensions,
        )
        axis = find_axis(
            model,
            near=[plan.data],
            grid=plan.grid,
            spacing=plan.spacing,
            extra_targets=plan.extra_targets,
        )
        loss = training_loss(model)
        comparison = Comparison(
            model,
            find_data(plan.data, model.target),
            axis,
            tail_weight=_tail_weight(plan, loss),
            batch_size=plan.batch_size,
        )
        start = time.perf_counter()
        table = _fill(comparison, loss)
        seconds = time.perf_counter() - start
        chosen, missing = choose(table, plan.structures)
        facts = _facts(plan, comparison, seconds)
        warnings = list(_warnings(table, axis, missing))

        drawn = collect(comparison, table, chosen)
        (folder / FIGURES).mkdir()
        pictures = draw(folder / FIGURES, table, axis, drawn)
        page = write_page(
            f"Predicted and computed DOS: {plan.model.name}, {plan.data.name}",
            facts,
            warnings,
            table,
            pictures,
            zeros_known=any(each.zero is not None for each in drawn),
        )
        (folder / PAGE).write_text(page, encoding="utf-8")
        table.write_csv(folder / CSV)
        head = {
            "version": __version__,
            **facts,
            "warnings": warnings,
            "summary": table.statistics(),
            "materials": table.by_material(),
        }
        table.write_json(folder / JSON, head)
    return [*_summary(table, facts), *warnings, f"report: {plan.output / PAGE}"]


def _is_report(folder: Path) -> bool:
    """Tell whether a folder holds nothing but an older report."""
    names = {path.name for path in folder.iterdir()}
    return PAGE in names and names <= {PAGE, CSV, JSON, FIGURES}


def _tail_weight(plan: Plan, loss: MaskedDOSHypers | None) -> float:
    """Align as the training did, unless told otherwise."""
    if plan.tail_weight is not None:
        if not 0 <= plan.tail_weight < np.inf:
            raise ValueError(
                f"tail_weight: expected a finite number >= 0, got {plan.tail_weight}; "
                "1 is what the loss has"
            )
        return plan.tail_weight
    return MaskedDOSHypers().tail_weight if loss is None else loss.tail_weight


def _fill(comparison: Comparison, loss: MaskedDOSHypers | None) -> ErrorTable:
    """Measure all structures."""
    weights = None
    if loss is not None:
        weights = {
            "masked": 1.0,
            "tail": comparison.tail_weight,
            "gradient": loss.grad_weight,
            "cumulative": loss.int_weight,
        }
    table = ErrorTable(weights)
    with progress("evaluate", "structure") as bar:
        for batch in comparison.batches():
            table.add(batch)
            bar.update(len({place[:2] for place in batch.places}))
    if len(table) == 0:
        raise ValueError(
            f"data: expected structures, got none in {comparison.sections[0].source}; "
            "give a data set that has some"
        )
    return table


def _facts(plan: Plan, comparison: Comparison, seconds: float) -> dict[str, str]:
    """Say what was compared, and how."""
    axis, model = comparison.axis, comparison.model
    return {
        "model": str(plan.model),
        "data": str(plan.data),
        "target": model.target,
        "columns": f"{axis.columns}, of which {axis.extra_targets} extra, in steps of "
        f"{axis.spacing:g} eV, from {axis.source}",
        "tail_weight": f"{comparison.tail_weight:g}",
        "device": f"{model.device}, {seconds:.1f} s",
    }


def _warnings(
    table: ErrorTable, axis: TargetSpec, missing: Sequence[int]
) -> Iterator[str]:
    """Say what the reader should know first."""
    untrusted = int((table["trusted"] == 0).sum())
    if untrusted:
        yield (
            f"{untrusted} of {len(table)} {table.kind} are trusted nowhere, and count "
            "for nothing: their mask is false everywhere"
        )
    broken = int(((table["trusted"] > 0) & ~np.isfinite(table["rmse"])).sum())
    if broken:
        yield (
            f"{broken} of {len(table)} {table.kind} have predictions that are not "
            "finite, and no errors"
        )
    longest = axis.extra_targets * axis.spacing
    shifts = table["shift"]
    at_end = int(((shifts <= 0) | (shifts >= longest)).sum())
    if at_end and axis.extra_targets:
        yield (
            f"{at_end} of {len(table)} {table.kind} slid to one end of the "
            f"{longest:g} eV that they can; with more extra_targets in a training, "
            "they might fit better"
        )
    if missing:
        yield f"asked for, but not there or not trusted: {', '.join(map(str, missing))}"


def _summary(table: ErrorTable, facts: Mapping[str, Any]) -> Iterator[str]:
    """Say the most important on the terminal."""
    for name, text in facts.items():
        yield f"{name.replace('_', ' '):<12}{text}"
    yield ""
    heads = ("median", "mean", "90 %", "largest")
    yield f"{f'{len(table)} {table.kind}':<31}" + "".join(f"{h:>10}" for h in heads)
    for name, values in table.statistics().items():
        if name in SUMMARY and values["median"] is not None:
            numbers = (format_number(name, value) for value in values.values())
            yield f"{SUMMARY[name]:<31}" + "".join(f"{x:>10}" for x in numbers)
    materials = table.by_material()
    yield ""
    yield f"{'medians by material':<31}{'RMSE/atom':>10}{'relative':>10}{'count':>10}"
    for row in materials[:SHOWN]:
        numbers = (
            format_number(name, row[name])
            for name in ("rmse_per_atom", "relative_rmse")
        )
        cells = "".join(f"{x:>10}" for x in (*numbers, row["structures"]))
        yield f"{row['material'][:30]:<31}{cells}"
    if len(materials) > SHOWN:
        yield f"... the worst of {len(materials)}; all are in {JSON}"
    yield ""
