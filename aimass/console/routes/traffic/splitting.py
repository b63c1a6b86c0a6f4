"""``/services/{name}/traffic``: split it, look at it."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter

from aimass.console.access import Deployer, Reader, ServiceRoute
from aimass.console.bodies import TrafficBody
from aimass.control.traffic import splitting

router = APIRouter(route_class=ServiceRoute, tags=["traffic"])


@router.get("/services/{name}/traffic", summary="How a service's traffic is spread, and the moves that led there")
def show(context: Reader, name: str) -> dict[str, Any]:
    return splitting.show(context, name)


@router.put("/services/{name}/traffic", summary="Spread a service's calls over revisions")
def split(context: Deployer, name: str, body: TrafficBody) -> dict[str, Any]:
    """Answers when every live replica does so; nothing has moved unless all revisions that are named are loaded."""
    wish = splitting.Wish(body.weights, body.policy, body.options, body.sticky, body.why)
    return asdict(splitting.split(context, name, wish))
