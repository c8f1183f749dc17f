"""Draw the figures of a report, for its page and as files."""

import io
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from ..data.target_spec import TargetSpec
from ..models.earlier_report import EarlierReport
from ..models.error_table import ErrorTable
from ..models.selection import Selected
from .dos import plot_structure
from .errors import plot_errors, plot_pairs, plot_shifts
from .report_page import PageFigure, format_number
from .style import COMPUTED, PREDICTED


HEADINGS = {
    "best": "Best",
    "median": "In the middle",
    "worst": "Worst",
    "asked for": "Asked for",
}
"""Rank of selected rows -> heading on the page."""

# Colours of a figure -> those of the page, which change in dark mode.
PAGE_COLORS = {
    "#000000": "currentColor",
    COMPUTED: "var(--computed)",
    PREDICTED: "var(--predicted)",
}


def draw(
    folder: Path,
    table: ErrorTable,
    axis: TargetSpec,
    ranks: Mapping[str, Sequence[Selected]],
    earlier: EarlierReport | None = None,
) -> dict[str, list[PageFigure]]:
    """Draw all figures of a report, write each to a file, and sort them by heading."""
    names, materials = np.unique(table.materials, return_inverse=True)
    longest = axis.extra_targets * axis.grid.spacing
    relative = 100 * table["relative_rmse"]
    label = "RMSE, % of the size of the computed DOS"
    drawn = [
        (
            "errors-by-material",
            plot_errors(relative, materials, list(names), label),
            "Errors of each material.",
            " Red: their median.",
        ),
        (
            "shifts",
            plot_shifts(table["shift"], longest),
            "Shifts of computed DOS along their predictions,",
            f" of at most {longest:g} eV. The zero is arbitrary. A peak at either "
            "end means that a larger extra_targets may fit better.",
        ),
    ]
    if earlier:
        before = 100 * earlier.before("relative_rmse")
        drawn.append(
            (
                "compared",
                plot_pairs(before, relative, "earlier RMSE, %", "this RMSE, %"),
                "Errors of both models,",
                " as a fraction of the size of the computed DOS. Below the line, this "
                "model is better.",
            )
        )
    if not np.isnan(table["spread_per_atom"]).all():
        drawn.append(
            (
                "spread",
                plot_pairs(
                    table["spread_per_atom"],
                    table["rmse_per_atom"],
                    "spread of the committee, states/eV/atom",
                    "RMSE, states/eV/atom",
                ),
                "Errors of the committee, and the spread of its members.",
                " On the line, the spread is as large as the error.",
            )
        )
    figures = {
        "": [
            _page_figure(folder / f"{name}.svg", figure, title, caption)
            for name, figure, title, caption in drawn
        ]
    }
    for rank, selected in ranks.items():
        figures[HEADINGS[rank]] = [
            _draw_row(folder / f"{rank.replace(' ', '-')}-{i}.svg", table, axis, each)
            for i, each in enumerate(selected, 1)
        ]
    return figures


def _draw_row(
    path: Path, table: ErrorTable, axis: TargetSpec, selected: Selected
) -> PageFigure:
    """Draw one structure."""
    atoms, levels = int(table.atoms[selected.row]), selected.levels
    figure = plot_structure(
        axis.grid.energies,
        selected.aligned,
        atoms=atoms,
        zero=selected.sample.atoms.info.get("highest_occupied"),
        levels=levels,
    )
    row_id = table.row_ids[selected.row]
    atom = "" if row_id.atom is None else f", atom {row_id.atom}"
    caption = (
        f", {row_id.data}, structure {row_id.structure}{atom}: RMSE "
        f"{format_number('%', selected.error)}, "
        f"{selected.aligned.rmse[0] / atoms:.3g} states/eV/atom"
    )
    if levels is not None:
        gaps = levels.predicted.gap, levels.computed.gap
        change = levels.predicted.fermi_level - levels.computed.fermi_level
        caption += f"; Fermi level {change:+.2f} eV"
        if gaps != (0.0, 0.0):
            caption += f", gap {gaps[0]:.2f} (computed {gaps[1]:.2f}) eV"
    return _page_figure(path, figure, table.materials[selected.row], caption)


def _page_figure(path: Path, figure: Figure, title: str, caption: str) -> PageFigure:
    """Write a figure to a file, and convert it to the colours of the page."""
    text = io.StringIO()
    # Text stays text, and the same figure is the same file.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": path.stem}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    path.write_text(text.getvalue(), encoding="utf-8")
    svg = text.getvalue()[text.getvalue().index("<svg") :]
    for color, of_page in PAGE_COLORS.items():
        svg = svg.replace(color, of_page)
    # Ids must be unique on the page.
    svg = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{path.stem}-", svg)
    label = escape(title + caption, quote=True)
    svg = svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    return PageFigure(svg, title, caption)
