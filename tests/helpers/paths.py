"""Paths of the files that tests read."""

from pathlib import Path


PROJECT = Path(__file__).parents[2]
OUTPUTS = PROJECT / "tests" / "outputs"
"""Outputs of DFT codes."""
STRUCTURES = OUTPUTS / "coarse.xyz"
"""Calculations of 32 materials on coarse k-point grids: small, and quick to read."""
