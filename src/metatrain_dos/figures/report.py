"""Compare a model with data, and write the report."""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..data.defaults import LARGE_KPOINT_ERROR
from ..data.target_spec import TargetSpec
from ..loss.options import MaskedDOSHypers, validate_hypers
from ..loss.terms import TERMS
from ..models.axis import find_axis, training_loss
from ..models.comparison import compare
from ..models.earlier_report import Change, EarlierReport
from ..models.electrons import electron_counter, refuse_more_lines
from ..models.error_columns import COLUMNS, OVERALL
from ..models.error_table import ErrorTable
from ..models.evaluation_data import find_data
from ..models.model import DOSModel
from ..models.selection import Selection
from ..utils.atomic import atomic_folder
from ..utils.progress import progress
from .chemiscope_file import refuse_chemiscope_file, write_comparison
from .report_figures import draw
from .report_page import change_rows, format_number, render_page, summary_rows
from .style import default_settings


PAGE, CSV, JSON, FIGURES = "report.html", "errors.csv", "errors.json", "figures"
"""Content of the folder of a report."""

# Materials that are listed on the terminal.
SHOWN = 10


def evaluate(
    models: Sequence[Path],
    data: Path,
    output: Path,
    *,
    structures: Collection[int] = (),
    compare_with: Path | None = None,
    chemiscope: Path | None = None,
    electrons: str | float | None = None,
    valences: str | None = None,
    tail_weight: float | None = None,
    batch_size: int,
    target: str | None = None,
    device: str,
    extensions: Path | None = None,
    **axis: Any,
) -> list[str]:
    """
    Compare a model with data, and write the report.

    :param data: data set or options file, as :func:`find_data` takes it
    :param structures: structures to draw in any case
    :param compare_with: earlier report on the same data, to compare with
    :param chemiscope: file for the viewer chemiscope, to write all rows to, too
    :param electrons: number of electrons, or where to find it, as
        :func:`~metatrain_dos.models.electrons.electron_counter` takes it
    :param valences: electrons of each element, instead; those of the ``grid.json``
        unless given
    :param tail_weight: weight of the prediction in front of a target, in the alignment;
        that of the training run unless given
    :param axis: keywords of :func:`~metatrain_dos.models.axis.find_axis`
    :raises ValueError: if model and data do not fit, or the folder is not free
    """
    if chemiscope is not None:
        refuse_chemiscope_file(chemiscope)
    with atomic_folder(output, is_replaceable=_is_report) as folder:
        members = [
            DOSModel.load(file, target=target, device=device, extensions=extensions)
            for file in models
        ]
        loaded = members[0]
        if len({(each.target, each.columns) for each in members}) > 1:
            shown = ", ".join(f"{e.columns} of {e.target!r}" for e in members)
            raise ValueError(
                f"models: expected the same target and columns of all, got {shown}; "
                "evaluate models of the same data set together"
            )
        loss = training_loss(loaded)
        options = (loss or MaskedDOSHypers()).model_dump()
        if tail_weight is not None:
            options["tail_weight"] = tail_weight
        hypers = validate_hypers(MaskedDOSHypers, options, loss_type="masked_dos")
        sections = find_data(data, loaded.target)
        spec = find_axis(loaded, near=[data], **axis)
        batches = compare(
            members,
            sections,
            spec,
            count_electrons=electron_counter(electrons, valences, spec.valences),
            tail_weight=hypers.tail_weight,
            shift_per=hypers.shift_per,
            batch_size=batch_size,
        )
        start = time.perf_counter()
        table, selection = ErrorTable(hypers if loss else None), Selection(structures)
        kept = []
        with progress("evaluate", "structure") as bar:
            for batch in batches:
                if chemiscope is not None:
                    kept.append(batch)
                table.add(batch)
                selection.add(batch)
                bar.update(len({row_id[:2] for row_id in batch.row_ids}))
        if len(table) == 0:
            raise ValueError(
                f"data: expected structures, got none in {sections[0].source}; give a "
                "data set that has some"
            )
        count = 1 + max(row_id.structure for row_id in table.row_ids)
        refuse_more_lines(electrons, count)
        if outside := [each for each in structures if not 0 <= each < count]:
            raise ValueError(
                f"structures: expected numbers from 0 to {count - 1}, got "
                f"{', '.join(map(str, outside))}; count from 0 in the order of the data"
            )
        earlier = EarlierReport(compare_with, table) if compare_with else None
        facts = {
            "model": ", ".join(map(str, models)),
            "data": str(data),
            **_facts(table, earlier),
            "target": loaded.target,
            "columns": f"{spec.columns}, of which {spec.extra_targets} extra, in steps "
            f"of {spec.grid.spacing:g} eV, from {spec.source}",
            "tail_weight": f"{hypers.tail_weight:g}",
            "device": f"{loaded.device}, {time.perf_counter() - start:.1f} s",
        }
        statistics, materials = table.statistics(), table.by_material()
        ranks, missing = selection.ranked(statistics["relative_rmse"]["median"] or 0.0)
        warnings = list(_warnings(table, spec))
        if missing:
            shown = ", ".join(map(str, missing))
            warnings.append(f"asked for, but trusted nowhere: {shown}")
        changes = earlier.changes() if earlier else {}
        (folder / FIGURES).mkdir()
        with default_settings():
            figures = draw(folder / FIGURES, table, spec, ranks, earlier)
        page = render_page(
            f"{loaded.target} of {', '.join(m.name for m in models)} on {data.name}",
            facts,
            warnings,
            table,
            figures,
            changes,
        )
        (folder / PAGE).write_text(page, encoding="utf-8")
        table.write_csv(folder / CSV)
        head = {
            "version": __version__,
            **facts,
            "warnings": warnings,
            "overall": table.overall(),
            "summary": statistics,
            "materials": materials,
            "changes": {name: change._asdict() for name, change in changes.items()},
        }
        table.write_json(folder / JSON, head)
    if chemiscope is not None:
        write_comparison(chemiscope, kept, table, spec.grid.energies)
    return [
        *(f"{name.replace('_', ' '):<12}{text}" for name, text in facts.items()),
        "",
        *_summary(table, materials, changes),
        "",
        *warnings,
        *([] if chemiscope is None else [f"chemiscope: {chemiscope}"]),
        f"report: {output / PAGE}",
    ]


def _is_report(folder: Path) -> bool:
    """Tell whether a folder holds nothing but an older report."""
    names = {path.name for path in folder.iterdir()}
    return PAGE in names and names <= {PAGE, CSV, JSON, FIGURES}


def _facts(table: ErrorTable, earlier: EarlierReport | None) -> dict[str, str]:
    """Describe the comparison: model, data set, grid and loss."""
    structures = len({row_id[:2] for row_id in table.row_ids})
    levels = int(np.count_nonzero(~np.isnan(table["fermi_level_error"])))
    facts = {
        "structures": f"{structures} of {len(set(table.materials))} materials",
        "levels": f"of {levels}, from their number of electrons"
        if levels
        else "not compared, because atoms have none"
        if table.kind == "atoms"
        else "not compared without a number of electrons; give --valences",
    }
    if table.loss:
        weights = table.loss.model_dump()
        terms = " + ".join(f"{term.weight(weights):g} {term.name}" for term in TERMS)
        facts["loss"] = f"{table.loss.per_structure} of {terms}, of the DOS per atom"
    if earlier:
        facts["compared"] = f"with {earlier.model}, {earlier.matched} {table.kind}"
    return facts


def _warnings(table: ErrorTable, axis: TargetSpec) -> Iterator[str]:
    """List the numbers that come first in the report."""
    of_all = f"of {len(table)} {table.kind}"
    if untrusted := int((table["trusted"] == 0).sum()):
        yield (
            f"{untrusted} {of_all} are trusted nowhere and left out: their mask is "
            "false everywhere"
        )
    known = table["kpoint_error"][~np.isnan(table["kpoint_error"])]
    if len(known) and np.median(known) > LARGE_KPOINT_ERROR:
        yield (
            f"k-points leave the targets {np.median(known):.0%} off in the median "
            "(estimated); no model can be better against them"
        )
    finite = np.isfinite(table["rmse_per_atom"])
    if broken := int(((table["trusted"] > 0) & ~finite).sum()):
        yield f"{broken} {of_all} have predictions that are not finite, and no errors"
    longest, shifts = axis.extra_targets * axis.grid.spacing, table["shift"]
    at_limit = int(((shifts <= 0) | (shifts >= longest)).sum())
    if at_limit and axis.extra_targets:
        yield (
            f"{at_limit} {of_all} have a shift at the limit, 0 or {longest:g} eV; a "
            "model with more extra_targets may fit them better"
        )


def _summary(
    table: ErrorTable,
    materials: Sequence[Mapping[str, Any]],
    changes: Mapping[str, Change],
) -> Iterator[str]:
    """Tabulate the most important numbers for the terminal."""
    heads = [f"{len(table)} {table.kind}", "median", "mean", "90 %", "largest"]
    for label, *numbers in [heads, *summary_rows(table)]:
        yield f"{label:<40}" + "".join(f"{x:>10}" for x in numbers)
    yield ""
    overall = table.overall()
    for name, column in OVERALL.items():
        if overall[name] is not None:
            number = format_number(column.unit, overall[name])
            yield f"all, {column.label_with_unit:<35}{number:>10}"
    yield ""
    yield f"{'medians by material':<40}{'RMSE/atom':>10}{'relative':>10}{'count':>10}"
    for row in materials[:SHOWN]:
        numbers = [
            format_number(COLUMNS[name].unit, row[name])
            for name in ("rmse_per_atom", "relative_rmse")
        ]
        cells = "".join(f"{x:>10}" for x in (*numbers, row["structures"]))
        yield f"{row['material'][:39]:<40}{cells}"
    if len(materials) > SHOWN:
        yield f"... the worst of {len(materials)}; all are in {JSON}"
    if changes:
        yield ""
        yield f"{'medians of two models':<40}{'earlier':>10}{'this':>10}{'smaller':>10}"
        for label, *numbers in change_rows(changes):
            yield f"{label:<40}" + "".join(f"{x:>10}" for x in numbers)
