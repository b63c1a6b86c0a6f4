"""``/status`` and ``/platform``."""

from typing import Any

from fastapi import APIRouter

from aimass.console.access import Admin, GuardedRoute, Reader
from aimass.console.bodies import SizeBody
from aimass.control import status as verbs
from aimass.control.operating import sizing as verbs_of_size
from aimass.control.reconciling.comparing import compare

router = APIRouter(route_class=GuardedRoute, tags=["platform"])


@router.get("/status", summary="How the platform is: replicas, services, runs")
def status(context: Reader) -> dict[str, Any]:
    return verbs.status(context)


@router.get("/status/desired", summary="Desired beside actual, revision by revision")
def desired(context: Reader) -> dict[str, Any]:
    """Weights, loads, sizes, who leads, and what is being put right."""
    return compare(context)


@router.put("/gateway/size", summary="How many replicas the gateway has")
def resize(context: Admin, body: SizeBody) -> dict[str, Any]:
    """Until the platform is started again. No replica restarts; those that go finish their calls."""
    return verbs_of_size.resize(context, body.min, body.max)


@router.get("/platform", summary="Versions and addresses")
def platform(context: Reader) -> dict[str, Any]:
    return verbs.platform(context)
