"""What is to be tried, and what came of it: the values between recipe, tuner and selection. Knows no Ray."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from aimass.core.batch import Array
from aimass.data.split import Fold
from aimass.training.fitting import Configuration
from aimass.training.space import Parameters, Space

Progress = Callable[[dict[str, Any]], None]
"""Told of each thing that happens; its ``kind`` says what."""


@dataclass(frozen=True)
class Sampling:
    """How each candidate's space is searched."""

    sampler: str  # tpe | random
    startup: int  # trials of a candidate before TPE begins to learn from them
    seed: int


@dataclass(frozen=True)
class Candidate:
    """One kind of model to try: a trainer, the transform in front of it (empty: none) and what may vary."""

    trainer: str
    transform: str
    space: Space


@dataclass(frozen=True)
class Experiment:
    """What to try and for how long: ``trials`` in all, or until ``seconds`` have passed.

    With ``seconds`` the same seed may try another number of trials.
    """

    candidates: Mapping[str, Candidate]
    metric: str
    sampling: Sampling
    batch: int
    trials: int | None
    seconds: float | None

    def configuration(self, candidate: str, parameters: Parameters, number: int) -> Configuration:
        """What trial ``number``, of this candidate, fits; its estimator has a seed of its own."""
        chosen = self.candidates[candidate]
        seed = int(np.random.SeedSequence([self.sampling.seed, 1_000_000 + number]).generate_state(1)[0]) >> 1
        return Configuration(chosen.trainer, chosen.transform, parameters, seed)


@dataclass(frozen=True)
class TrainingRows:
    """The training split and its folds; all that a trial sees."""

    rows: Array
    labels: Array
    folds: tuple[Fold, ...]


@dataclass(frozen=True)
class Trial:
    """One configuration that was tried: its out-of-fold predictions and what they are worth."""

    number: int
    candidate: str
    configuration: Configuration
    score: float  # higher is better
    metrics: Mapping[str, float]
    seconds: float
    predictions: Array
