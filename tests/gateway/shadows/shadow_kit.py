"""A gateway whose first revision answers, and whose second looks on."""

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from aimass.core.batch import Array, Batch
from aimass.core.ids import RevisionId
from aimass.gateway.residency.asleep import Plan
from aimass.gateway.shadows.counts import ShadowCounts
from aimass.gateway.shadows.queue import Bound
from aimass.gateway.shadows.shadowing import Shadowing
from aimass.gateway.state import GatewayState, ShadowState
from aimass.testing.gateway import INFER, Gateway, body, connect, key, service

OTHER = np.array([[1, 0, -1], [0, 2, 0], [0.5, 0, 1], [-1, 1, -3]], dtype=np.float32)  # turned at one weight
SECOND = ShadowState("2", 100.0, 2)


def others_scores(rows: Any) -> Array:
    """What the second revision computes."""
    found: Array = np.asarray(rows, dtype=np.float32) @ OTHER
    return found


def other(batch: Batch) -> Batch:
    """The second revision."""
    scores = others_scores(batch["x"])
    return {"label": scores.argmax(axis=1), "scores": scores}


@dataclass
class Watched:
    """The gateway, what is loaded in it, and its shadows."""

    gateway: Gateway
    plans: dict[RevisionId, Plan]
    shadowing: Shadowing
    bound: Bound
    busy: bool = False
    number: int = 0

    def become(self, *shadows: ShadowState) -> None:
        """Apply a state with these shadows."""
        self.number += 1
        state = GatewayState(self.number, (key(),), (replace(service(revisions=(1, 2)), shadows=shadows),))
        self.shadowing.become(state)
        self.gateway.app.apply(state, self.plans)

    @property
    def counts(self) -> ShadowCounts:
        return self.gateway.metrics.shadow("iris", 1, "2")

    def counted(self) -> dict[str, float]:
        """Events, with their detail after a colon."""
        return {f"{event}:{detail}" if detail else event: count for event, detail, count in self.counts.events()}

    async def call(self, *rows: list[list[float]]) -> list[httpx.Response]:
        """One call for each, all at once."""
        async with connect(self.gateway.app) as client:
            return list(await asyncio.gather(*[client.post(INFER, json=body(item)) for item in rows]))


def watch(
    folder: Path, primary: Plan, shadow: Plan | None, *shadows: ShadowState, bound: Bound | None = None
) -> Watched:
    """Begin with these plans; all calls are mirrored unless told otherwise."""
    gateway, bound = Gateway(folder), bound or Bound()
    plans: dict[RevisionId, Plan] = {("iris", 1): primary}
    if shadow is not None:
        plans["iris", 2] = shadow
    shadowing = Shadowing(gateway.metrics, plans, gateway.clock, lambda: watched.busy, bound)
    gateway.app.watching = (shadowing,)
    watched = Watched(gateway, plans, shadowing, bound)
    watched.become(*(shadows or (SECOND,)))
    return watched


def some_rows(count: int, seed: int = 0) -> list[list[float]]:
    """Made-up rows, one list each."""
    found: list[list[float]] = np.random.default_rng(seed).normal(size=(count, 4)).astype(np.float32).tolist()
    return found
