"""Draws the cost and accuracy curve of a run's cascade: `python deployments/cascade/curve.py RUN curve.png`."""

import sys
from pathlib import Path

from aimass.client import Control
from aimass.core.errors import AimassError
from aimass.pipeline.plots import save_plot


def main(run: str, picture: Path) -> None:
    """The run's report comes from the platform; what its name ends in says what kind of picture it becomes."""
    with Control() as control:
        save_plot(control.run(run)["report"], "cascade", picture)


if __name__ == "__main__":
    try:
        main(sys.argv[1], Path(sys.argv[2]))
    except AimassError as error:
        sys.exit(f"error: {error}")
