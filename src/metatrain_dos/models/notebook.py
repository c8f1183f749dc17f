"""Show numbers and a DOS in a notebook: a table, and a drawing that loads nothing."""

from collections.abc import Iterable
from html import escape
from typing import Any

import numpy as np


# Numbers in a row of a table, of a batch.
MOST_CELLS = 8

# Of a drawing, in pixels; below it are the numbers of the axis.
WIDTH, HEIGHT, MARGIN = 420, 150, 34

# Points of a curve: as many as can be seen.
POINTS = 400

# Most numbers along the axis, and distances between them, eV.
MOST_TICKS = 9
STEPS = (0.5, 1, 2, 5, 10, 20, 50, 100)


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
    end = float(energies[-1])
    x = np.linspace(start, end, POINTS)
    y = np.interp(x, energies, dos)
    half = np.zeros(POINTS) if spread is None else np.interp(x, energies, spread)
    top = max(float((y + half).max()), 1e-3)

    def points(x: np.ndarray, y: np.ndarray) -> str:
        down = HEIGHT * (1 - np.clip(y / top, 0, 1))
        return " ".join(f"{i:.1f},{j:.1f}" for i, j in zip(place(x), down, strict=True))

    def place(x: Any) -> Any:
        return MARGIN + WIDTH * (x - start) / (end - start)

    parts = []
    if levels is not None:
        at, width = place(levels[0]), place(levels[1]) - place(levels[0])
        parts.append(
            f'<rect x="{at:.1f}" y="0" width="{max(width, 1.0):.1f}" '
            f'height="{HEIGHT}" fill="currentColor" fill-opacity="0.2"/>'
        )
    if spread is not None:
        both = np.concatenate([x, x[::-1]])
        band = points(both, np.concatenate([y - half, (y + half)[::-1]]))
        parts.append(f'<polygon points="{band}" fill="#c0392b" fill-opacity="0.3"/>')
    parts.append(
        f'<polyline points="{points(x, y)}" fill="none" stroke="#c0392b" '
        f'stroke-width="1.3"/><path d="M{MARGIN} 0V{HEIGHT}H{MARGIN + WIDTH}" '
        'fill="none" stroke="currentColor"/>'
    )
    step = next((s for s in STEPS if (end - start) / s <= MOST_TICKS), STEPS[-1])
    texts = [
        (place(tick), HEIGHT + 14, "middle", f"{tick:g}")
        for tick in step * np.arange(np.ceil(start / step), end / step)
    ]
    texts += [
        (MARGIN - 4, 10, "end", f"{top:.3g}"),
        (MARGIN - 4, HEIGHT, "end", "0"),
        (MARGIN + WIDTH / 2, HEIGHT + 30, "middle", "energy, eV; DOS, states/eV"),
    ]
    parts += [
        f'<text x="{i:.1f}" y="{j}" text-anchor="{anchor}">{text}</text>'
        for i, j, anchor, text in texts
    ]
    size = MARGIN + WIDTH + 10, HEIGHT + MARGIN
    return (
        f'<svg viewBox="0 0 {size[0]} {size[1]}" style="max-width:{size[0]}px" '
        f'font-size="11" fill="currentColor">{"".join(parts)}</svg>'
    )
