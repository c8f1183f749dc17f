"""What a report is to be made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Plan:
    """
    Hold what the user asks for; the command's help says what each of it means.

    What is ``None`` is found out.
    """

    model: Path
    data: Path
    output: Path
    structures: Sequence[int] = ()
    tail_weight: float | None = None
    target: str | None = None
    device: str = "auto"
    batch_size: int = 16
    extensions: Path | None = None
    grid: Path | None = None
    spacing: float | None = None
    extra_targets: int | None = None
