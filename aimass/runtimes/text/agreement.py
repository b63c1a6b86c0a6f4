"""Whether sentence vectors agree: with those of another program, of another precision, of rows in other company."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aimass.core.batch import Array
from aimass.core.errors import Invalid
from aimass.core.signature import Signature
from aimass.runtimes.sentence import SentenceRuntime
from aimass.runtimes.text.files import EMBEDDING, TEXT, SentenceSettings, read_settings, write_settings

TOLERANCE = 1e-5  # of a value of a vector of length 1: two programs sum in other orders, by about 2e-7


@dataclass(frozen=True)
class Cosines:
    """Of pairs of vectors that stand for the same text."""

    worst: float
    mean: float


def embed(folder: Path, signature: Signature, texts: Sequence[str], *, together: bool) -> Array:
    """The vectors of the folder's model; all texts in one call, which groups them as it may, or each in one."""
    runtime = SentenceRuntime.load(folder, signature)
    try:
        rows = np.array(texts, dtype=object)
        parts = [rows] if together else [rows[index : index + 1] for index in range(len(rows))]
        return np.concatenate([runtime.predict({TEXT: part})[EMBEDDING] for part in parts])
    finally:
        runtime.close()


def settle_together(folder: Path, signature: Signature, texts: Sequence[str]) -> tuple[Array, float]:
    """Write into the folder whether its rows may run together: if that moves no value by more than the tolerance.
    The vectors of the texts, each alone, and how far company moved them."""
    max_tokens = read_settings(folder).max_tokens
    write_settings(folder, SentenceSettings(max_tokens, together=True))
    alone = embed(folder, signature, texts, together=False)
    moved = float(np.abs(embed(folder, signature, texts, together=True) - alone).max())
    write_settings(folder, SentenceSettings(max_tokens, together=moved <= TOLERANCE))
    return alone, moved


def check_same(found: Array, wanted: Array) -> float:
    """The largest difference between values; ``Invalid``, with the figures, when that is beyond the tolerance."""
    if found.shape != wanted.shape:
        raise Invalid(f"the graph gives vectors of shape {list(found.shape)}, expected {list(wanted.shape)}")
    difference = np.abs(found - wanted).max(axis=1)
    beyond = int(np.count_nonzero(~(difference <= TOLERANCE)))  # NaN counts as beyond
    worst = float(np.max(difference))
    if beyond:
        raise Invalid(
            f"the ONNX graph disagrees with the model that it was made from on {beyond} of {len(found)} texts: worst "
            f"difference {worst:.3g}, tolerance {TOLERANCE:.3g}"
        )
    return worst


def cosines(ones: Array, others: Array) -> Cosines:
    """Cosine of the angle between vectors row by row."""
    norms = np.linalg.norm(ones, axis=1) * np.linalg.norm(others, axis=1)
    found = (ones * others).sum(axis=1) / norms
    return Cosines(float(found.min()), float(found.mean()))
