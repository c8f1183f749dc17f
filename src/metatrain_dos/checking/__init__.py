"""What would spoil a training, found before it begins: ``mtt-dos check``."""
