"""The commands of ``mtt-dos``: parsers, messages and exit status."""
