"""Where a long fit keeps what it can go on from, and whom it tells how far it is."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Site:
    """Given to a trainer that may spread one fit over Ray's processes. Needs a Ray that is connected.

    ``folder`` is the run's, on storage that every node sees; ``name`` is the model's. ``progress`` is told of each
    epoch and of each worker that is lost.
    """

    folder: Path
    name: str
    progress: Callable[[dict[str, Any]], None]
