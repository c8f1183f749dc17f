"""Compare what a model predicts with what was computed: ``mtt-dos evaluate``."""
