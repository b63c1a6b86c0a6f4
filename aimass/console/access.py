"""Who asks: the Bearer key of a request, its scopes, and the context that the verbs get for it."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from aimass.accounts.keys import require_any
from aimass.control import keys
from aimass.control.context import Context
from aimass.core.errors import Unauthenticated

READERS = ("read", "deploy", "train")
_bearer = HTTPBearer(auto_error=False, description="An API key: aim_…")


def allow(*scopes: str) -> Any:
    """A parameter of a route: the caller's context, if the key has one of the scopes."""
    return Annotated[Context, Depends(_checker(scopes))]


def _checker(scopes: tuple[str, ...]) -> Callable[..., Context]:
    def check(
        request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
    ) -> Context:
        if credentials is None:
            raise Unauthenticated("a key is needed; send the header Authorization: Bearer aim_…")
        context: Context = request.app.state.context
        key = keys.find(context, credentials.credentials)
        require_any(key, scopes)
        return context.by(f"{key.name} ({key.id})", key.account)

    return check


Reader = allow(*READERS)
Deployer = allow("deploy")
Trainer = allow("train")
Publisher = allow("train", "deploy")
Admin = allow("admin")
