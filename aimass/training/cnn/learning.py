"""How the network learns, in one process or as one of several that share every batch. Knows no Ray."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from aimass.core.batch import Array
from aimass.training.cnn.network import PictureNetwork, start_network

State = dict[str, Any]
"""All that is needed to go on: epochs done, the network's and the optimiser's tensors."""

AfterEpoch = Callable[[int, float, Callable[[], State]], None]
"""Called with the epochs done, this worker's part of the loss per row in the last one, and what gives the state."""

WARM_UP = 0.1  # of all steps, in which the learning rate rises


@dataclass(frozen=True)
class Lesson:
    """What is learnt, and how. ``batch`` rows make a step, all workers together."""

    rows: Array  # FP32 [rows, side * side]
    labels: Array  # INT64 [rows]
    epochs: int
    batch: int
    learning_rate: float
    weight_decay: float
    width: int
    seed: int

    @property
    def steps(self) -> int:
        """Per epoch; rows that do not fill a batch wait for another epoch's order."""
        return max(1, len(self.rows) // self.batch)

    def network(self) -> PictureNetwork:
        """As it starts."""
        return start_network(self.rows, int(self.labels.max()) + 1, self.width, self.seed)

    def order(self, epoch: int) -> Array:
        """Row numbers [steps, rows of a step]; of the seed and the epoch alone, so that nothing else is to be kept."""
        shuffled = np.random.default_rng([self.seed, epoch]).permutation(len(self.rows))
        batch = min(self.batch, len(self.rows))
        return shuffled[: self.steps * batch].reshape(self.steps, batch)

    def rate(self, step: int) -> float:
        """Of the learning rate, at a step of all: linear up, then half a cosine down to nothing.

        Source: Loshchilov, Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017, without restarts.
        """
        total = self.epochs * self.steps
        warm = max(1, round(WARM_UP * total))
        if step < warm:
            return self.learning_rate * (step + 1) / warm
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))


def learn(
    lesson: Lesson,
    *,
    rank: int = 0,
    workers: int = 1,
    state: State | None = None,
    after_epoch: AfterEpoch | None = None,
) -> PictureNetwork:
    """The network after all epochs, from the start or from ``state``.

    With several workers each runs this with its rank, inside torch's process group: each takes its part of every
    batch, and gradients are averaged, so that all have the same weights. What was interrupted and went on from a
    state ends with the same bits as what was not.
    """
    network = lesson.network()
    optimiser = torch.optim.AdamW(network.parameters(), lr=lesson.learning_rate, weight_decay=lesson.weight_decay)
    done = 0
    if state is not None:
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        done = state["epochs"]
    learner = network if workers == 1 else DistributedDataParallel(network)
    rows, labels = torch.from_numpy(lesson.rows), torch.from_numpy(lesson.labels)
    with one_thread():
        for epoch in range(done, lesson.epochs):
            total = 0.0
            for number, chosen in enumerate(lesson.order(epoch)):
                for group in optimiser.param_groups:
                    group["lr"] = lesson.rate(epoch * lesson.steps + number)
                mine = torch.from_numpy(chosen[rank::workers])
                optimiser.zero_grad()
                summed = nn.functional.cross_entropy(learner(rows[mine]), labels[mine], reduction="sum")
                (summed * (workers / len(chosen))).backward()  # averaged over workers: the mean over the batch
                optimiser.step()
                total += summed.item()
            if after_epoch is not None:
                seen = lesson.steps * len(chosen)
                after_epoch(epoch + 1, total / seen, partial(_state, epoch + 1, network, optimiser))
    return network


def _state(epochs: int, network: PictureNetwork, optimiser: torch.optim.Optimizer) -> State:
    return {"epochs": epochs, "network": network.state_dict(), "optimiser": optimiser.state_dict()}


@contextmanager
def one_thread() -> Iterator[None]:
    """torch in one thread: what runs beside uses the other cores, and sums keep their order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
