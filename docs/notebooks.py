"""Turn a notebook into a script of the gallery, which runs it and shows its results."""

import json
import re
from pathlib import Path


def write_script(notebook: Path) -> None:
    """
    Write the cells of a notebook as a script beside it.

    :param notebook: ``.ipynb`` whose first cell has the title
    """
    parts = []
    for cell in json.loads(notebook.read_text("utf-8"))["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            text = _as_rst(text)
            comment = "".join(f"\n# {line}".rstrip() for line in text.split("\n"))
            text = f"# %%{comment}" if parts else f'"""\n{text}\n"""'
        parts.append(text)
    notebook.with_suffix(".py").write_text("\n\n".join(parts) + "\n", "utf-8")


def _as_rst(text: str) -> str:
    """Convert headings and code, which is all that our notebooks have."""
    lines = []
    for line in text.split("\n"):
        heading = re.fullmatch(r"(#+) (.*)", line)
        line = heading[2] if heading else re.sub("`", "``", line)
        lines.append(line)
        if heading:
            lines.append(("=" if heading[1] == "#" else "-") * len(line))
    return "\n".join(lines)
