"""Receipts are found by their ids in whichever file they lie, whole, while and after it is written."""

import logging
import os
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimass.monitoring.feedback import receipts as reading
from aimass.monitoring.feedback.book import BOOKS, Book, Books
from aimass.monitoring.feedback.receipt import Receipt, Shared, encode
from aimass.monitoring.feedback.receipts import Part, Receipts

PREFIX = "0123abcd" + "0001924a5f3"
SHARED = Shared("digits", 7, "default", 1.0)


def _id(number: int, prefix: str = PREFIX) -> str:
    return f"{prefix}{number:08x}"


def _write(book: Book, numbers: list[int], shared: Shared = SHARED) -> None:
    """Each request with as many rows as its number's last digit says, and one more; labels: number * 100 + row."""
    requests = [(_id(number), number % 10 + 1) for number in numbers]
    labels = np.array([number * 100 + row for number in numbers for row in range(number % 10 + 1)])
    book.write(encode(shared, 5.0, requests, labels, {}), [len(requests)], max(numbers))


def test_one_of_several_in_a_line(tmp_path: Path) -> None:
    book, receipts = Book(tmp_path, PREFIX), Receipts(tmp_path)
    scores = np.array([[0.25, 0.75], [0.5, 0.5], [1.0, 0.0]], np.float32)
    requests = [(_id(7), 1), (_id(9), 2)]
    book.write(encode(Shared("iris", 2, "a", 0.05), 12.3456, requests, ["x", "y", "z"], {"tree": scores}), [3], 9)
    assert receipts.find([_id(9), _id(8)]) == {
        _id(9): Receipt(_id(9), Shared("iris", 2, "a", 0.05), 12.346, 2, ["y", "z"], {"tree": [[0.5, 0.5], [1.0, 0.0]]})
    }


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=60), st.randoms(use_true_random=False), st.integers(100, 3000))
def test_every_one_is_found_and_no_other(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], random: Random, part_bytes: int
) -> None:
    """Calls end out of order, by up to some twenty; a file is begun anew every few lines; one reader looks on."""
    folder = tmp_path_factory.mktemp("receipts")
    book, receipts = Book(folder, PREFIX, part_bytes), Receipts(folder)
    order = sorted(range(1, sum(sizes) + 1), key=lambda number: number + random.random() * 3)
    at = 0
    for size in sizes:
        _write(book, order[at : at + size])
        at += size
        assert receipts.find([_id(order[at - 1])]).keys() == {_id(order[at - 1])}
    for number in order:
        found = Receipts(folder).find([_id(number)])[_id(number)]
        assert found.labels == [number * 100 + row for row in range(found.rows)]
        assert found.rows == number % 10 + 1
    some = [_id(number) for number in order[::3]]
    assert receipts.find_near(some) == receipts.find(some)  # whose files were all looked into just now
    assert Receipts(folder).find_near(some) is None  # none of these files is known yet
    strange = [_id(0), _id(sum(sizes) + 1), _id(1, "f" * 19), "", "zz", _id(1) + "0", _id(1).upper()]
    assert receipts.find(strange) == {}


def test_a_line_that_was_cut_off_hides_nothing(tmp_path: Path) -> None:
    book, receipts = Book(tmp_path, PREFIX), Receipts(tmp_path)
    _write(book, [1])
    path = next(tmp_path.iterdir())
    whole = encode(SHARED, 5.0, [(_id(2), 1)], [3], {})
    with path.open("ab") as file:
        file.write(whole[:20])
    assert receipts.find([_id(1), _id(2)]).keys() == {_id(1)}
    with path.open("ab") as file:
        file.write(whole[20:])
    assert receipts.find([_id(1), _id(2)]).keys() == {_id(1), _id(2)}


def test_after_its_file_was_removed_as_too_old_a_new_one_is_begun(tmp_path: Path) -> None:
    book, receipts = Book(tmp_path, PREFIX), Receipts(tmp_path)
    _write(book, [1])
    assert receipts.find([_id(1)]).keys() == {_id(1)}
    next(tmp_path.iterdir()).unlink()
    _write(book, [2])
    assert receipts.find([_id(1), _id(2)]).keys() == {_id(2)}


def test_a_disk_that_takes_nothing_is_counted_and_fails_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    book = Book(tmp_path / "file", PREFIX)
    _write(book, [1])
    _write(book, [2, 3])
    assert book.lost == 3


def _open_files(folder: Path) -> list[str]:
    """Of this process, in that folder, removed ones too."""
    links = [path.readlink() for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    return [str(link) for link in links if link.parent == folder]


@pytest.mark.parametrize(("name", "bound"), [("FILES_OPEN", 2), ("FILES_OPEN", 1), ("LINES_OPEN", 5)])
def test_more_files_than_may_be_open_are_all_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, bound: int
) -> None:
    """Two calls in each of five files; each call may be in the next three files as well."""
    open_at_once: list[int] = []

    class Seen(Part):
        def read_on(self) -> None:
            open_at_once.append(len(_open_files(tmp_path)))
            super().read_on()

    monkeypatch.setattr(reading, name, bound)
    monkeypatch.setattr(reading, "Part", Seen)
    book = Book(tmp_path, PREFIX, part_bytes=150)
    for number in range(1, 11):
        _write(book, [number])
    book.close()
    assert len(list(tmp_path.iterdir())) == 5
    with Receipts(tmp_path) as receipts:
        wanted = {_id(number) for number in range(1, 11)}
        for _ in range(3):
            assert receipts.find(wanted).keys() == wanted
            assert len(open_at_once) == 5  # each file is read on once
            assert max(open_at_once) <= 3
            assert 1 <= len(_open_files(tmp_path)) <= 2
            open_at_once.clear()
    assert _open_files(tmp_path) == []


def test_a_file_that_was_removed_is_let_go_at_the_next_look(tmp_path: Path) -> None:
    book = Book(tmp_path, PREFIX, part_bytes=1)
    for number in (1, 2):
        _write(book, [number])
    book.close()
    with Receipts(tmp_path) as receipts:
        receipts.find([_id(1), _id(2)])
        assert len(_open_files(tmp_path)) == 2
        min(tmp_path.iterdir()).unlink()
        assert receipts.find([_id(1), _id(2)]).keys() == {_id(2)}
        assert len(_open_files(tmp_path)) == 1


def test_a_file_that_came_at_the_same_tick_of_the_clock_is_seen(tmp_path: Path) -> None:
    book, receipts = Book(tmp_path, PREFIX, part_bytes=1), Receipts(tmp_path)
    _write(book, [1])
    tick = tmp_path.stat().st_mtime_ns + 10**12  # ahead: however slow this machine is, that tick is not over
    os.utime(tmp_path, ns=(tick, tick))
    assert receipts.find([_id(1)]).keys() == {_id(1)}
    _write(book, [2])
    os.utime(tmp_path, ns=(tick, tick))
    assert receipts.find([_id(2)]).keys() == {_id(2)}


def test_a_line_that_cannot_be_read_hides_nothing_behind_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    book, receipts = Book(tmp_path, PREFIX), Receipts(tmp_path)
    _write(book, [1])
    whole = encode(SHARED, 5.0, [(_id(3), 1)], [3], {})
    nine = encode(SHARED, 5.0, [(PREFIX + "100000000", 1)], [3], {})
    with next(tmp_path.iterdir()).open("ab") as file:
        file.write(b"".join([nine, b"\n", b"{}\n", b'{"n":"\xff"}\n', b'{"n":""}\n', whole[:-9] + b"\n"]))
    _write(book, [2])
    with caplog.at_level(logging.WARNING):
        assert receipts.find([_id(1), _id(2), _id(3)]).keys() == {_id(1), _id(2)}
    assert len([record for record in caplog.records if "is no receipt" in record.message]) == 5


def test_nothing_is_written_behind_what_was_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls 7 and 5 and 6 end in this order, and the disk takes half of the second's line."""
    book, receipts = Book(tmp_path, PREFIX, part_bytes=1), Receipts(tmp_path)
    _write(book, [7])
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[: len(data) // 2]))
        _write(book, [5])
    _write(book, [6])
    assert book.lost == 1
    assert receipts.find([_id(5), _id(6), _id(7)]).keys() == {_id(6), _id(7)}
    assert [path.read_bytes().count(b"\n") for path in sorted(tmp_path.iterdir())] == [1, 0, 1]


def test_a_full_disk_gets_no_file_for_each_line_that_it_does_not_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = Book(tmp_path, PREFIX)

    def refuse(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", refuse)
        for number in range(1, 6):
            _write(book, [number])
    _write(book, [6])
    assert book.lost == 5
    assert len(list(tmp_path.iterdir())) == 1
    assert Receipts(tmp_path).find([_id(6)]).keys() == {_id(6)}


def test_a_slow_calls_receipt_is_in_the_book_of_its_own_id(tmp_path: Path) -> None:
    books, receipts = Books(tmp_path), Receipts(tmp_path)
    newer = PREFIX[:-1] + "4"
    for prefix, number in ((PREFIX, 2**31 - 1), (newer, 1), (PREFIX, 2**31 - 2), (newer, 2)):
        lines = encode(SHARED, 5.0, [(_id(number, prefix), 1)], [3], {})
        books.of(prefix).write(lines, [1], number)
    wanted = {_id(2**31 - 1), _id(2**31 - 2), _id(1, newer), _id(2, newer)}
    assert receipts.find(wanted).keys() == wanted


def test_old_books_are_closed_and_what_they_lost_stays_counted(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    lost = Books(tmp_path / "file")
    kept = Books(tmp_path / "receipts")
    for number in range(4):
        for books in (lost, kept):
            prefix = PREFIX[:-1] + str(number)
            books.of(prefix).write(encode(SHARED, 5.0, [(_id(1, prefix), 1)], [3], {}), [1], 1)
    assert lost.lost == 4
    assert (kept.lost, len(_open_files(tmp_path / "receipts"))) == (0, BOOKS)
    kept.close()
    assert _open_files(tmp_path / "receipts") == []
