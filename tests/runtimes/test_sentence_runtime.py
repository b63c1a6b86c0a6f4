"""The sentence runtime, held to the kit, to transformers, and to itself in any company."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimass.core.batch import Batch
from aimass.core.errors import AimassError, Invalid
from aimass.core.signature import Signature
from aimass.runtimes.sentence import SentenceRuntime
from aimass.runtimes.text import lengths
from aimass.runtimes.text.files import FILES, SETTINGS_FILE, read_settings
from aimass.runtimes.text.phrases import PHRASES
from aimass.runtimes.text.tokens import MAX_CHARACTERS
from aimass.testing.runtimes import RuntimeConformance
from tests.runtimes.sentence_models import MAX_TOKENS, SentenceModel, rows


class TestSentence(RuntimeConformance):
    kind = SentenceRuntime

    @pytest.fixture(autouse=True)
    def model(self, tiny_bert: SentenceModel) -> None:
        self._model = tiny_bert

    def write(self, folder: Path) -> Signature:
        for name in FILES:
            shutil.copyfile(self._model.files / name, folder / name)
        return self._model.signature

    def expected(self, batch: Batch) -> Batch:
        vectors, tokens = self._model.expected(batch["text"].tolist())
        return {"embedding": vectors, "tokens": tokens}


@pytest.fixture(scope="module")
def runtime(tiny_bert: SentenceModel) -> SentenceRuntime:
    return SentenceRuntime.load(tiny_bert.files, tiny_bert.signature)


def test_texts_of_all_kinds_get_what_transformers_gives(tiny_bert: SentenceModel, runtime: SentenceRuntime) -> None:
    texts = [*PHRASES, "", "ten thousand words " * 3_333]
    answer = runtime.predict({"text": rows(texts)})
    vectors, tokens = tiny_bert.expected(texts)
    np.testing.assert_allclose(answer["embedding"], vectors, atol=1e-5)
    np.testing.assert_array_equal(answer["tokens"], tokens)
    assert answer["tokens"][-1] == MAX_TOKENS
    np.testing.assert_allclose(np.linalg.norm(answer["embedding"], axis=1), 1, atol=1e-5)


@settings(max_examples=40)
@given(st.lists(st.sampled_from(PHRASES) | st.text(max_size=80), min_size=1, max_size=12))
def test_no_company_changes_an_answer(tiny_bert: SentenceModel, texts: list[str]) -> None:
    runtime = SentenceRuntime.load(tiny_bert.files, tiny_bert.signature)
    alone = np.concatenate([runtime.predict({"text": rows([text])})["embedding"] for text in texts])
    order = np.random.default_rng(len(texts)).permutation(len(texts))
    together = runtime.predict({"text": rows([texts[index] for index in order])})["embedding"]
    np.testing.assert_allclose(together, alone[order], atol=1e-5)


@given(st.lists(st.integers(min_value=0, max_value=512), max_size=200))
def test_rows_are_grouped_by_length(sizes: list[int]) -> None:
    groups = lengths.group_by_length(sizes)
    assert sorted(row for group in groups for row in group) == list(range(len(sizes)))
    for group in groups:
        longest, shortest = max(sizes[row] for row in group), min(sizes[row] for row in group)
        assert shortest >= lengths.SHORTEST * longest or longest - shortest <= lengths.CLOSE
        assert len(group) == 1 or len(group) * longest <= lengths.CALL_TOKENS


def test_padding_is_masked_and_nothing_else_is() -> None:
    made = lengths.pad([[5, 6, 7], [8]])
    assert made["input_ids"].tolist() == [[5, 6, 7], [8, 0, 0]]
    assert made["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert lengths.pad([[]])["attention_mask"].tolist() == [[0]]


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (7, "row 1 of 'text' is int"),
        (None, "is NoneType"),
        ("a" * (MAX_CHARACTERS + 1), "has 100,001 characters"),
        ("\ud800", "half a character"),
    ],
)
def test_what_is_no_text_is_named(runtime: SentenceRuntime, item: object, words: str) -> None:
    batch = rows(["good", "bad"])
    batch[1] = item
    with pytest.raises(Invalid, match=words) as caught:
        runtime.predict({"text": batch})
    assert caught.value.field == "text"


def test_bytes_are_read_as_utf_8(runtime: SentenceRuntime) -> None:
    words = "größer als 東京"
    given, plain = (runtime.predict({"text": rows([item])}) for item in (words.encode(), words))  # type: ignore[list-item]
    np.testing.assert_array_equal(given["embedding"], plain["embedding"])


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_missing_or_damaged_is_named(tiny_bert: SentenceModel, tmp_path: Path, name: str) -> None:
    for file in FILES:
        shutil.copyfile(tiny_bert.files / file, tmp_path / file)
    (tmp_path / name).write_bytes(b"{}")
    with pytest.raises(AimassError, match=name):
        SentenceRuntime.load(tmp_path, tiny_bert.signature)
    (tmp_path / name).unlink()
    with pytest.raises(AimassError, match=name):
        SentenceRuntime.load(tmp_path, tiny_bert.signature)


@pytest.mark.parametrize(
    "said",
    [
        '{"max_tokens": 0}',
        '{"max_tokens": true}',
        '{"max_tokens": 9, "together": 1}',
        '{"max_tokens": 9, "who": 1}',
        "[]",
    ],
)
def test_settings_are_read_strictly(tmp_path: Path, said: str) -> None:
    (tmp_path / SETTINGS_FILE).write_text(said)
    with pytest.raises(Invalid, match=SETTINGS_FILE):
        read_settings(tmp_path)
