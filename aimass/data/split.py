"""Stratified, seeded splits: training and test rows, and the folds inside the training rows."""

from dataclasses import dataclass

import numpy as np

from aimass.core.batch import Array
from aimass.core.errors import Invalid
from aimass.data.dataset import Dataset


@dataclass(frozen=True)
class Split:
    """Row numbers, ascending. No row is in both."""

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

    rows = np.arange(len(dataset.labels))
    try:
        train, held_out = train_test_split(rows, test_size=test, random_state=seed, stratify=dataset.labels)
    except ValueError as error:
        raise Invalid(
            f"dataset {dataset.name} cannot be split with test {test}: {error}", field="split.test"
        ) from error
    return Split(np.sort(train), np.sort(held_out))


def folds(labels: Array, count: int, seed: int, classes: tuple[int | str, ...]) -> tuple[Fold, ...]:
    """``count`` folds of rows with these labels; every class has at least ``count`` rows, else ``Invalid``."""
    from sklearn.model_selection import StratifiedKFold

    numbers = np.bincount(labels, minlength=len(classes))
    rarest = int(numbers.argmin())
    if numbers[rarest] < count:
        raise Invalid(
            f"class {classes[rarest]!r} has {numbers[rarest]} training rows, fewer than {count} folds; "
            "take fewer folds or more data",
            field="split.folds",
        )
    splitter = StratifiedKFold(count, shuffle=True, random_state=seed)
    return tuple(Fold(fit, predict) for fit, predict in splitter.split(np.zeros(len(labels)), labels))
