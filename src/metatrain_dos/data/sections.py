"""Read the data sets that an options file names."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from .options_file import Keys, OptionsFile, dotted


@dataclass(frozen=True, eq=False)
class Section:
    """
    One data set of an options file, with all defaults.

    :param keys: path in the options file
    :param config: the section as metatrain expands it, with paths that can be opened
    :param indices: structures that are used, ``None`` for all
    :param is_beside: whether its files are beside the options file, and not where
        metatrain, run from here, looks for them
    """

    keys: Keys
    config: dict[str, Any]
    indices: frozenset[int] | None = None
    is_beside: bool = False

    @property
    def name(self) -> str:
        """Name of the section in the options file."""
        return dotted(self.keys)

    @property
    def source(self) -> Path:
        """File or folder with the structures."""
        return Path(self.config["systems"]["read_from"])

    @property
    def entries(self) -> dict[str, dict[str, Any]]:
        """Targets and ``extra_data`` by their name."""
        targets = self.config.get("targets") or {}
        return {**targets, **(self.config.get("extra_data") or {})}

    @property
    def missing(self) -> dict[str, Keys]:
        """Missing files, each with the path of the option that names it."""
        files = {str(self.source): (*self.keys, "systems", "read_from")}
        for kind in ("targets", "extra_data"):
            for name, entry in (self.config.get(kind) or {}).items():
                keys = (*self.keys, kind, name, "read_from")
                files.setdefault(entry["read_from"], keys)
        return {file: keys for file, keys in files.items() if not Path(file).exists()}


def read_sections(options: OptionsFile, name: str) -> list[Section]:
    """
    Read the data sets of ``training_set``, ``validation_set`` or ``test_set``.

    :param options: the options file
    :param name: name of the section
    :return: its data sets; none if it is a fraction of the training set
    :raises ValueError: if metatrain cannot expand it, or an index is invalid
    """
    from metatrain.utils.omegaconf import expand_dataset_config

    content = options.get(name)
    if content is None or isinstance(content, (int, float)):
        return []
    if isinstance(content, dict) and "systems" not in content and "indices" in content:
        # metatrain's short form for structures of the only training set
        (whole,) = read_sections(options, "training_set")
        indices = _read_indices(content["indices"], options.path.parent)
        return [Section((name,), whole.config, indices)]
    # metatrain changes the section that it expands
    expanded = expand_dataset_config(OmegaConf.create({"set": content})["set"])
    configs: Any = OmegaConf.to_container(expanded, resolve=True)
    sections = []
    for position, config in enumerate(configs):
        entries = [config["systems"], *(config.get("targets") or {}).values()]
        entries += (config.get("extra_data") or {}).values()
        is_beside = False
        for entry in entries:
            path = located(entry["read_from"], options.path.parent)
            is_beside |= path != Path(entry["read_from"])
            entry["read_from"] = str(path)
        indices = _read_indices(config.get("indices"), options.path.parent)
        keys: Keys = (name, position) if isinstance(content, list) else (name,)
        sections.append(Section(keys, config, indices, is_beside))
    return sections


def located(file: str, folder: Path) -> Path:
    """
    Find a file where metatrain looks for it, or else beside the options file.

    :param file: path in the options file
    :param folder: folder of the options file
    :return: path that can be opened from here, if the file exists
    """
    path = Path(file)
    beside = folder / path
    return beside if not path.exists() and beside.exists() else path


def _read_indices(indices: Any, folder: Path) -> frozenset[int] | None:
    """Read the indices of structures, from a list or a file with one in each line."""
    from metatrain.utils.data import load_indices

    if indices is None:
        return None
    if isinstance(indices, str):
        indices = str(located(indices, folder))
    return frozenset(load_indices(indices))
