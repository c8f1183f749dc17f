"""Defaults that the help of commands shows, in a module that imports nothing."""

DEFAULT_SPACING = 0.05
"""Distance between two energies (eV) unless the user asks for another one."""

DEFAULT_EXTRA_TARGETS = 200
"""Number of columns that a prediction has more than its target."""

# The default, that of metatrain, lets the cumulative term outweigh the DOS itself: the
# square of a running integral grows with the length of the energy axis.
RECOMMENDED_INT_WEIGHT = 0.01
"""Weight of the cumulative term around which the training runs of
``benchmarks/bench_losses.py`` come out best."""
