"""Datasets from scikit-learn and from CSV files, good and bad."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn import datasets as oracle

from aimass.core.errors import Invalid, NotFound
from aimass.data.dataset import Dataset
from aimass.data.sources import BUNDLED, load_bundled, load_csv


@pytest.mark.parametrize("source", BUNDLED)
def test_bundled_is_what_scikit_learn_has(source: str) -> None:
    rows, labels = getattr(oracle, f"load_{source}")(return_X_y=True)
    dataset = load_bundled(source)
    np.testing.assert_array_equal(dataset.rows, rows.astype(np.float32))
    np.testing.assert_array_equal(np.array(dataset.classes)[dataset.labels], labels)


def test_unknown_bundled_names_the_known() -> None:
    with pytest.raises(NotFound, match="digits"):
        load_bundled("mnist")


def test_csv_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "My plants.csv"
    path.write_text("width,kind,height\n1.5,rose,2\n0.5,oak,30\n1e0,rose,2.25\n")
    dataset = load_csv(path, "kind")
    assert dataset.name == "my-plants"
    assert dataset.columns == ("width", "height")
    assert dataset.classes == ("oak", "rose")
    assert dataset.labels.tolist() == [1, 0, 1]
    assert dataset.rows.tolist() == [[1.5, 2.0], [0.5, 30.0], [1.0, 2.25]]


def test_csv_with_whole_number_labels_keeps_their_order(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x,y\n1,10\n2,9\n3,10\n")
    dataset = load_csv(path, "y")
    assert dataset.classes == (9, 10)
    assert dataset.labels.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x,y\n1,a\nred,b\n", ":3: column 'x': 'red'"),
        ("x,y\n1,a\n,b\n", ":3: column 'x': ''"),
        ("x,y\n1,a\n1e39,b\n", "finite"),
        ("x,y\n1,a\n2\n", ":3: 1 values"),
        ("x,y\n", "no rows"),
        ("x,z\n1,2\n", "no column 'y'"),
        ("x,y\n1,a\n2,a\n", "at least two"),
    ],
)
def test_bad_csv_is_refused_with_the_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(Invalid, match=said):
        load_csv(path, "y")


def test_missing_csv_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"gone\.csv"):
        load_csv(tmp_path / "gone.csv", "y")


def test_digest_is_of_the_content() -> None:
    dataset = load_bundled("iris")
    assert dataset.digest == replace(dataset, name="other", source={}).digest
    touched = dataset.rows.copy()
    touched[7, 2] += 1e-3
    others: list[Dataset] = [
        replace(dataset, rows=touched),
        replace(dataset, labels=np.roll(dataset.labels, 1)),
        replace(dataset, columns=dataset.columns[::-1]),
    ]
    assert len({dataset.digest, *(other.digest for other in others)}) == 4
