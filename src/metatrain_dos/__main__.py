"""Run ``mtt-dos`` as ``python -m metatrain_dos``."""

from .commands.main import main


main()
