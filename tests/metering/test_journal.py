"""The journal survives what kills its writer, and drains into the database once, however often it is tried."""

import os
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from aimass.core.errors import Unavailable
from aimass.database.engine import Database
from aimass.database.tables import JournalRow, UsageEventRow
from aimass.metering import drain as drain_module
from aimass.metering.drain import drain_once
from aimass.metering.journal import EventEncoder, Journal, decode_event
from aimass.metering.usage import totals
from aimass.testing.gateway import full_after

ENCODER = EventEncoder("default", "key-1", "iris", 3, "merged")


def _line(seq: int, rows: int = 2) -> bytes:
    return ENCODER.encode((seq, 1000.0 + seq, rows, 10, 20, 30), f"request-{seq}", "", '{"merged":12}')


def _fill(journal: Journal, count: int) -> None:
    for _ in range(count):
        journal.seq += 1
        journal.append(_line(journal.seq))


def _seqs(database: Database) -> list[tuple[str, int]]:
    with database.reading() as session:
        rows = session.execute(select(UsageEventRow.journal, UsageEventRow.seq)).all()
    return sorted((row.journal, row.seq) for row in rows)


@given(
    st.text(max_size=20),
    st.text(min_size=1, max_size=20),
    st.integers(0, 2**40),
    st.dictionaries(st.text("abc", min_size=1), st.integers(0, 10**9)),
)
def test_an_event_survives_its_line(client_id: str, name: str, number: int, nodes: dict[str, int]) -> None:
    encoder = EventEncoder(name, name, name, 7, "fused")
    numbers = (number, 1234.5, number, number, number, number)
    line = encoder.encode(numbers, "request", client_id, orjson.dumps(nodes).decode())
    assert line.endswith(b"\n")
    event = decode_event("journal", line)
    assert event is not None
    assert asdict(event) == {
        "journal": "journal", "seq": number, "at": 1234.5, "account": name, "key_id": name, "service": name,
        "revision": 7, "plan": "fused", "request_id": "request", "client_id": client_id, "rows": number,
        "bytes_in": number, "bytes_out": number, "total_us": number, "node_us": nodes,
    }  # fmt: skip
    assert decode_event("journal", line[: len(line) // 2]) is None
    newer = line.replace(b"{", b'{"price_micros":3,', 1)
    assert decode_event("journal", newer) == event


def test_a_living_journal_is_drained_bit_by_bit_and_kept(tmp_path: Path, database: Database) -> None:
    journal = Journal(tmp_path / "journal", "replica")
    _fill(journal, 5)
    assert drain_once(database, tmp_path / "journal") == 5
    assert drain_once(database, tmp_path / "journal") == 0
    _fill(journal, 3)
    assert drain_once(database, tmp_path / "journal") == 3
    assert _seqs(database) == [(journal.name, seq) for seq in range(1, 9)]
    assert list((tmp_path / "journal").iterdir())
    journal.close()
    assert drain_once(database, tmp_path / "journal") == 0
    assert not list((tmp_path / "journal").iterdir())


def test_a_limit_is_kept(tmp_path: Path, database: Database) -> None:
    journals = [Journal(tmp_path, f"replica-{index}") for index in range(3)]
    for journal in journals:
        _fill(journal, 10)
    assert [drain_once(database, tmp_path, limit=12) for _ in range(4)] == [12, 12, 6, 0]
    for journal in journals:
        journal.close()


def test_a_drain_that_is_repeated_from_the_start_counts_nothing_twice(tmp_path: Path, database: Database) -> None:
    journal = Journal(tmp_path, "replica")
    _fill(journal, 50)
    drain_once(database, tmp_path)
    with database.session() as session:
        row = session.get(JournalRow, journal.name)
        assert row is not None
        row.offset = 0  # as if the note of how far it went were lost
    drain_once(database, tmp_path)
    assert len(_seqs(database)) == 50
    journal.close()


def test_large_journals_are_read_in_chunks(tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain_module, "CHUNK_BYTES", 1000)
    journal = Journal(tmp_path, "replica")
    _fill(journal, 40)
    assert drain_once(database, tmp_path) == 40
    journal.close()


def test_a_line_longer_than_a_chunk_does_not_end_the_file(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain_module, "CHUNK_BYTES", 50)
    journal = Journal(tmp_path, "replica")
    _fill(journal, 3)
    journal.close()
    assert drain_once(database, tmp_path) == 3
    assert list(tmp_path.glob("*.jsonl")) == []


def test_a_disk_that_takes_no_new_file_is_said_plainly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path, "replica", part_bytes=1)
    _fill(journal, 1)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fcntl.flock", full)
    with pytest.raises(Unavailable, match="No space left"):
        journal.append(b"{}\n")
    journal.close()


def test_a_line_that_was_cut_off_is_left_out_and_those_after_it_count(tmp_path: Path, database: Database) -> None:
    journal = Journal(tmp_path, "replica")
    _fill(journal, 2)
    path = next(tmp_path.glob("*.jsonl"))
    whole = path.read_bytes()
    path.write_bytes(whole + _line(3)[:40] + b"\n" + _line(4) + _line(5)[:50])
    assert drain_once(database, tmp_path) == 3
    assert [seq for _, seq in _seqs(database)] == [1, 2, 4]
    journal.close()


def test_full_files_make_way_for_new_ones(tmp_path: Path, database: Database) -> None:
    journal = Journal(tmp_path, "replica", part_bytes=1000)
    _fill(journal, 30)
    assert len(list(tmp_path.glob("*.jsonl"))) > 3
    assert drain_once(database, tmp_path) == 30
    assert [path.stem for path in tmp_path.glob("*.jsonl")] == [journal.name]
    journal.close()


def test_a_disk_that_takes_nothing_is_said_plainly(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "replica")
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, journal._descriptor)
    os.close(full)
    with pytest.raises(Unavailable, match="No space left"):
        journal.append(_line(1))
    journal.close()


@pytest.mark.parametrize("left", [1, 2])
def test_a_write_that_was_cut_short_counts_its_whole_lines_and_harms_none_after(
    tmp_path: Path, database: Database, left: int
) -> None:
    """``left``: bytes that did not fit; with one only the line's end is missing."""
    journal = Journal(tmp_path, "replica")
    _fill(journal, 1)
    lines = [_line(seq) for seq in (2, 3, 4)]
    size = next(tmp_path.glob("*.jsonl")).stat().st_size + sum(map(len, lines)) - left
    with full_after(size):
        assert journal.append(b"".join(lines)) == 2
    assert drain_once(database, tmp_path) == 3
    assert journal.append(_line(5) + _line(6)) == 2
    drain_once(database, tmp_path)
    assert [seq for _, seq in _seqs(database)] == [1, 2, 3, 5, 6]
    assert [path.stem for path in tmp_path.glob("*.jsonl")] == [journal.name]
    journal.close()


def test_every_event_before_a_kill_is_there_after_it(tmp_path: Path, database: Database) -> None:
    writer = (
        "import sys; from pathlib import Path; from aimass.metering.journal import EventEncoder, Journal\n"
        "journal = Journal(Path(sys.argv[1]), 'victim')\n"
        "encoder = EventEncoder('default', 'key-1', 'iris', 3, 'merged')\n"
        "while True:\n"
        "    journal.seq += 1\n"
        "    journal.append(encoder.encode((journal.seq, 1.0, 1, 1, 1, 1), 'r', '', '{}'))\n"
        "    print(journal.seq, flush=True)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", writer, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    answered = [int(child.stdout.readline()) for _ in range(200)][-1]
    drained = drain_once(database, tmp_path)
    assert list(tmp_path.glob("victim-*.jsonl")), "the file of a living owner stays"
    child.send_signal(signal.SIGKILL)
    rest, _ = child.communicate()
    answered = max([answered, *map(int, rest.split()[:-1])])
    drained += drain_once(database, tmp_path, limit=10**9)
    found = [seq for _, seq in _seqs(database)]
    assert drained == len(found)
    assert found == list(range(1, len(found) + 1))
    assert len(found) >= answered
    assert not list(tmp_path.glob("victim-*.jsonl"))


def test_usage_is_summed_by_service_revision_and_key(tmp_path: Path, database: Database) -> None:
    journal = Journal(tmp_path, "replica")
    for service, key, rows in (("a", "k1", 3), ("a", "k1", 4), ("a", "k2", 5), ("b", "k1", 6)):
        journal.seq += 1
        encoder = EventEncoder("default", key, service, 1, "merged")
        journal.append(encoder.encode((journal.seq, float(journal.seq), rows, 10, 20, 30), "r", "", "{}"))
    drain_once(database, tmp_path)
    with database.reading() as session:
        found = {(item.service, item.key_id): (item.calls, item.rows, item.total_us) for item in totals(session)}
        assert found == {("a", "k1"): (2, 7, 60), ("a", "k2"): (1, 5, 30), ("b", "k1"): (1, 6, 30)}
        assert [item.service for item in totals(session, service="b")] == ["b"]
        assert totals(session, service="nobody") == []
    journal.close()
