"""Payloads survive what kills their writer, become Parquet once, and a full disk costs only what it costs."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from aimass.core.home import Home
from aimass.monitoring.payloads import log as log_module
from aimass.monitoring.payloads import record, retention, spill
from aimass.monitoring.payloads.parquet import from_table, to_table
from aimass.monitoring.payloads.payload import Form, Payload
from aimass.monitoring.payloads.reading import files, read
from aimass.monitoring.payloads.retention import DAY_S, Keep
from aimass.monitoring.payloads.secrets import Private, Secrets
from aimass.monitoring.payloads.spill import Spill, parts, records
from aimass.monitoring.payloads.storing import store
from aimass.testing.gateway import full_after
from tests.monitoring.payloads.made import NOON, everything, log_in, taken

LOOK = threading.Event()  # never set


def _until(is_so: Callable[[], bool]) -> None:
    for _ in range(2000):
        if is_so():
            return
        LOOK.wait(0.005)
    raise AssertionError("it did not come to that within 10 s")


def _ids(folder: Path, **asked: object) -> list[str]:
    return [item.request_id for item in read(Home(folder), **asked)]  # type: ignore[arg-type]


@given(
    x=arrays.arrays(
        st.sampled_from([np.float16, np.float32, np.float64, np.int64, np.uint8, np.bool_]),
        arrays.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4),
    ),
    texts=st.lists(st.binary(max_size=20), max_size=4),
    private=st.sampled_from([Private(), Private.of(["x"], ["name"]), Private.of(["name"], ["x"])]),
)
def test_a_payload_survives_record_and_table_without_loss(
    tmp_path_factory: pytest.TempPathFactory, x: np.ndarray, texts: list[bytes], private: Private
) -> None:
    secrets = Secrets(tmp_path_factory.getbasetemp() / "payload-key")
    call = ("request", "iris", NOON)
    name = np.array([*texts, None], object)[:-1]
    columns = [secrets.column(*item, call, private) for item in (("x", True, x), ("name", False, name))]
    payload = Payload("request", NOON, "iris", 3, 200, us={"run": 5}, nodes_us={"svm": 2}, columns=tuple(columns))
    refused = Payload("refused", NOON, "iris", 3, 400, error="no")
    assert record.decode(record.encode(payload)) == payload
    assert list(from_table(to_table([payload, refused]))) == [payload, refused]
    opened = secrets.open(payload)
    for batch, key, array in ((opened.inputs, "x", x), (opened.outputs, "name", name)):
        if key in private.mask:
            assert key in opened.hidden(Form.MASKED) and key not in batch
        else:
            assert batch[key].dtype == array.dtype
            assert batch[key].tobytes() == array.tobytes() if key == "x" else batch[key].tolist() == array.tolist()


def test_calls_are_read_at_once_and_stored_once_their_part_ends(tmp_path: Path) -> None:
    log, dropped = log_in(tmp_path)
    for index in range(5):
        log.offer(taken(f"r{index}", at=NOON + index * DAY_S / 2))
    _until(lambda: len(_ids(tmp_path)) == 5)
    assert store(tmp_path / "payloads") == 0, "its owner lives"
    log.close()
    assert store(tmp_path / "payloads") == 5
    assert store(tmp_path / "payloads") == 0
    assert parts(tmp_path / "payloads" / "spill") == []
    assert _ids(tmp_path) == ["r0", "r1", "r2", "r3", "r4"]
    assert _ids(tmp_path, since=NOON + DAY_S) == ["r2", "r3", "r4"]
    assert _ids(tmp_path, request_ids=["r3", "none"]) == ["r3"]
    assert _ids(tmp_path, service="wine") == []
    days = [path.parent.name for path in files(tmp_path / "payloads", "iris")]
    assert days == ["day=2026-11-21", "day=2026-11-22", "day=2026-11-23"]
    (first, *_) = read(Home(tmp_path))
    assert first.inputs["x"].tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert first.outputs["name"].tolist() == [b"a", "b\u00e9".encode()]
    assert (first.revision, first.probability, first.us["run"], first.nodes_us) == (7, 0.25, 1000, {"svm": 500})
    assert dropped == {}


def test_any_tool_reads_the_folder_as_one_table(tmp_path: Path) -> None:
    log, _ = log_in(tmp_path)
    log.offer(taken("a"))
    log.offer(taken("b", at=NOON + DAY_S, status=503, error="busy"))
    log.close()
    store(tmp_path / "payloads")
    table = pq.read_table(tmp_path / "payloads", columns=["request_id", "status", "in.x", "day", "error"]).to_pylist()
    found = sorted(table, key=lambda row: str(row["request_id"]))
    assert [(row["request_id"], row["status"], row["error"]) for row in found] == [("a", 200, ""), ("b", 503, "busy")]
    assert found[0]["in.x"] == [0, 1, 2, 3, 4, 5, 6, 7]
    assert found[1]["day"] == "2026-11-22"


def test_what_was_written_survives_a_kill_and_a_torn_end_is_passed_over(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tests.monitoring.payloads.made import log_in, taken\n"
        "log, _ = log_in(Path(sys.argv[1]))\n"
        "for index in range(20): log.offer(taken(f'r{index}'))\n"
        "print(flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None and child.stdin is not None
    child.stdout.readline()
    _until(lambda: len(_ids(tmp_path)) == 20)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    (part,) = parts(tmp_path / "payloads" / "spill")
    whole = part.read_bytes()
    part.write_bytes(whole[:-3])
    assert len(list(records(part))) == 19
    part.write_bytes(whole + whole[:50])
    assert len(list(records(part))) == 20
    damaged = bytearray(whole)
    damaged[-1] ^= 1
    part.write_bytes(damaged)
    assert store(tmp_path / "payloads") == 19
    assert len(_ids(tmp_path)) == 19


def test_a_store_that_was_killed_before_its_end_repeats_itself_without_harm(tmp_path: Path) -> None:
    log, _ = log_in(tmp_path)
    log.offer(taken("a"))
    log.close()
    (part,) = parts(tmp_path / "payloads" / "spill")
    data = part.read_bytes()
    store(tmp_path / "payloads")
    part.write_bytes(data)
    assert _ids(tmp_path) == ["a"], "in both for a moment, but one call"
    assert store(tmp_path / "payloads") == 1
    assert len(files(tmp_path / "payloads")) == 1


def test_a_full_disk_costs_only_what_does_not_fit_in_memory_and_it_catches_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(log_module, "AGAIN_S", 0.01)
    monkeypatch.setattr(log_module, "CALLS_HELD", 50)
    log, dropped = log_in(tmp_path)
    log.offer(taken("r0"))
    _until(lambda: log.held_bytes == 0)
    (part,) = parts(tmp_path / "payloads" / "spill")
    with full_after(part.stat().st_size + 100):  # a real write stops in the middle of a record
        for index in range(1, 500):
            log.offer(taken(f"r{index}"))
        _until(lambda: "payloads are not kept" in caplog.text)
        for index in range(500, 600):
            log.offer(taken(f"r{index}"))
        assert len(list(records(part))) == 1
        assert list(dropped) and set(dropped) <= {("iris", "disk"), ("iris", "memory")}
    _until(lambda: log.held_bytes == 0)
    log.offer(taken("last"))
    log.close()
    store(tmp_path / "payloads")
    kept = _ids(tmp_path)
    assert kept[0] == "r0" and kept[-1] == "last"
    assert len(kept) + sum(dropped.values()) == 601, "kept or counted, each of them"


def test_a_folder_that_cannot_be_written_disturbs_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "AGAIN_S", 0.01)
    (tmp_path / "payloads").write_text("in the way")
    log, dropped = log_in(tmp_path)
    log.offer(taken("a"))
    LOOK.wait(0.05)
    assert log.held_bytes > 0 and dropped == {}
    (tmp_path / "payloads").unlink()
    _until(lambda: _ids(tmp_path) == ["a"])
    log.close()


def test_memory_is_bounded_by_calls_bytes_and_the_size_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "payloads").write_text("in the way")
    size = taken("a").size_bytes
    monkeypatch.setattr(log_module, "CALL_BYTES", size)
    monkeypatch.setattr(log_module, "BYTES_HELD", 10 * size)
    log, dropped = log_in(tmp_path)
    log.offer(taken("large", np.zeros((9, 4), np.float32)))
    assert dropped == {("iris", "large"): 1}
    for index in range(20):
        log.offer(taken(f"r{index}"))
    assert log.held_bytes == 10 * size
    assert sum(dropped.values()) == 11


def test_a_backlog_that_nobody_takes_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill, "BACKLOG_BYTES", 1000)
    writer = Spill(tmp_path, "replica", part_bytes=400)
    with pytest.raises(OSError, match="nobody took"):
        for _ in range(10):
            writer.append([b"x" * 500])
    assert spill.size_bytes(tmp_path) < 2000


def test_private_columns_never_reach_the_disk_as_they_are(tmp_path: Path) -> None:
    secret, masked = np.float32(1234.5678), np.array([b"alice@example.com", b"bob@example.com"], object)
    private = Private.of(mask=["name"], encrypt=["x"])
    log, _ = log_in(tmp_path)
    for index in range(3):
        item = taken(f"r{index}", np.full((2, 4), secret), private)
        item.outputs["name"] = masked
        log.offer(item)
    log.offer(taken("failed", np.full((2, 4), secret), private, status=504, error="late"))
    _until(lambda: log.held_bytes == 0)
    spilt = everything(tmp_path)
    log.close()
    store(tmp_path / "payloads")
    for data in (spilt, everything(tmp_path)):
        assert b"r0" in data
        for hidden in (secret.tobytes() * 2, b"alice@", b"bob@", b"1234.5"):
            assert hidden not in data
    assert (tmp_path / "payload-key").stat().st_mode & 0o777 == 0o600
    shut = read(Home(tmp_path))
    assert [item.hidden(Form.SEALED) for item in shut] == [("x",)] * 4
    assert shut[0].outputs.keys() == {"label"} and not shut[0].inputs
    opened = [Secrets(tmp_path / "payload-key").open(item) for item in shut]
    assert all((item.inputs["x"] == secret).all() for item in opened)
    hashes = [next(c.data for c in item.columns if c.name == "name") for item in shut if item.status == 200]
    assert len(set(hashes)) == 1 and len(hashes[0]) == 32, "equal rows have equal hashes, 16 bytes each"
    sealed = {next(c.data for c in item.columns if c.name == "x") for item in shut}
    assert len(sealed) == 4, "equal rows are encrypted differently each time"


def test_a_service_keeps_its_days_and_megabytes(tmp_path: Path) -> None:
    folder = tmp_path / "payloads"
    for index in range(4):
        log, _ = log_in(tmp_path)
        log.offer(taken(f"r{index}", at=NOON + index * DAY_S))
        log.close()
        store(folder)
    (size, *_) = (path.stat().st_size for path in files(folder))
    now = NOON + 3 * DAY_S + 1
    assert retention.sweep(folder, {"iris": Keep(days=5, mb=1)}, now) == 0
    assert retention.sweep(folder, {"iris": Keep(days=2.5, mb=1)}, now) == size
    assert _ids(tmp_path) == ["r1", "r2", "r3"]
    retention.sweep(folder, {"iris": Keep(days=5, mb=2.2 * size / 1e6)}, now)
    assert _ids(tmp_path) == ["r2", "r3"]
    assert [(day.day, day.calls, day.rows) for day in retention.days(folder, "iris")] == [
        ("2026-11-23", 1, 2),
        ("2026-11-24", 1, 2),
    ]
    assert len(list((folder / "service=iris").iterdir())) == 2, "days of which nothing is left are gone"


def test_what_was_cleaned_does_not_come_back_from_a_living_spill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "REST_S", 0.01)
    log, _ = log_in(tmp_path)
    log.offer(taken("old"))
    log.offer(taken("other", service="wine"))
    _until(lambda: len(_ids(tmp_path)) == 2)
    retention.clean(tmp_path / "payloads", ["iris"], NOON)
    assert _ids(tmp_path) == ["other"]
    _until(lambda: store(tmp_path / "payloads") == 1)
    log.offer(taken("new", at=NOON + 1))
    log.close()
    store(tmp_path / "payloads")
    assert _ids(tmp_path) == ["other", "new"]
    assert b"old" not in everything(tmp_path / "payloads")
    retention.clean(tmp_path / "payloads", ["iris", "wine"], NOON + 2)
    assert _ids(tmp_path) == [] and retention.services(tmp_path / "payloads") == []
