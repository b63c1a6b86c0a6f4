"""``/services/…/shadows``: let one look on, end it, see how they did."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from aimass.console.access import Deployer, Reader, ServiceRoute
from aimass.control.shadows import verbs
from aimass.control.shadows.choosing import Wish

router = APIRouter(route_class=ServiceRoute, tags=["shadows"])


class ShadowBody(BaseModel):
    """Who is to look on: a revision, or a model's version beside a node."""

    model_config = ConfigDict(extra="forbid")
    revision: int | None = Field(default=None, ge=1)
    node: str = Field(default="", description="Of the revision with the most traffic.")
    model: str = Field(default="", description="MODEL@VERSION or MODEL@ALIAS, to be compared with that node.")
    share: float = Field(description="Per cent of the service's calls, above 0.")


@router.get("/services/{name}/shadows", summary="How a service's shadows compare")
def show(context: Reader, name: str) -> dict[str, Any]:
    """Per shadow and the revision it was compared with: calls, agreement, distance of scores, time, cost."""
    return verbs.show(context, name)


@router.put("/services/{name}/shadows", summary="Have a shadow run a share of a service's calls")
def cast(context: Deployer, name: str, body: ShadowBody) -> dict[str, Any]:
    """Answers when every live replica has loaded it. No caller waits for it, whatever it does."""
    return asdict(verbs.cast(context, name, Wish(body.revision, body.node, body.model), body.share))


@router.delete("/services/{name}/shadows", summary="End one shadow, or all of a service")
def end(
    context: Deployer,
    name: str,
    revision: Annotated[int | None, Query(ge=1)] = None,
    node: str = "",
    model: str = "",
) -> list[dict[str, Any]]:
    wish = Wish(revision, node, model) if revision is not None or node or model else None
    return [asdict(done) for done in verbs.end(context, name, wish)]
