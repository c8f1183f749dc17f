"""Find the structures and targets to compare a model with."""

import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import ase
import numpy as np

from ..data.dataset import target_key
from ..data.options_file import OptionsFile
from ..data.readers.extxyz import read_structures
from ..data.sections import Section, find_frames, read_sections, split_index
from ..data.target_spec import TargetSpec
from ..utils.files import refuse_special_file
from ..utils.text import shorten


def find_data(data: Path, target: str) -> list[Section]:
    """
    Find the data sets at a path.

    :param data: a file that ``mtt-dos prepare`` writes, in any of its formats, XYZ
        with or without an index of ASE (``test.xyz@:10``); an options file, or the
        folder that it is in, for its ``test_set``
    :param target: name of the target
    :return: data sets, each with the target
    :raises ValueError: if there is none, or the target is missing
    """
    name, index = split_index(str(data))
    data = Path(name)
    if not data.exists():
        raise ValueError(
            f"data: expected a data set or an options file, but {data} does not exist; "
            "check the path"
        )
    refuse_special_file(data)
    chosen = find_frames(data, index)
    if data.suffix in (".yaml", ".yml"):
        return _test_sets(data, target)
    is_memmap = (data / "ns.npy").exists()
    if (data / "options.yaml").exists() and not is_memmap:
        return _test_sets(data / "options.yaml", target)
    if not is_memmap and data.suffix not in (".zip", ".xyz", ".extxyz"):
        raise ValueError(
            "data: expected .xyz, .zip, a memory-mapped folder, an options file or a "
            f"folder with an options.yaml, got {data}; give what `mtt-dos prepare` "
            "wrote, or name it as the test_set of an options file"
        )
    key = target_key(target)
    kind, has_mask = _entries(data, key)
    entry = {
        "read_from": str(data),
        "type": "scalar",
        "reader": None,
        "sample_kind": kind,
    }
    config: dict[str, Any] = {
        "systems": {"read_from": str(data)},
        "targets": {target: {"key": key, **entry}},
        "extra_data": {},
    }
    if has_mask:
        config["extra_data"] = {f"{target}_mask": {"key": f"{key}_mask", **entry}}
    indices = None if chosen is None else frozenset(chosen)
    return [Section((data.name,), config, indices)]


def _test_sets(file: Path, target: str) -> list[Section]:
    """Read the test set of an options file."""
    options = OptionsFile.read(file)
    sections = read_sections(options, "test_set") or _drawn(options)
    for section in sections:
        if target not in section.entries:
            raise ValueError(
                f"target: expected {target!r} in {section.name} of {file}, got "
                f"{', '.join(section.config.get('targets') or {}) or 'none'}; name "
                "the target as the model does"
            )
        if missing := next(iter(section.missing), None):
            raise ValueError(
                f"data: expected the files that {section.name} of {file} names, but "
                f"{missing} does not exist; run from the folder of the options file"
            )
    return sections


def _drawn(options: OptionsFile) -> list[Section]:
    """Find the fraction of the training set that the last training run held out."""
    # Folders are called after the time at which their run began.
    found = options.path.parent.glob("outputs/*/*/indices/test*.txt")
    files = sorted(found, key=lambda file: (file.parent, len(file.name), file.name))
    last = [each for each in files if each.parent == files[-1].parent]
    whole = read_sections(options, "training_set")
    if not last or len(last) != len(whole):
        raise ValueError(
            f"data: expected {options.path} to name the data of its test_set, or the "
            "indices of a fraction in outputs/*/*/indices/test.txt beside it, as "
            "`mtt train` writes them, found neither; give the file of the data"
        )
    return [
        replace(
            section,
            keys=("test_set",) if len(whole) == 1 else ("test_set", position),
            indices=frozenset(np.loadtxt(file, dtype=int, ndmin=1).tolist()),
        )
        for position, (section, file) in enumerate(zip(whole, last, strict=True))
    ]


def _entries(data: Path, key: str) -> tuple[str, bool]:
    """Find the kind of samples that a target has, and whether it has a mask."""
    atoms = None
    try:
        if data.is_dir():
            names = {path.stem for path in data.glob("*.bin")}
        elif data.suffix == ".zip":
            with zipfile.ZipFile(data) as archive:
                names = {Path(name).stem for name in archive.namelist()}
        else:
            atoms = next(read_structures(data), ase.Atoms())
            names = {*atoms.info, *atoms.arrays}
    except Exception as error:  # files go wrong in many ways
        raise ValueError(
            f"data: expected a {data.suffix} file with targets, but {data} cannot be "
            f"read ({shorten(error)}); write it again"
        ) from error
    if key not in names:
        raise ValueError(
            f"data: expected targets called {key!r} in {data}, got "
            f"{', '.join(sorted(names)) or 'none'}; if the key is another, give an "
            "options file whose test_set names it"
        )
    if atoms is not None:
        of_atoms = key in atoms.arrays
    else:
        grid = data.parent / "grid.json"
        of_atoms = grid.exists() and TargetSpec.read(grid).projected
    return "atom" if of_atoms else "system", f"{key}_mask" in names
