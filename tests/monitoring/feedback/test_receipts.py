"""Receipts are found by their ids in whichever file they lie, whole, while and after it is written."""

from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimass.monitoring.feedback.book import Book
from aimass.monitoring.feedback.receipt import Receipt, Shared, encode
from aimass.monitoring.feedback.receipts import Receipts

PREFIX = "0123abcd" + "0001924a5f3"
SHARED = Shared("digits", 7, "default", 1.0)


def _id(number: int, prefix: str = PREFIX) -> str:
    return f"{prefix}{number:08x}"


def _write(book: Book, numbers: list[int], shared: Shared = SHARED) -> None:
    """Each request with as many rows as its number's last digit says, and one more; labels: number * 100 + row."""
    requests = [(_id(number), number % 10 + 1) for number in numbers]
    labels = np.array([number * 100 + row for number in numbers for row in range(number % 10 + 1)])
    book.write(encode(shared, 5.0, requests, labels, {}), 1, max(numbers))


def test_one_of_several_in_a_line(tmp_path: Path) -> None:
    book, receipts = Book(tmp_path, PREFIX), Receipts(tmp_path)
    scores = np.array([[0.25, 0.75], [0.5, 0.5], [1.0, 0.0]], np.float32)
    requests = [(_id(7), 1), (_id(9), 2)]
    book.write(encode(Shared("iris", 2, "a", 0.05), 12.3456, requests, ["x", "y", "z"], {"tree": scores}), 1, 9)
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
    _write(book, [2])
    assert book.lost == 2
