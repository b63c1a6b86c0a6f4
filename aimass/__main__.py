"""``python -m aimass``: the same as the command ``aimass``."""

from aimass.cli.main import main

main()
