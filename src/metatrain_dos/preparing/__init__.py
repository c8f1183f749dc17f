"""From finished calculations to a data set: ``mtt-dos prepare``."""
