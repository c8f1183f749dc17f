"""Run metatrain's own set-up of data sets, which ``mtt train`` runs before training."""

import copy
import os
import tempfile
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from ..data.dataset import SPLITS
from ..data.sections import Section
from ..utils.text import shorten
from .findings import Findings


LARGEST = 20_000_000
"""Size of the files (bytes) up to which metatrain reads them as a whole here."""

FIRST = 20
"""Number of structures that metatrain reads of larger files."""


def check_set_up(findings: Findings, sections: Sequence[Section]) -> None:
    """
    Let metatrain read all targets, and compare its data sets.

    Data sets with errors so far are left out. Of large XYZ files metatrain reads the
    beginning.
    """
    from metatrain.utils.data import get_dataset
    from metatrain.utils.omegaconf import check_units

    wrong = [each.path for each in findings.found if each.severity == "error"]
    infos: dict[str, Any] = {}
    for section in sections:
        if any(path.startswith(section.name) for path in wrong):
            continue
        with tempfile.TemporaryDirectory() as folder:
            config = _affordable(section, Path(folder))
            if config is None:
                continue
            try:
                _, targets, extra = get_dataset(OmegaConf.create(config))
                if section.keys[0] == "training_set":
                    for name, info in (targets | extra).items():
                        if infos.setdefault(name, info) != info:
                            raise ValueError(
                                f"{name!r} differs from that of an earlier training set"
                            )
            except Exception as error:  # metatrain raises many kinds
                _add_stop(findings, section.keys, error)
    if wrong:
        return
    of = {name: [each for each in sections if each.keys[0] == name] for name in SPLITS}
    for name in SPLITS[1:]:
        if of[name] and of["training_set"]:
            actual, desired = (
                OmegaConf.create([each.config for each in of[part]])
                for part in (name, "training_set")
            )
            try:
                check_units(actual_options=actual, desired_options=desired)
            except Exception as error:
                _add_stop(findings, (name,), error)


def _affordable(section: Section, folder: Path) -> dict[str, Any] | None:
    """Make the options for as much of a data set as can be read soon, if anything."""
    source = section.source
    if source.suffix == ".zip" or source.is_dir():
        return section.config  # metatrain only opens them
    files = {str(source), *(each["read_from"] for each in section.entries.values())}
    if sum(os.path.getsize(file) for file in files) <= LARGEST:
        return section.config
    if len(files) > 1 or source.suffix not in (".xyz", ".extxyz"):
        return None
    beginning = folder / source.name
    lines: list[str] = []
    with source.open(encoding="utf-8") as file:
        for count in islice(iter(file.readline, ""), FIRST):
            lines += [count, *islice(file, int(count) + 1)]
    beginning.write_text("".join(lines), "utf-8")
    config: dict[str, Any] = copy.deepcopy(section.config)
    targets, extra = config.get("targets") or {}, config.get("extra_data") or {}
    for entry in (config["systems"], *targets.values(), *extra.values()):
        entry["read_from"] = str(beginning)
    return config


def _add_stop(
    findings: Findings, keys: tuple[str | int, ...], error: Exception
) -> None:
    """Add an error with which metatrain stops."""
    findings.add(
        "error",
        keys,
        f"metatrain cannot set it up: {shorten(error)}",
        "`mtt train` stops there, after it has read the data",
        "correct the options of this data set, or write it again",
    )
