"""Make of the README the description for a package index, which has no other file."""

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class CustomMetadataHook(MetadataHookInterface):
    """Take figures out, and make plain text of links to other files."""

    def update(self, metadata: dict[str, Any]) -> None:
        """
        Set the description.

        :param metadata: the ``project`` table of ``pyproject.toml``, changed in place
        """
        text = Path(self.root, "README.md").read_text("utf-8")
        elsewhere = r"\((?!https?://|#)[^)]*\)"
        text = re.sub(rf"!\[[^]]*\]{elsewhere}\n+(\*[^*]+\*\n+)?", "", text)
        text = re.sub(rf"\[([^]]*)\]{elsewhere}", r"\1", text)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
