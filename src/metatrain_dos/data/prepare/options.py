"""The options of ``mtt-dos prepare`` with their defaults."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..recipe import Architecture


@dataclass(frozen=True)
class PrepareOptions:
    """
    The options of a data set; the help of the command describes each of them.

    Fields that ``grid.json`` has, too, are ``None`` for its defaults, or with ``like``
    for those of another data set.
    """

    sources: Sequence[str]
    output: Path
    lists: Sequence[str] = ()
    like: Path | None = None
    spacing: float | None = None
    energy_range: tuple[float, float] | None = None
    smearing: float | None = None
    extra_targets: int | None = None
    trust_margin: float | None = None
    reference: str | None = None
    spin_resolved: bool | None = None
    projected: bool | None = None
    steps: bool = False
    dos_smearing: float | None = None
    dos_range: tuple[float, float] | None = None
    keep_duplicates: bool = False
    split: str = "0.8,0.1,0.1"
    seed: int = 0
    group_by: str | None = None
    stratify_by: str | None = None
    energy: bool = False
    architecture: Architecture = "soap_bpnn"
    format: str | None = None
    workers: int = 1
    scheduler: str | None = None
    strict: bool = False
    tolerance: float = 0.5
