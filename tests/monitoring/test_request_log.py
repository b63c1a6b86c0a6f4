"""The request log: which requests are written, how files turn over, and how all replicas' files read as one."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimass.core.clock import ManualClock
from aimass.core.events import Trace
from aimass.monitoring import recorder as recorder_module
from aimass.monitoring import tail
from aimass.monitoring.recorder import Recorder


def _recorder(folder: Path, clock: ManualClock, replica: str = "r", per_s: float = 10.0) -> Recorder:
    return Recorder(folder, replica, per_s, clock)


def _write(recorder: Recorder, *names: str, service: str = "iris") -> None:
    for name in names:
        recorder.record(Trace(name, service=service, status=200))
    recorder.flush()


def test_a_line_says_what_happened(tmp_path: Path) -> None:
    recorder = _recorder(tmp_path, ManualClock(5000.0))
    trace = Trace("req", client_id="mine", key_id="k", account="a", service="iris", revision=2, plan="fused", rows=3)
    trace.status, trace.run_s, trace.total_s, trace.node_s = 200, 0.0012, 0.002, {"scale": 0.0002}
    refused = Trace("bad", status=400, error_kind="invalid", error="input 'x' is missing")
    recorder.record(trace)
    recorder.record(refused)
    assert recorder.flush() == 2
    first, second = map(json.loads, (tmp_path / "requests-r.jsonl").read_text().splitlines())
    assert first["request_id"] == "req"
    assert (first["service"], first["revision"], first["plan"], first["status"]) == ("iris", 2, "fused", 200)
    assert first["us"] == {
        "decode": 0, "queue": 0, "run": 1200, "encode": 0, "total": 2000, "nodes": {"scale": 200}
    }  # fmt: skip
    assert (first["at"], first["client_id"], first["replica"]) == (5000.0, "mine", "r")
    assert "error" not in first
    assert (second["kind"], second["error"], second["revision"]) == ("invalid", "input 'x' is missing", None)


@given(
    per_s=st.one_of(st.just(0.0), st.floats(0.1, 100)),
    gaps=st.lists(st.floats(0, 2), max_size=200),
)
def test_no_more_than_the_wanted_number_a_second_is_written(
    tmp_path_factory: pytest.TempPathFactory, per_s: float, gaps: list[float]
) -> None:
    recorder = Recorder(tmp_path_factory.getbasetemp(), "r", per_s, ManualClock(0.0))
    now, written = 0.0, 0
    for gap in gaps:
        now += gap
        written += recorder.wants(now)
    assert written <= per_s * now + max(per_s, 1) + 1e-6
    if per_s == 0:
        assert written == 0


def test_a_slow_service_is_written_completely(tmp_path: Path) -> None:
    recorder = _recorder(tmp_path, ManualClock(0.0), per_s=10)
    assert all(recorder.wants(second / 5) for second in range(100))


def test_files_turn_over_and_the_oldest_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "FILE_BYTES", 1000)
    clock = ManualClock()
    recorder = _recorder(tmp_path, clock)
    for index in range(60):
        clock.advance(1)
        _write(recorder, f"request-{index}")
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["requests-r.1.jsonl", "requests-r.2.jsonl", "requests-r.3.jsonl", "requests-r.jsonl"]
    kept = [record["request_id"] for record in tail.last(tmp_path, 1000)]
    assert kept[-1] == "request-59"
    assert len(kept) == len(set(kept)) < 60
    assert set(kept) == {f"request-{index}" for index in range(60 - len(kept), 60)}


def test_a_disk_that_hangs_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "BUFFERED", 100)
    recorder = _recorder(tmp_path, ManualClock())
    for index in range(1000):
        recorder.record(Trace(str(index), status=500, error_kind="bug"))
    assert recorder.flush() <= 100
    assert recorder.dropped >= 900
    assert tail.last(tmp_path, 1)[0]["request_id"] == "999"


def test_lines_that_the_disk_refuses_are_counted(tmp_path: Path) -> None:
    recorder = _recorder(tmp_path / "logs", ManualClock())
    (tmp_path / "logs" / "requests-r.jsonl").mkdir()
    with pytest.raises(IsADirectoryError):
        _write(recorder, "a", "b", "c")
    assert (recorder.flush(), recorder.dropped) == (0, 3)


def test_the_last_lines_of_all_replicas_in_the_order_of_time(tmp_path: Path) -> None:
    clock = ManualClock()
    recorders = [_recorder(tmp_path, clock, f"r{index}") for index in range(3)]
    for index in range(30):
        clock.advance(1)
        _write(recorders[index % 3], f"request-{index}", service="iris" if index % 2 else "rose")
    assert [record["request_id"] for record in tail.last(tmp_path, 5)] == [f"request-{n}" for n in range(25, 30)]
    rose = [record["request_id"] for record in tail.last(tmp_path, 3, _is_rose)]
    assert rose == ["request-24", "request-26", "request-28"]
    assert tail.last(tmp_path, 0) == []
    assert tail.last(tmp_path / "nowhere", 5) == []


def _is_rose(record: tail.Record) -> bool:
    return bool(record["service"] == "rose")


def test_reading_backwards_crosses_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "BLOCK_BYTES", 97)
    recorder = _recorder(tmp_path, ManualClock())
    _write(recorder, *(f"request-{index}" for index in range(20)))
    for lines in (1, 7, 20, 50):
        got = [record["request_id"] for record in tail.last(tmp_path, lines)]
        assert got == [f"request-{index}" for index in range(20)][-lines:]
    _write(recorder, "one", service="rose")
    _write(recorder, *(f"again-{index}" for index in range(20)))
    assert [record["request_id"] for record in tail.last(tmp_path, 3, _is_rose)] == ["one"], "however rare they are"


def _take(records: Iterator[dict[str, Any] | None]) -> list[str]:
    found = []
    while (record := next(records)) is not None:
        found.append(record["request_id"])
    return found


def test_following_sees_what_comes_also_across_a_turn_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "FILE_BYTES", 800)
    recorder = _recorder(tmp_path, ManualClock())
    _write(recorder, "before")
    records = tail.follow(tmp_path, wait=lambda: None)
    assert _take(records) == []
    expected: list[str] = []
    got: list[str] = []
    for index in range(12):
        expected.append(f"request-{index}")
        _write(recorder, expected[-1])
        got += _take(records)
    assert got == expected
    other = _recorder(tmp_path, ManualClock(), "late")
    _write(other, "from a new replica")
    assert _take(records) == ["from a new replica"]


def test_half_a_line_waits_for_its_other_half(tmp_path: Path) -> None:
    records = tail.follow(tmp_path, wait=lambda: None)
    path = tmp_path / "requests-r.jsonl"
    assert _take(records) == []
    line = b'{"at":1,"request_id":"a"}\n'
    path.write_bytes(line[:9])
    assert _take(records) == []
    path.write_bytes(line)
    assert _take(records) == ["a"]
