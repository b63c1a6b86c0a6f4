"""The order in which configurations are tried: candidates in turn, in fixed batches, so that it can be repeated."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from aimass.core.clock import Clock, SystemClock
from aimass.training.experiment import Sampling
from aimass.training.space import Space, distributions, fixed_parameters

SCORE = "score"


class RoundRobinSearch(Searcher):  # type: ignore[misc]  # Ray is untyped here
    """Candidate 0, 1, 2, …, 0, 1, … each from a seeded sampler of its own.

    Told results change what is asked next, and trials end in any order. So a batch is asked in full before any of it
    is told, and told in the order it was asked. Ray's ``ConcurrencyLimiter(batch=True)`` promises the first half only
    while no trial ends before its batch is full, and tells in the order of ending; it hands both over to us here.
    """

    def __init__(
        self,
        spaces: Mapping[str, Space],
        sampling: Sampling,
        batch: int,
        seconds: float | None = None,
        clock: Clock | None = None,
    ) -> None:
        """After ``seconds`` (none: never) nothing new is asked; what runs then may end."""
        super().__init__(metric=SCORE, mode="max")
        self._clock = clock or SystemClock()
        self._seconds = seconds
        self._started: float | None = None
        self._names = list(spaces)
        self._fixed = [fixed_parameters(space) for space in spaces.values()]
        self._samplers = [_sampler(space, sampling, index) for index, space in enumerate(spaces.values())]
        self._batch = batch
        self._asked: dict[str, int] = {}  # of the batch under way: trial id → its number
        self._ended: dict[str, tuple[dict[str, Any] | None, bool]] = {}
        self._count = 0

    def set_max_concurrency(self, max_concurrent: int) -> bool:
        """True: the limit is held here."""
        self._batch = max_concurrent
        return True

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        if len(self._asked) == self._batch:
            return None
        if self._is_over():
            return str(Searcher.FINISHED)
        number = self._count
        which = number % len(self._names)
        sampler = self._samplers[which]
        sampled = {} if sampler is None else sampler.suggest(trial_id)
        self._asked[trial_id] = number
        self._count += 1
        return {
            "number": number,
            "candidate": self._names[which],
            "parameters": {**self._fixed[which], **(sampled or {})},
        }

    def _is_over(self) -> bool:
        now = self._clock.monotonic()
        if self._started is None:
            self._started = now
            return False
        return self._seconds is not None and now - self._started >= self._seconds

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if trial_id not in self._asked:
            return
        self._ended[trial_id] = (result, error)
        if len(self._ended) < self._batch:
            return
        for asked, number in self._asked.items():
            sampler = self._samplers[number % len(self._names)]
            if sampler is not None:
                told, failed = self._ended[asked]
                sampler.on_trial_complete(asked, result=told, error=failed)
        self._asked, self._ended = {}, {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing: an interrupted run is not resumed, the same seed repeats it."""
        Path(checkpoint_path).write_bytes(b"")

    def restore(self, checkpoint_path: str) -> None:
        raise NotImplementedError("a run is started again, not resumed")


def _sampler(space: Space, sampling: Sampling, index: int) -> OptunaSearch | None:
    """A sampler of its own stream; none where nothing is left to choose."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    dimensions = distributions(space)
    if not dimensions:
        return None
    seed = int(np.random.SeedSequence([sampling.seed, index]).generate_state(1)[0])
    kinds = {
        "tpe": lambda: optuna.samplers.TPESampler(seed=seed, n_startup_trials=sampling.startup),
        "random": lambda: optuna.samplers.RandomSampler(seed=seed),
    }
    return OptunaSearch(dimensions, metric=SCORE, mode="max", sampler=kinds[sampling.sampler]())
