"""Where datasets come from: real data that scikit-learn brings along, as it is or varied, or a CSV file."""

import csv
import math
from pathlib import Path

import numpy as np

from aimass.core.errors import Invalid, NotFound
from aimass.data.dataset import Dataset, index_labels

BUNDLED = ("breast_cancer", "digits", "iris", "wine")
CSV = "csv"
MOVED_DIGITS = "moved_digits"  # made in a file of that name
SOURCES = (*BUNDLED, CSV, MOVED_DIGITS)


def load_bundled(source: str) -> Dataset:
    """One of ``BUNDLED``, out of the installed scikit-learn; classes are 0, 1, 2, …"""
    import sklearn
    from sklearn import datasets

    if source not in BUNDLED:
        raise NotFound(f"no bundled dataset {source!r}; there are: {', '.join(BUNDLED)}", field="source")
    bunch = getattr(datasets, f"load_{source}")()
    classes = np.unique(bunch.target)
    return Dataset(
        name=source.replace("_", "-"),
        rows=bunch.data.astype(np.float32),
        labels=np.searchsorted(classes, bunch.target).astype(np.int64),
        classes=tuple(int(label) for label in classes),
        columns=tuple(str(name) for name in bunch.feature_names),
        source={"source": source, "package": f"scikit-learn {sklearn.__version__}"},
    )


def load_csv(path: Path, label: str) -> Dataset:
    """A CSV file with a header line: the column ``label`` holds the class, every other one numbers."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Invalid(f"cannot read {path}: {error}", field="path") from error
    if len(lines) < 2:
        raise Invalid(f"{path} has no rows below its header", field="path")
    header = lines[0]
    if label not in header:
        raise Invalid(f"{path} has no column {label!r}; it has: {', '.join(header)}", field="label")
    at = header.index(label)
    labels, rows = [], []
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(header):
            raise Invalid(f"{path}:{number}: {len(line)} values, the header names {len(header)}", field="path")
        labels.append(line[at])
        rows.append([_number(path, number, header[i], text) for i, text in enumerate(line) if i != at])
    indices, classes = index_labels(labels)
    return Dataset(
        name=_name_of(path),
        rows=np.array(rows, np.float32),
        labels=indices,
        classes=classes,
        columns=tuple(name for index, name in enumerate(header) if index != at),
        source={"source": CSV, "path": str(path.absolute()), "label": label},
    )


def _number(path: Path, line: int, column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) <= float(np.finfo(np.float32).max):
        raise Invalid(f"{path}:{line}: column {column!r}: {text!r} is not a finite number", field="path")
    return value


def _name_of(path: Path) -> str:
    kept = "".join(letter if letter.isalnum() else "-" for letter in path.stem.lower() if letter.isascii())
    return kept.strip("-")[:63].strip("-") or "data"
