"""Paths of the files that tests read."""

from pathlib import Path


PROJECT = Path(__file__).parents[2]
OUTPUTS = PROJECT / "tests" / "outputs"
"""Outputs of DFT codes."""
STRUCTURES = PROJECT / "examples" / "data" / "structures.xyz"
"""The example data."""
