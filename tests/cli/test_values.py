"""What the commands read from people and write for them."""

import numpy as np
import pytest

from aimass.cli import terminal
from aimass.cli.keys import read_duration
from aimass.cli.logs import line_of
from aimass.cli.models import read_version
from aimass.cli.predict import as_plain, describe, read_rows, show
from aimass.client.prediction import Prediction
from aimass.core.batch import Array
from aimass.core.errors import Invalid
from aimass.core.signature import Datatype, TensorSpec

X = TensorSpec("x", Datatype.FP32, (-1, 2))
N = TensorSpec("n", Datatype.INT64, (-1, 1))
T = TensorSpec("t", Datatype.BYTES, (-1,))


@pytest.mark.parametrize("text", ["[[1, 2], [3, null]]", '{"x": [[1, 2], [3, null]]}'])
def test_rows_are_read_alone_or_by_name(text: str) -> None:
    np.testing.assert_array_equal(read_rows(text, (X,))["x"], np.array([[1, 2], [3, np.nan]], np.float32))


def test_texts_are_rows_too() -> None:
    assert read_rows('["a", "b"]', (T,))["t"].tolist() == ["a", "b"]


@pytest.mark.parametrize(
    "text, says",
    [
        ("[[1, 2", "not JSON"),
        ("[[1, 2], [3]]", "rows of 'x' are not FP32: they differ in length$"),
        ("[[1, 1e40]]", "rows of 'x' are not FP32: a number is too large$"),
        ('{"n": [[1' + "0" * 30 + "]]}", "rows of 'n' are not INT64: a number is too large$"),
        ('[["a", "b"]]', "rows of 'x' are not FP32"),
        ('{"inputs": []}', "give the rows alone"),
    ],
)
def test_wrong_rows_are_named(text: str, says: str) -> None:
    with pytest.raises(Invalid, match=says):
        read_rows(text, (X, N) if '"n"' in text else (X,))


def test_rows_of_several_inputs_need_names() -> None:
    with pytest.raises(Invalid, match="takes x, t; give an object"):
        read_rows("[[1, 2]]", (X, T))


def answer(**outputs: Array) -> Prediction:
    return Prediction(outputs, "r-1", "digits", 3, "merged")


def test_an_answer_in_words_names_the_likeliest() -> None:
    lines = describe(answer(label=np.array([7]), probabilities=np.array([[0.1, 0.2, 0.3, 0.4]])))
    assert lines[:2] == ["label: 7", "probabilities: 3 40.0 %, 2 30.0 %, 1 20.0 %"]


def test_an_answer_as_json_has_no_nan_and_no_bytes() -> None:
    plain = as_plain(answer(p=np.array([[0.5, np.nan]]), t=np.array([b"gr\xc3\xbcn"], dtype=object)))
    assert plain["outputs"] == {"p": [[0.5, None]], "t": ["grün"]}


@pytest.mark.parametrize("text, seconds", [("90s", 90), ("15m", 900), ("12h", 43200), ("30d", 2592000)])
def test_durations(text: str, seconds: int) -> None:
    assert read_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "d", "0d", "-1d", "1w", "1.5h"])
def test_wrong_durations(text: str) -> None:
    with pytest.raises(Invalid, match="30d"):
        read_duration(text)


def test_versions_are_numbers() -> None:
    assert read_version("digits-forest@3") == ("digits-forest", 3)


def test_a_picture_without_colours_is_drawn_in_shades() -> None:
    lines = terminal.picture_lines(np.array([[0, 16], [8, 4]], np.float32))
    assert lines == ["  ██", "▒▒░░"]


def test_a_flat_picture_is_drawn_too() -> None:
    assert terminal.picture_lines(np.ones((1, 2), np.float32)) == ["    "]


def test_answers_of_any_type_and_shape_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    given = answer(
        words=np.array([["a", "b"]], dtype=object), grid=np.ones((1, 2, 2), np.float32), ids=np.array([[3, 4]])
    )
    show(given)
    printed = capsys.readouterr().out
    assert "a b" in printed
    assert "1.000 1.000 1.000 1.000" in printed
    assert describe(given)[:3] == ["words: a b", "grid: 1.000 1.000 1.000 1.000", "ids: 3 4"]


def test_no_time_is_too_far_to_be_shown() -> None:
    assert terminal.when(0.0) == ""
    assert terminal.when(8.6e18) == terminal.when(float("inf")) == "beyond the calendar"


def test_one_is_not_plural() -> None:
    assert "  1 row  " in line_of({"rows": 1})
    assert "  2,000 rows  " in line_of({"rows": 2000})
