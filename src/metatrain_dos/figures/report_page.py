"""Write the report as one page that needs nothing else."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from .. import __version__
from ..models.error_table import NUMBERS, ErrorTable


MOST_ROWS = 1000
"""Rows of the table on the page; those with the largest errors, if there are more."""

SUMMARY = {
    "rmse_per_atom": "RMSE, states/eV/atom",
    "mae_per_atom": "MAE, states/eV/atom",
    "relative_rmse": "RMSE, relative",
    "relative_mae": "MAE, relative",
    "cumulative_rmse": "integrated DOS, RMS, states",
    "cumulative_max": "integrated DOS, largest, states",
    "shift": "shift, eV",
    "loss": "loss",
    "loss_masked": "loss: masked, states²/eV",
    "loss_tail": "loss: front tail, states²/eV",
    "loss_gradient": "loss: gradient, states²/eV³",
    "loss_cumulative": "loss: cumulative, states² eV",
}
"""Name of a number -> what the summary calls it."""

HEADINGS = {
    "trusted": "trusted",
    "rmse": "RMSE",
    "mae": "MAE",
    "rmse_per_atom": "RMSE / atom",
    "mae_per_atom": "MAE / atom",
    "relative_rmse": "RMSE, relative",
    "relative_mae": "MAE, relative",
    "cumulative_rmse": "integrated, RMS",
    "cumulative_max": "integrated, largest",
    "shift": "shift",
    "loss_masked": "masked",
    "loss_tail": "tail",
    "loss_gradient": "gradient",
    "loss_cumulative": "cumulative",
    "loss": "loss",
}
"""Name of a number -> what the table calls it."""

RELATIVE = ("relative_rmse", "relative_mae")

RANKS = {
    "best": "Best",
    "median": "In the middle",
    "worst": "Worst",
    "asked for": "Asked for",
}


@dataclass(frozen=True)
class Picture:
    """
    Hold a figure of the page.

    :param svg: the figure
    :param caption: what it shows
    :param rank: heading that it stands under; empty for those of all structures
    """

    svg: str
    caption: str
    rank: str = ""


def write_page(
    title: str,
    facts: Mapping[str, str],
    warnings: Sequence[str],
    table: ErrorTable,
    pictures: Sequence[Picture],
    *,
    zeros_known: bool,
) -> str:
    """
    Write the page.

    :param title: its title
    :param facts: what was compared, and how
    :param warnings: what the reader should know before anything else
    :param table: all errors
    :param pictures: figures
    :param zeros_known: whether energies are relative to the highest occupied state
    :return: HTML
    """
    template = Template(
        files(__package__).joinpath("report_page.html").read_text("utf-8")
    )
    rows = list(table.rows())
    order = sorted(range(len(rows)), key=lambda i: -(rows[i]["relative_rmse"] or 0.0))
    shown = [rows[i] for i in sorted(order[:MOST_ROWS])]
    head = f"The {len(shown)} of {len(rows)} with the largest relative errors; all are "
    zeros = "relative to the highest occupied state where it is known (dotted)."
    return template.substitute(
        title=escape(title),
        version=__version__,
        facts=_definitions(facts),
        warnings="\n".join(f"<p><b>{escape(each)}</b></p>" for each in warnings),
        structures=f"{len(rows)} {table.kind}",
        summary=_summary(table),
        distributions=_figures(each for each in pictures if not each.rank),
        zeros=f"with energies {zeros}" if zeros_known else "over energy.",
        panels="\n".join(_ranked(pictures)),
        shown=(head if len(shown) < len(rows) else "The same numbers are ")
        + "in errors.csv and errors.json.",
        table=_table(shown),
        columns=_definitions({HEADINGS[key]: text for key, text in NUMBERS.items()}),
    )


def format_number(name: str, value: float | None) -> str:
    """
    Write a number for people.

    :param name: one of :data:`~.table.NUMBERS`
    :param value: its value, ``None`` if not known
    :return: with its percent sign, if it has one
    """
    if value is None:
        return "n/a"
    return f"{value:.1%}" if name in RELATIVE else f"{value:#.4g}".rstrip(".")


def _summary(table: ErrorTable) -> str:
    """Tabulate the statistics of all structures."""
    lines = []
    for name, values in table.statistics().items():
        if name in SUMMARY and values["median"] is not None:
            cells = "".join(
                f"<td>{format_number(name, value)}</td>" for value in values.values()
            )
            lines.append(f'<tr><td class="text">{SUMMARY[name]}</td>{cells}</tr>')
    heads = "".join(
        f"<th>{head}</th>" for head in ("median", "mean", "90 %", "largest")
    )
    return (
        f'<table class="summary"><thead><tr><th class="text"></th>{heads}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table>"
    )


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Tabulate structures, without the columns that say the same of all."""
    texts = {"data": "data", "structure": "structure", "atom": "atom"}
    if len({row["data"] for row in rows}) < 2:
        del texts["data"]
    if all(row["atom"] is None for row in rows):
        del texts["atom"]
    texts["material"] = "material"
    numbers = {
        name: head
        for name, head in HEADINGS.items()
        if any(row[name] is not None for row in rows)
    }
    heads = "".join(
        f'<th{" class=text" if name in texts else ""} scope="col">'
        f'<button type="button">{head}</button></th>'
        for name, head in {**texts, "atoms": "atoms", **numbers}.items()
    )
    lines = []
    for row in rows:
        cells = [f'<td class="text">{escape(str(row[name]))}</td>' for name in texts]
        cells.append(f"<td>{row['atoms']}</td>")
        for name in numbers:
            value = "" if row[name] is None else row[name]
            shown = format_number(name, row[name])
            cells.append(f'<td data-value="{value}">{shown}</td>')
        lines.append(f"<tr>{''.join(cells)}</tr>")
    body = "\n".join(lines)
    return (
        f'<table class="sortable"><thead><tr>{heads}</tr></thead>\n'
        f"<tbody>{body}</tbody></table>"
    )


def _ranked(pictures: Sequence[Picture]) -> Iterable[str]:
    """Put figures under the heading of their rank."""
    for rank, heading in RANKS.items():
        chosen = [each for each in pictures if each.rank == rank]
        if chosen:
            yield f'<h3>{heading}</h3>\n<div class="grid">\n{_figures(chosen)}\n</div>'


def _figures(pictures: Iterable[Picture]) -> str:
    """Put figures with their captions."""
    return "\n".join(
        f"<figure>\n{each.svg}\n<figcaption>{each.caption}</figcaption>\n</figure>"
        for each in pictures
    )


def _definitions(content: Mapping[str, str]) -> str:
    """List terms and what they are."""
    return "\n".join(
        f"<dt>{escape(term.replace('_', ' '))}</dt><dd>{escape(text)}</dd>"
        for term, text in content.items()
    )
