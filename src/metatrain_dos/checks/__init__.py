"""Find whatever would spoil a training run before it starts."""
