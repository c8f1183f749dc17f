"""Read an options file of ``mtt train``, and remember where in it everything stands."""

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

LARGEST = 100_000
"""Entries of the largest options file; aliases can make billions of a few lines."""


class UnusableOptionsError(ValueError):
    """An options file that nothing can be found in."""


@dataclass(frozen=True)
class OptionsFile:
    """
    Hold the content of an options file and the line of each of its keys.

    :param path: the file
    :param content: what it says, with ``${...}`` resolved where it can be
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
        :raises UnusableOptionsError: if it is not there, or no mapping in YAML
        """
        path = Path(path)
        try:
            text = read_text(path)
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            _check_size(node, path)
            # only a mapping is for OmegaConf, which knows that `1e-4` is a number
            is_mapping = isinstance(node, yaml.MappingNode)
            content = OmegaConf.load(io.StringIO(text)) if is_mapping else None
        except OSError as error:
            raise UnusableOptionsError(
                f"{path}: expected an options file, got {error.strerror or error}; "
                "check the path"
            ) from error
        except UnusableOptionsError:
            raise
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
        lines: dict[Keys, int] = {}
        _collect_lines(node, (), lines, set())
        plain: Any
        try:
            plain = OmegaConf.to_container(content, resolve=True)
        except OmegaConfBaseException:
            # metatrain's own ${...}, which mean something only to metatrain
            plain = OmegaConf.to_container(content)
        return cls(path, {str(key): value for key, value in plain.items()}, lines)

    def get(self, *keys: str | int) -> Any:
        """
        Look an option up.

        :param keys: its path
        :return: its value, ``None`` where it is not set
        """
        value: Any = self.content
        for key in keys:
            try:
                value = value[key]
            except (KeyError, IndexError, TypeError):
                return None
        return value

    def line(self, *keys: str | int) -> int | None:
        """
        Find the line of an option, or of the closest section around it.

        :param keys: its path
        :return: the line, counted from 1; ``None`` if not even the outermost section
            is in the file
        """
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
    """Find the path of an option of the loss, which may be written short."""
    keys: Keys = ("architecture", "training", "loss")
    if isinstance(options.get(*keys), dict):
        keys = (*keys, target)
        if isinstance(options.get(*keys), dict):
            keys = (*keys, option)
    return keys


def _check_size(root: yaml.Node | None, path: Path) -> None:
    """
    Count entries, those of an alias each time that it is used, before they are made.

    :raises UnusableOptionsError: if there are too many, or an alias contains itself
    """
    sizes: dict[int, int] = {}
    if root is not None and _size(root, sizes) > LARGEST:
        raise UnusableOptionsError(
            f"{path}: expected at most {LARGEST} entries, got more, or an alias inside "
            "of what it stands for; write out what the aliases stand for"
        )


def _size(node: yaml.Node, sizes: dict[int, int]) -> int:
    """Count a node and all that is in it, the same node only once."""
    if id(node) not in sizes:
        sizes[id(node)] = LARGEST  # of one that leads back to itself
        inner = [] if isinstance(node, yaml.ScalarNode) else node.value
        if isinstance(node, yaml.MappingNode):
            inner = [part for pair in inner for part in pair]
        sizes[id(node)] = 1 + sum(_size(part, sizes) for part in inner)
    return sizes[id(node)]


def _collect_lines(
    node: yaml.Node, keys: Keys, lines: dict[Keys, int], parents: set[int]
) -> None:
    """Walk through the file; an alias may lead back to where it stands."""
    if id(node) in parents:
        return
    parents = parents | {id(node)}
    if isinstance(node, yaml.MappingNode):
        for key_node, value_node in node.value:
            inner = (*keys, str(key_node.value))
            lines[inner] = key_node.start_mark.line + 1
            _collect_lines(value_node, inner, lines, parents)
    elif isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            lines[(*keys, position)] = item.start_mark.line + 1
            _collect_lines(item, (*keys, position), lines, parents)
