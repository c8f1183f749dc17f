"""Run ``mtt-dos`` as ``python -m metatrain_dos``."""

from .cli import main


main()
