"""Stratified, seeded splits: training and test rows, and the folds inside the training rows."""

from dataclasses import dataclass

import numpy as np

from aimass.core.batch import Array
from aimass.core.errors import Invalid
from aimass.data.dataset import Dataset


@dataclass(frozen=True)
class Split:
    """Row numbers, ascending. No row is in both, and no group."""

    train: Array
    test: Array


@dataclass(frozen=True)
class Fold:
    """Row numbers among the training rows: those to fit on, and those to predict. Every row is predicted once."""

    fit: Array
    predict: Array


def split(dataset: Dataset, test: float, seed: int) -> Split:
    """A share of ``test`` held out, every class in proportion; ``Invalid`` when a class is too rare for that."""
    from sklearn.model_selection import train_test_split

    unit, labels = _units(dataset.labels, dataset.groups)
    try:
        _, held_out = train_test_split(np.arange(len(labels)), test_size=test, random_state=seed, stratify=labels)
    except ValueError as error:
        raise Invalid(
            f"dataset {dataset.name} cannot be split with test {test}: {error}", field="split.test"
        ) from error
    is_test = np.isin(unit, held_out)
    return Split(np.flatnonzero(~is_test), np.flatnonzero(is_test))


def folds(dataset: Dataset, count: int, seed: int) -> tuple[Fold, ...]:
    """``count`` folds of the rows; every class has at least ``count`` rows (or groups), else ``Invalid``."""
    from sklearn.model_selection import StratifiedKFold

    unit, labels = _units(dataset.labels, dataset.groups)
    numbers = np.bincount(labels, minlength=len(dataset.classes))
    rarest = int(numbers.argmin())
    if numbers[rarest] < count:
        what = "training rows" if dataset.groups is None else "groups of training rows"
        raise Invalid(
            f"class {dataset.classes[rarest]!r} has {numbers[rarest]} {what}, fewer than {count} folds; "
            "take fewer folds or more data",
            field="split.folds",
        )
    splitter = StratifiedKFold(count, shuffle=True, random_state=seed)
    made = []
    for _, predicted in splitter.split(np.zeros(len(labels)), labels):
        is_predicted = np.isin(unit, predicted)
        made.append(Fold(np.flatnonzero(~is_predicted), np.flatnonzero(is_predicted)))
    return tuple(made)


def _units(labels: Array, groups: Array | None) -> tuple[Array, Array]:
    """What must not be cut: each row's unit, and each unit's label. A unit is a group, else a row."""
    if groups is None:
        return np.arange(len(labels)), labels
    _, first, unit = np.unique(groups, return_index=True, return_inverse=True)
    if (labels[first][unit] != labels).any():
        raise Invalid("a group holds rows of several classes; rows of one group must be of one class")
    return unit, labels[first]
