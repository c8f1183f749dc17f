"""Render a report as one self-contained HTML page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader

from .. import __version__
from ..models.earlier_report import Change
from ..models.error_columns import COLUMNS, OVERALL
from ..models.error_table import ErrorTable


MOST_ROWS = 1000
"""Rows of the table on the page, those with the largest errors if there are more."""


@dataclass(frozen=True)
class PageFigure:
    """A figure as SVG, the first words of its caption, in bold, and the rest of it."""

    svg: str
    title: str
    caption: str


def render_page(
    title: str,
    facts: Mapping[str, str],
    warnings: Sequence[str],
    table: ErrorTable,
    figures: Mapping[str, Sequence[PageFigure]],
    changes: Mapping[str, Change],
) -> str:
    """Render the page, with figures by heading; those of all structures have none."""
    environment = Environment(
        loader=PackageLoader(__package__, ""),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    rows, overall = list(table.rows()), table.overall()
    worst = sorted(rows, key=lambda row: -(row["relative_rmse"] or 0.0))[:MOST_ROWS]
    shown = worst if len(rows) > MOST_ROWS else rows
    texts = ["data", "structure", "atom", "source", "material", "atoms"]
    if not any(table.sources):
        texts.remove("source")
    if len({row["data"] for row in rows}) < 2:
        texts.remove("data")
    if table.kind == "structures":
        texts.remove("atom")
    return environment.get_template("report_page.html.jinja").render(
        title=title,
        version=__version__,
        facts=facts,
        warnings=warnings,
        kind=table.kind,
        count=len(rows),
        summary=summary_rows(table),
        overall=overall,
        overall_columns={n: c for n, c in OVERALL.items() if overall[n] is not None},
        figures=figures,
        changes=change_rows(changes),
        rows=shown,
        texts=texts,
        columns=COLUMNS,
        known={name for name in COLUMNS if any(row[name] is not None for row in shown)},
        format_number=format_number,
    )


def summary_rows(table: ErrorTable) -> list[list[str]]:
    """Tabulate label, median, mean, 90th percentile and maximum of known columns."""
    return [
        [column.label_with_unit, *(format_number(column.unit, x) for x in row.values())]
        for name, row in table.statistics().items()
        if (column := COLUMNS[name]).in_summary and row["median"] is not None
    ]


def change_rows(changes: Mapping[str, Change]) -> list[list[str]]:
    """Tabulate label, medians before and now, and share of smaller errors."""
    return [
        [
            (column := COLUMNS[name]).label_with_unit,
            format_number(column.unit, change.before),
            format_number(column.unit, change.now),
            f"{change.smaller:.0%}",
        ]
        for name, change in changes.items()
    ]


def format_number(unit: str, value: float | None) -> str:
    """Format a number with four digits, or in percent; ``None`` if it is not known."""
    if value is None:
        return "n/a"
    return f"{value:.1%}" if unit == "%" else f"{value:#.4g}".rstrip(".")
