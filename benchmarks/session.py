"""What is around every measurement: a folder that goes with it, one line when it cannot go on, figures kept as JSON."""

import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from aimass.cli.interrupts import interrupts
from benchmarks.load import LoadError
from benchmarks.peers.server import PeerError

Found = TypeVar("Found")


def measured(measure: Callable[[Path], Found], *needed: Callable[[], object]) -> Found | None:
    """What ``measure`` found; None, and said on stderr, when a tool that is ``needed`` is missing, or a server or a
    load generator failed. A stop ends what it started, and then this process by 130."""
    try:
        for require in needed:
            require()
        with interrupts(), tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
            return measure(Path(folder))
    except (LoadError, PeerError) as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return None
    except KeyboardInterrupt:
        print("Stopped; nothing was written.", file=sys.stderr)
        raise SystemExit(130) from None


def keep(outcome: Any, path: Path | None) -> None:
    """A dataclass of figures, where a file was asked for."""
    if path is not None:
        path.write_text(json.dumps(asdict(outcome), indent=1) + "\n")
