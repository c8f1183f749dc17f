"""Read the data sets that an options file names."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from .options_file import Keys, OptionsFile, dotted
from .readers.extxyz import read_structures


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
        is_beside, chosen = False, None
        for entry in entries:
            file, index = entry["read_from"], None
            if entry.get("reader"):  # else metatrain takes an index for a suffix
                file, index = split_index(file, options.path.parent)
            path = located(file, options.path.parent)
            is_beside |= path != Path(file)
            entry["read_from"] = str(path)
            if entry is config["systems"]:
                chosen = find_frames(path, index)
        indices = _read_indices(config.get("indices"), options.path.parent)
        if chosen is not None:
            # metatrain counts those that ASE has chosen
            within = range(len(chosen)) if indices is None else indices
            indices = frozenset(chosen[i] for i in within if i < len(chosen))
        keys: Keys = (name, position) if isinstance(content, list) else (name,)
        sections.append(Section(keys, config, indices, is_beside))
    return sections


def located(file: str, folder: Path) -> Path:
    """Find a file where metatrain looks for it, or else beside the options file."""
    path = Path(file)
    beside = folder / path
    return beside if not path.exists() and beside.exists() else path


def split_index(file: str, folder: Path = Path()) -> tuple[str, int | slice | None]:
    """
    Split the index of ASE from the name of a file, as in ``md.xyz@::10``.

    :param file: path, with or without an index
    :param folder: where the file may be, too
    :return: path, and the index; ``None`` without one, or if a file has such a name
    """
    from ase.io.formats import parse_filename

    if "@" not in file or located(file, folder).exists():
        return file, None
    return parse_filename(file)


def find_frames(file: Path, index: int | slice | None) -> list[int] | None:
    """
    Find the positions of frames that an index of ASE chooses.

    :param file: extended XYZ
    :param index: index of ASE
    :return: positions, ``None`` without an index
    :raises ValueError: if the file is another one, or has no such frame
    """
    if index is None or not file.exists():
        return None
    if file.suffix not in (".xyz", ".extxyz"):
        raise ValueError(
            f"data: expected extended XYZ in front of an index, got {file}; leave the "
            "index out"
        )
    positions = range(sum(1 for _ in read_structures(file, whole=False)))
    try:
        chosen = positions[index]
    except IndexError:
        raise ValueError(
            f"data: expected an index below the {len(positions)} structures of {file}, "
            f"got {index}; choose another one"
        ) from None
    return [chosen] if isinstance(chosen, int) else list(chosen)


def _read_indices(indices: Any, folder: Path) -> frozenset[int] | None:
    """Read the indices of structures, from a list or a file with one in each line."""
    from metatrain.utils.data import load_indices

    if indices is None:
        return None
    if isinstance(indices, str):
        indices = str(located(indices, folder))
    return frozenset(load_indices(indices))
