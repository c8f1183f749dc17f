"""
Check the links of the built site: ``python docs/check_links.py docs/_build/html``.

Linked pages, files and headings must exist. Links that leave the site must lead to one
of the addresses listed here, because nothing can follow them offline.
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

from elsewhere import PROJECTS


OUTSIDE = (
    *(address for address, _ in PROJECTS.values()),
    "https://arxiv.org/abs/",
    "https://chemiscope.org",
    "https://github.com/pradyunsg/furo",  # the theme names itself
    "https://github.com/pytorch/pytorch/issues/",
    "https://hypothesis.readthedocs.io",
    "https://semver.org",
)


class Page(HTMLParser):
    """
    Collect the links and the anchors of a page.

    :param path: HTML file
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = {""}
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and tag != "script":
                self.links.add(value or "")
            elif name == "id":
                self.anchors.add(value or "")


def find_broken(site: Path) -> list[str]:
    """
    Find the links that lead nowhere.

    :param site: folder of the built site
    :return: one line for each
    """
    pages = {path.as_uri(): Page(path) for path in site.resolve().rglob("*.html")}
    broken = []
    for address, page in pages.items():
        for link in page.links:
            target, anchor = urldefrag(urljoin(address, link))
            parts = urlsplit(target)
            if parts.scheme == "data":
                continue
            if parts.scheme == "file":
                is_there = Path(unquote(parts.path)).is_file()
                if is_there and target in pages:
                    is_there = unquote(anchor) in pages[target].anchors
            else:
                is_there = target.startswith(OUTSIDE)
            if not is_there:
                broken.append(f"{Path(unquote(urlsplit(address).path)).name}: {link}")
    return sorted(broken)


if __name__ == "__main__":
    found = find_broken(Path(sys.argv[1]))
    print("\n".join(found) or "all links lead somewhere")
    sys.exit(bool(found))
