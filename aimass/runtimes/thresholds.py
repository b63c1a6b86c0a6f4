"""The thresholds of tree models, where conversions go wrong first: made exact in float32, and rows that hit them."""

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

from aimass.core.batch import Array

MAX_ROWS = 1024


def threshold_rows(estimator: Any, rows: Array, generator: np.random.Generator, limit: int = MAX_ROWS) -> Array:
    """Copies of ``rows`` with one feature each set to a threshold; no rows where there are no trees to be found.

    Behind a pipeline's earlier steps the threshold is taken back through their ``inverse_transform``.
    """
    before, trees = split_steps(estimator)
    pairs = list_thresholds(trees)
    if not pairs or not len(rows) or not all(hasattr(step, "inverse_transform") for step in before):
        return rows[:0]
    chosen = generator.choice(len(pairs), size=min(limit, len(pairs)), replace=False)
    base = rows[generator.integers(0, len(rows), size=len(chosen))]
    for step in before:
        base = step.transform(base)
    base = np.array(base, dtype=np.float64)
    for row, pair in zip(base, chosen, strict=True):
        feature, threshold = pairs[pair]
        row[feature] = threshold
    for step in reversed(before):
        base = step.inverse_transform(base)
    return np.asarray(base, dtype=np.float32)


def round_down(estimator: Any) -> Any:
    """The estimator with histogram boosting's thresholds rounded down to float32 (a copy), else as it is.

    Converters round a float64 threshold to the nearest float32. Rounded down, ``x <= threshold`` stays the same
    question for every float32 ``x``; up, values in between change sides (held-out rows of iris differed by 0.99).
    """
    if not any(True for _ in _boosted(estimator)):
        return estimator
    rounded = copy.deepcopy(estimator)
    for nodes in _boosted(rounded):
        exact = nodes["num_threshold"]
        near = exact.astype(np.float32)
        nodes["num_threshold"] = np.where(near > exact, np.nextafter(near, np.float32(-np.inf)), near)
    return rounded


def split_steps(estimator: Any) -> tuple[list[Any], Any]:
    """A pipeline's steps before the last, and the last; any other estimator is its own last step."""
    steps = [step for _, step in getattr(estimator, "steps", []) if step not in (None, "passthrough")]
    return (steps[:-1], steps[-1]) if steps else ([], estimator)


def list_thresholds(model: Any) -> list[tuple[int, float]]:
    """Every (feature, threshold) of the trees inside a scikit-learn model."""
    if hasattr(model, "tree_"):
        inner = model.tree_.feature >= 0
        return list(zip(model.tree_.feature[inner].tolist(), model.tree_.threshold[inner].tolist(), strict=True))
    pairs: list[tuple[int, float]] = []
    for nodes in _nodes(model):
        inner = nodes[nodes["is_leaf"] == 0]
        pairs += zip(inner["feature_idx"].tolist(), inner["num_threshold"].tolist(), strict=True)
    for member in _members(model):
        if getattr(member, "n_features_in_", None) == getattr(model, "n_features_in_", None):
            pairs += list_thresholds(member)
    return pairs


def _boosted(estimator: Any) -> Iterator[Array]:
    """The node tables of every histogram boosting inside the estimator."""
    before, last = split_steps(estimator)
    yield from _nodes(last)
    for member in (*before, *_members(last)):
        yield from _boosted(member)


def _nodes(model: Any) -> Iterator[Array]:
    for stage in getattr(model, "_predictors", []):
        for predictor in stage:
            yield predictor.nodes


def _members(model: Any) -> list[Any]:
    """Fitted members, out of scikit-learn's lists and arrays of one or two dimensions."""
    members: list[Any] = []
    for item in getattr(model, "estimators_", []):
        members += item.tolist() if isinstance(item, np.ndarray) else [item]
    return members
