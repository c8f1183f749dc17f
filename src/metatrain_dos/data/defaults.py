"""Defaults and names that the help of commands shows, without slow imports."""

DEFAULT_SMEARING = 0.3
"""Standard deviation of the Gaussian that stands for each eigenvalue, eV."""

TRUST_MARGIN = 3.0
"""How far below the end of the computed bands a DOS stops being trusted, in units of
the smearing: states that were not computed leak below their energy by no more than
that."""

DEFAULT_TRUST_MARGIN = 0.9
"""The same for the default smearing, eV."""

COARSEST = 0.5
"""Largest distance between two energies that ``mtt-dos prepare`` chooses, in units of
the smearing. Errors are at most a few percent larger than on a finer grid
(``benchmarks/bench_losses.py``)."""

DEFAULT_ALLOWANCE = 10.0
"""How far the loss can slide the targets of ``mtt-dos prepare``, eV."""

REFERENCES = {
    "raw": "energies as the code printed them",
    "fermi": "the Fermi level is zero",
    "vbm": "the highest state that is not above the Fermi level is zero",
    "neutral": "the level up to which the smeared states hold the electrons, in the "
    "middle of a gap, is zero; the Fermi level if the electrons are not known; if "
    "neither is known, the DOS of one composition agree",
}
"""Zeros that the energies of a data set can have."""

DEFAULT_REFERENCE = "neutral"
"""Zero of the data sets that ``mtt-dos prepare`` makes."""

FORMATS = ("xyz", "zip", "memmap")
"""Formats of a data set, see :data:`metatrain_dos.data.writers.DATASET_FORMATS`."""

LARGE_MEMORY = 300e6
"""Memory of a training run from which on data are better read from disk, bytes.

Extended XYZ of about 5000 structures, which metatrain takes some 20 s to read.
"""

LARGE_KPOINT_ERROR = 0.1
"""Error of a DOS, as a fraction of it, from which on we warn of too few k-points."""

SOURCES_FILE = "sources.csv"
"""Table in a data set with the source of each structure."""
