"""``/status`` and ``/platform``."""

from typing import Any

from fastapi import APIRouter

from aimass.console.access import GuardedRoute, Reader
from aimass.control import status as verbs

router = APIRouter(route_class=GuardedRoute, tags=["platform"])


@router.get("/status", summary="How the platform is: replicas, services, runs")
def status(context: Reader) -> dict[str, Any]:
    return verbs.status(context)


@router.get("/platform", summary="Versions and addresses")
def platform(context: Reader) -> dict[str, Any]:
    return verbs.platform(context)
