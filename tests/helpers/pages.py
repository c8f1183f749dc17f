"""Read the pages of the documentation, and the code on them."""

import re
import shlex

from helpers.paths import PROJECT


PAGES = [
    *(PROJECT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    PROJECT / "examples" / "data" / "README.md",
    *sorted((PROJECT / "docs").glob("*.md")),
    PROJECT / "docs" / "api" / "index.md",
]


def code_blocks(language, text):
    """Collect the code blocks of a language in a piece of Markdown."""
    fence = re.compile(rf"^```{language}\n(.*?)^```", re.DOTALL | re.MULTILINE)
    return fence.findall(text)


def block(language, page, number=0):
    """Look up one code block of a page."""
    return code_blocks(language, (PROJECT / page).read_text("utf-8"))[number]


def sections(page, chapter):
    """Map the headings below a chapter of a page to their text."""
    text = (PROJECT / page).read_text("utf-8")
    _, chapter_text = text.split(f"\n## {chapter}\n")
    chapter_text, *_ = re.split(r"^## ", chapter_text, flags=re.MULTILINE)
    _, *found = re.split(r"^### (.*)\n", chapter_text, flags=re.MULTILINE)
    return dict(zip(found[::2], found[1::2], strict=True))


def commands(code):
    """Split a piece of shell into commands, each a list of words."""
    lines = code.replace("\\\n", " ").splitlines()
    parts = [part for line in lines for part in re.split(r"&&|\|\|", line)]
    return [words for part in parts if (words := shlex.split(part, comments=True))]
