"""Since when nothing older is to be kept: what an operator cleaned away must not come back from a replica's spill."""

import json
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path

from aimass.core.home import write_whole

FILE = "cleaned.json"


class Cleaned:
    """The file, as whoever looks now and then sees it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._seen = self._changed()

    def is_new(self) -> bool:
        """Whether it was changed since the last look."""
        before, self._seen = self._seen, self._changed()
        return self._seen != before

    def _changed(self) -> int:
        with suppress(OSError):
            return self._path.stat().st_mtime_ns
        return 0


def marks(folder: Path) -> Mapping[str, float]:
    """Service, and the time up to which everything of it is gone."""
    try:
        found: dict[str, float] = json.loads((folder / FILE).read_bytes())
    except (OSError, ValueError):
        return {}
    return found


def is_cleaned(folder: Path) -> Callable[[str, float], bool]:
    """Whether a call of this service that ended at this time is gone."""
    found = marks(folder)
    if not found:
        return lambda service, at: False
    return lambda service, at: at <= found.get(service, 0.0)


def mark(folder: Path, names: Collection[str], at: float) -> None:
    """From now on all of these services up to this time is gone."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / FILE, json.dumps({**marks(folder), **dict.fromkeys(names, at)}).encode())
