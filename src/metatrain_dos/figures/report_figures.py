"""Draw the figures of a report, for its page and as files."""

import io
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..data.target_spec import TargetSpec
from ..models.error_table import ErrorTable
from ..models.selection import Chosen
from . import plot_errors, plot_shifts, plot_structure
from .report_page import Picture, format_number
from .style import COMPUTED, PREDICTED


if TYPE_CHECKING:
    from matplotlib.figure import Figure


# Colours of a figure -> those of the page, which change in the dark.
PAGE_COLORS = {
    "#000000": "currentColor",
    COMPUTED: "var(--computed)",
    PREDICTED: "var(--predicted)",
}


def draw(
    folder: Path, table: ErrorTable, axis: TargetSpec, chosen: Sequence[Chosen]
) -> list[Picture]:
    """
    Draw everything, and write each figure to a file, too.

    :param folder: where figures go
    :param table: all errors
    :param axis: what the columns of the prediction are
    :param chosen: structures to draw
    :return: figures for the page
    """
    names, materials = np.unique(table.materials, return_inverse=True)
    longest = axis.extra_targets * axis.spacing
    pictures = [
        _picture(
            folder / "errors-by-material.svg",
            plot_errors(
                100 * table["relative_rmse"],
                materials,
                list(names),
                "RMSE, % of the size of the computed DOS",
            ),
            "Errors of each material. Red: their median.",
        ),
        _picture(
            folder / "shifts.svg",
            plot_shifts(table["shift"], longest),
            f"How far computed DOS slid along their predictions, of {longest:g} eV "
            "that they can. The zero is arbitrary; a heap at either end means that "
            "they would have gone on.",
        ),
    ]
    counts: dict[str, int] = {}
    for each in chosen:
        counts[each.rank] = number = counts.get(each.rank, 0) + 1
        file = f"{each.rank.replace(' ', '-')}-{number}.svg"
        figure = plot_structure(axis.grid.energies, each.aligned, zero=each.zero)
        place, name = table.places[each.row], table.materials[each.row]
        error = format_number("relative_rmse", float(each.aligned.relative_rmse[0]))
        per_atom = each.aligned.rmse[0] / table.atoms[each.row]
        atom = "" if place.atom is None else f", atom {place.atom}"
        caption = (
            f"<b>{escape(name)}</b>, {escape(place.data)}, structure "
            f"{place.structure}{atom}: RMSE {error}, {per_atom:.3g} states/eV/atom"
        )
        pictures.append(_picture(folder / file, figure, caption, each.rank))
    return pictures


def _picture(path: Path, figure: "Figure", caption: str, rank: str = "") -> Picture:
    """Write a figure to a file, and the same in the colours of the page."""
    from matplotlib import rc_context

    text = io.StringIO()
    # Text stays text, and the same figure is the same file.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": path.stem}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    path.write_text(text.getvalue(), encoding="utf-8")
    svg = text.getvalue()[text.getvalue().index("<svg") :]
    for color, of_page in PAGE_COLORS.items():
        svg = svg.replace(color, of_page)
    # The page has many figures, whose names of things must not meet.
    svg = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{path.stem}-", svg)
    label = escape(re.sub("<[^>]*>", "", caption), quote=True)
    svg = svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
    return Picture(
        re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S), caption, rank
    )
