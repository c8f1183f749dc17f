"""Show numbers and a DOS in a notebook: a table, and a drawing that loads nothing."""

import io
from collections.abc import Iterable
from html import escape
from typing import Any

import numpy as np


# Numbers in a row of a table, of a batch.
MOST_CELLS = 8

# Points of a curve: as many as can be seen.
POINTS = 400


def html_table(rows: Iterable[tuple[str, Any, str]]) -> str:
    """Write rows of a name, a text or numbers of any shape, and a unit as HTML."""
    lines = []
    for name, values, unit in rows:
        cells = [
            each if isinstance(each, str) else f"{each:.5g}"
            for each in np.ravel(np.asarray(values, dtype=object))
        ]
        cells[MOST_CELLS:] = ["…"] * (len(cells) > MOST_CELLS)
        row = "".join(f"<td>{escape(cell)}</td>" for cell in [*cells, unit])
        lines.append(f"<tr><th>{escape(name)}</th>{row}</tr>")
    return f"<table>{''.join(lines)}</table>"


def draw_dos(
    energies: np.ndarray,
    dos: np.ndarray,
    *,
    start: float,
    spread: np.ndarray | None = None,
    levels: tuple[float, float] | None = None,
) -> str:
    """
    Draw a DOS as SVG that follows the colours of the page.

    :param energies: energy of each point, ``(points,)``, eV
    :param dos: density of states, ``(points,)``, states/eV
    :param start: first energy of the drawing, eV
    :param spread: half of the width of a band around it, ``(points,)``, states/eV
    :param levels: edges of a gap, which is shaded, or twice the Fermi level, eV
    """
    # Here, not above: levels and predictions are read without matplotlib.
    import matplotlib
    from matplotlib.figure import Figure

    x = np.linspace(start, energies[-1], POINTS)
    y = np.interp(x, energies, dos)
    text = io.StringIO()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "dos"})
        figure = Figure(figsize=(5.0, 2.2), layout="constrained")
        axes = figure.subplots()
        axes.plot(x, y, color="#c0392b", lw=1.2, gid="dos")
        axes.set(xlim=(x[0], x[-1]), xlabel="energy, eV", ylabel="DOS, states/eV")
        if spread is not None:
            half = np.interp(x, energies, spread)
            band = axes.fill_between(x, y - half, y + half, color="#c0392b", lw=0)
            band.set(alpha=0.3, gid="spread")
        axes.set_ylim(0.0)
        if levels is not None:
            axes.axvspan(*levels, color="black", alpha=0.2, gid="levels")
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue().replace("#000000", "currentColor")
    return svg[svg.index("<svg") :].replace("<svg", '<svg fill="currentColor"', 1)
