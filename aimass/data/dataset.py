"""A dataset in memory: float32 features and class indices, with what the columns and classes are called."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from aimass.core.batch import Array
from aimass.core.errors import Invalid
from aimass.core.ids import Digest


@dataclass(frozen=True)
class Dataset:
    """Rows to classify. ``labels[i]`` is the index of row i's class in ``classes``; there are two classes or more.

    ``groups``, if any, names what each row was made of: rows of one group are of one class and stay together.
    """

    name: str
    rows: Array  # FP32 [rows, features], finite
    labels: Array  # INT64 [rows]
    classes: tuple[int | str, ...]
    columns: tuple[str, ...]
    source: Mapping[str, Any] = field(default_factory=dict)
    groups: Array | None = None  # INT64 [rows]

    def __post_init__(self) -> None:
        if self.rows.ndim != 2 or self.rows.dtype != np.float32 or 0 in self.rows.shape:
            raise Invalid(f"dataset {self.name}: rows must be float32 [rows, features], not {list(self.rows.shape)}")
        if self.labels.shape != (len(self.rows),) or len(self.columns) != self.rows.shape[1]:
            raise Invalid(f"dataset {self.name}: {len(self.rows)} rows, but labels or column names do not match")
        if len(self.classes) < 2:
            raise Invalid(f"dataset {self.name} has {len(self.classes)} class; classification needs at least two")
        if not np.isfinite(self.rows).all():
            raise Invalid(f"dataset {self.name} holds NaN or infinity; fill or drop those rows")
        if self.groups is not None and self.groups.shape != self.labels.shape:
            raise Invalid(f"dataset {self.name}: {len(self.rows)} rows, but groups of {len(self.groups)}")

    @property
    def digest(self) -> Digest:
        """SHA-256 of names, classes, groups and values: the same content has the same digest, wherever it came from."""
        head = {"columns": list(self.columns), "classes": list(self.classes), "shape": list(self.rows.shape)}
        sha = hashlib.sha256(json.dumps(head, sort_keys=True, separators=(",", ":")).encode())
        sha.update(np.ascontiguousarray(self.rows, dtype="<f4").tobytes())
        sha.update(np.ascontiguousarray(self.labels, dtype="<i8").tobytes())
        if self.groups is not None:
            sha.update(np.ascontiguousarray(self.groups, dtype="<i8").tobytes())
        return Digest(sha.hexdigest())

    def part(self, rows: Array) -> "Dataset":
        """The rows of these numbers."""
        groups = None if self.groups is None else self.groups[rows]
        return replace(self, rows=self.rows[rows], labels=self.labels[rows], groups=groups)

    def describe(self) -> dict[str, Any]:
        """Columns and classes, as the database keeps them."""
        return {"columns": list(self.columns), "classes": list(self.classes), "features": self.rows.shape[1]}


def index_labels(values: list[str]) -> tuple[Array, tuple[int | str, ...]]:
    """Labels as written → indices and sorted classes; classes are whole numbers when every label is one."""
    try:
        classes: tuple[int | str, ...] = tuple(sorted({int(value) for value in values}))
        place = {str(name): index for index, name in enumerate(classes)}
        return np.array([place[str(int(value))] for value in values], np.int64), classes
    except ValueError:
        names = tuple(sorted(set(values)))
        position = {name: index for index, name in enumerate(names)}
        return np.array([position[value] for value in values], np.int64), names
