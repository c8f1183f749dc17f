"""From trained models to numbers: predictions, errors, Fermi levels and gaps."""
