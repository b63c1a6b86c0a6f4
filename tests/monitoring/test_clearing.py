"""Request logs that nobody needs go, oldest first; those in use go on."""

import os
from pathlib import Path

from aimass.core.clock import SystemClock
from aimass.core.events import Trace
from aimass.monitoring.clearing import clear_old
from aimass.monitoring.recorder import Recorder
from aimass.monitoring.tail import last


def _log(folder: Path, name: str, size: int, at: float) -> Path:
    path = folder / f"requests-{name}.jsonl"
    path.write_bytes(b"x" * size)
    os.utime(path, (at, at))
    return path


def test_age_then_size_decide_and_other_files_stay(tmp_path: Path) -> None:
    for name, size, at in (("a", 100, 10), ("b", 100, 20), ("c.1", 100, 30), ("c", 100, 40)):
        _log(tmp_path, name, size, at)
    (tmp_path / "reconciler.log").write_text("kept")
    os.utime(tmp_path / "reconciler.log", (1, 1))
    assert clear_old(tmp_path, before=15, max_bytes=250) == 200
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "reconciler.log",
        "requests-c.1.jsonl",
        "requests-c.jsonl",
    ]
    assert clear_old(tmp_path, before=15, max_bytes=250) == 0


def test_a_living_replica_writes_on(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "replica", 1.0, SystemClock())
    for name in ("first", "second"):
        recorder.record(Trace(name, status=200))
        recorder.flush()
        found = [record["request_id"] for record in last(tmp_path, 5)]
        assert found == [name]
        clear_old(tmp_path, before=2e10, max_bytes=10**9)
