"""``/keys``: make, list, revoke. Needs the scope admin."""

from typing import Any

from fastapi import APIRouter

from aimass.accounts.keys import KeyRequest
from aimass.console.access import Admin, GuardedRoute
from aimass.console.bodies import KeyBody
from aimass.control import keys as verbs

router = APIRouter(route_class=GuardedRoute, tags=["keys"])


@router.get("/keys", summary="Every key, without its secret")
def list_keys(context: Admin) -> list[dict[str, Any]]:
    return verbs.list_keys(context)


@router.post("/keys", summary="A new key; its secret is shown this once")
def create(context: Admin, body: KeyBody) -> dict[str, Any]:
    """Of another account too, which is made with its first key."""
    wanted = KeyRequest(body.name, tuple(body.scopes), body.rate_per_s, body.expires_at)
    return verbs.create(context, wanted, body.account)


@router.delete("/keys/{key_id}", summary="Revoke a key everywhere")
def revoke(context: Admin, key_id: str) -> dict[str, Any]:
    return verbs.revoke(context, key_id)
