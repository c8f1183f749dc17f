"""Read an options file of ``mtt train``, and the line of each of its options."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ..utils.files import read_text
from ..utils.text import shorten


Keys = tuple[str | int, ...]

LARGEST = 50_000
"""Entries of the largest options file; a few lines of aliases can make billions."""


class UnusableOptionsError(ValueError):
    """An options file that cannot be read."""


@dataclass(frozen=True)
class OptionsFile:
    """
    Content of an options file, and the line of each of its keys.

    :param path: the file
    :param content: its content, with each ``${...}`` resolved if possible
    :param lines: line of each key, counted from 1
    """

    path: Path
    content: dict[str, Any]
    lines: dict[Keys, int]

    @classmethod
    def read(cls, path: str | Path) -> "OptionsFile":
        """
        Read an options file as metatrain does.

        :param path: the file
        :return: its content
        :raises UnusableOptionsError: if there is none, or it is no mapping in YAML
        """
        path = Path(path)
        lines: dict[Keys, int] = {}
        try:
            text = read_text(path)
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            _collect_lines(node, (), lines)
            # OmegaConf, unlike PyYAML, reads `1e-4` as a number; it expects a mapping
            is_mapping = isinstance(node, yaml.MappingNode)
            content = OmegaConf.load(io.StringIO(text)) if is_mapping else None
        except OSError as error:
            raise UnusableOptionsError(
                f"{path}: expected an options file, got {error.strerror or error}; "
                "check the path"
            ) from error
        # The last two: numbers of thousands of digits, lists in thousands of lists
        except (
            yaml.YAMLError,
            OmegaConfBaseException,
            ValueError,
            RecursionError,
        ) as error:
            raise UnusableOptionsError(
                f"{path}: expected YAML, got {shorten(error)}; correct the file there"
            ) from error
        if content is None:
            raise UnusableOptionsError(
                f"{path}: expected a mapping with the key 'architecture', got "
                f"{'nothing' if node is None else f'a {node.id}'}; begin from an "
                "options file that `mtt train` accepts"
            )
        plain: Any
        try:
            plain = OmegaConf.to_container(content, resolve=True)
        except OmegaConfBaseException:
            # metatrain's own ${...}, which only metatrain can resolve
            plain = OmegaConf.to_container(content)
        return cls(path, {str(key): value for key, value in plain.items()}, lines)

    def get(self, *keys: str | int) -> Any:
        """Look an option up; ``None`` where it is not set."""
        value: Any = self.content
        for key in keys:
            try:
                value = value[key]
            except (KeyError, IndexError, TypeError):
                return None
        return value

    def line(self, *keys: str | int) -> int | None:
        """Find the line, from 1, of an option or of the closest section around it."""
        for size in range(len(keys), 0, -1):
            if keys[:size] in self.lines:
                return self.lines[keys[:size]]
        return None


def dotted(keys: Keys) -> str:
    """Write a path of keys as text: ``training_set[1].targets``."""
    text = ""
    for key in keys:
        text += f"[{key}]" if isinstance(key, int) else f".{key}"
    return text.lstrip(".")


def loss_keys(options: OptionsFile, target: str, option: str) -> Keys:
    """Find the path of an option of the loss, whose section may be a single string."""
    keys: Keys = ("architecture", "training", "loss")
    if isinstance(options.get(*keys), dict):
        keys = (*keys, target)
        if isinstance(options.get(*keys), dict):
            keys = (*keys, option)
    return keys


def _collect_lines(node: yaml.Node | None, keys: Keys, lines: dict[Keys, int]) -> None:
    """
    Collect the lines of all entries, those behind an alias each time that it is used.

    :raises ValueError: if there are too many, before OmegaConf makes them
    """
    if isinstance(node, yaml.MappingNode):
        pairs: list[tuple[str | int, yaml.Node, yaml.Node]] = [
            (str(key.value), key, value) for key, value in node.value
        ]
    elif isinstance(node, yaml.SequenceNode):
        pairs = [(position, item, item) for position, item in enumerate(node.value)]
    else:
        return
    for key, marked, value in pairs:
        if len(lines) >= LARGEST:
            raise ValueError(f"more than {LARGEST} entries, aliases written out")
        lines[(*keys, key)] = marked.start_mark.line + 1
        _collect_lines(value, (*keys, key), lines)
