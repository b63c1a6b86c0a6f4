"""What a batch holds in memory is known, texts or numbers."""

import tracemalloc

import numpy as np
import pytest

from aimass.core.batch import size_of


@pytest.mark.parametrize("letter", ["a", "é", "語", "😀"])
@pytest.mark.parametrize("is_bytes", [True, False])
def test_texts_weigh_what_python_allocates_for_them(letter: str, is_bytes: bool) -> None:
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        made = [letter * length for length in range(2, 2000)]
        array = np.array([text.encode() for text in made] if is_bytes else made, object)
        del made
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size_of({"text": array}) == pytest.approx(after - before, rel=0.02)


def test_numbers_weigh_their_bytes() -> None:
    assert size_of({"x": np.zeros((2, 3), np.float32), "fixed": np.array([b"abcd"]), "none": np.zeros(0, object)}) == 28
