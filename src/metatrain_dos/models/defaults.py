"""Defaults and names that the help of commands shows, without slow imports."""

ZEROS = {
    "fermi": "the Fermi level; in a gap, its middle",
    "vbm": "the highest occupied state",
    "axis": "the zero of the training data, which is arbitrary",
}
"""Possible zeros of the energy axis."""

PARTS = ("atom", "element")
"""Possible parts of a structure with a DOS of their own."""

# Predictions are noisier than computed DOS: docs/predicting.md has the measurements.
DEFAULT_TOLERANCE = 0.1
"""Error of the integral of a predicted DOS in a gap, as a fraction of the electrons."""

DEFAULT_THRESHOLD = 0.005
"""Predicted DOS for each electron that counts as none, 1/eV."""
