"""``/services/…/rollout``: start one, look at it, promote, pause, resume, abort."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from aimass.console.access import Deployer, Reader, ServiceRoute
from aimass.control.rollouts import verbs
from aimass.control.rollouts.plan import STEPS
from aimass.control.rollouts.showing import show
from aimass.control.rollouts.starting import Wish, start

router = APIRouter(route_class=ServiceRoute, tags=["rollouts"])


class RolloutBody(BaseModel):
    """A rollout to start."""

    model_config = ConfigDict(extra="forbid")
    revision: int = Field(ge=1, description="The candidate.")
    steps: list[float] = Field(default=list(STEPS), description="Per cents of the calls, rising to 100.")
    guards: list[str] | None = Field(
        default=None,
        description="Of errors, latency, cost, agreement, quality; empty: none; not given: all that there are figures "
        "for.",
    )
    tolerances: dict[str, float] = Field(default={}, description="Guard → what it tolerates, if not its default.")
    least_requests: int = Field(default=100, description="Calls of the candidate in each step, at least.")
    least_s: float = Field(default=15.0, description="Seconds of each step, at least.")
    why: str = Field(default="", max_length=500)


class WhyBody(BaseModel):
    """Why something is done; kept with it."""

    model_config = ConfigDict(extra="forbid")
    why: str = Field(default="", max_length=500)


@router.post("/services/{name}/rollout", summary="Move traffic to a revision step by step, with guards")
def begin(context: Deployer, name: str, body: RolloutBody) -> dict[str, Any]:
    """Answers when the first step's share goes to the revision; nothing moves where anything is wrong with it."""
    guards = None if body.guards is None else tuple(body.guards)
    wish = Wish(tuple(body.steps), guards, body.tolerances, body.least_requests, body.least_s)
    return asdict(start(context, name, body.revision, wish, body.why))


@router.get("/services/{name}/rollout", summary="The newest rollout: steps, evidence, guards")
def look(context: Reader, name: str, looks: bool = False) -> dict[str, Any]:
    """With `looks`, what guards said over time, for plots."""
    return show(context, name, looks)


@router.post("/services/{name}/rollout/promote", summary="All traffic to the candidate now")
def promote(context: Deployer, name: str, body: WhyBody) -> dict[str, Any]:
    return asdict(verbs.promote(context, name, body.why))


@router.post("/services/{name}/rollout/pause", summary="Stay at this step; guards go on watching")
def pause(context: Deployer, name: str, body: WhyBody) -> dict[str, Any]:
    return asdict(verbs.pause(context, name, body.why))


@router.post("/services/{name}/rollout/resume", summary="Go on from a pause")
def resume(context: Deployer, name: str, body: WhyBody) -> dict[str, Any]:
    return asdict(verbs.resume(context, name, body.why))


@router.post("/services/{name}/rollout/abort", summary="All traffic back to the revision before")
def abort(context: Deployer, name: str, body: WhyBody) -> dict[str, Any]:
    return asdict(verbs.abort(context, name, body.why))
