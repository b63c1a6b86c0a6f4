"""Who asks: the Bearer key of a request and its scopes, checked by the headers before a byte of the body is taken."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Depends, Request, Response, Security
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from aimass.accounts.keys import require_any
from aimass.control import keys
from aimass.control.context import Context
from aimass.control.requests.owned import find_own
from aimass.core.errors import Unauthenticated

READERS = ("read", "deploy", "train")
_bearer = HTTPBearer(auto_error=False, description="An API key: aim_…")


class Guard:
    """A route's parameter: the caller's context, if the key has one of the scopes."""

    def __init__(self, *scopes: str) -> None:
        self.scopes = scopes

    def __call__(
        self, request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
    ) -> Context:
        context: Context = request.state.context  # GuardedRoute put it there
        return context

    async def check(self, request: Request) -> Context:
        """``Unauthenticated`` or ``Denied``, whatever the body may be."""
        credentials = await _bearer(request)
        if credentials is None:
            raise Unauthenticated("a key is needed; send the header Authorization: Bearer aim_…")
        return await run_in_threadpool(self._find, request.app.state.context, credentials.credentials)

    def _find(self, context: Context, secret: str) -> Context:
        key = keys.find(context, secret)
        require_any(key, self.scopes)
        return context.by(f"{key.name} ({key.id})", key.account, key.is_operator)


class GuardedRoute(APIRoute):
    """Checks first, then takes the body; FastAPI by itself reads the body before it asks any dependency."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self.description = f"{self.description}\n\nNeeds the scope {' or '.join(self._guard.scopes)}.".strip()

    @property
    def _guard(self) -> Guard:
        (guard,) = (item.call for item in self.dependant.dependencies if isinstance(item.call, Guard))
        return guard

    async def check(self, request: Request) -> Context:
        """The caller's context; raises where he may not ask."""
        return await self._guard.check(request)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def check_first(request: Request) -> Response:
            request.state.context = await self.check(request)
            await request.body()  # here, because FastAPI would turn an error of ours into one of its own
            return await handle(request)

        return check_first


class ServiceRoute(GuardedRoute):
    """Its ``{name}`` is a service: another account's is as if it were not there."""

    async def check(self, request: Request) -> Context:
        context = await super().check(request)
        name = request.path_params.get("name")
        if name and not context.is_operator:  # who sees all hears from the verb what there is
            await run_in_threadpool(_find_own, context, name)
        return context


def _find_own(context: Context, service: str) -> None:
    with context.database.reading() as session:
        find_own(session, context, service)


Reader = Annotated[Context, Depends(Guard(*READERS))]
Deployer = Annotated[Context, Depends(Guard("deploy"))]
Trainer = Annotated[Context, Depends(Guard("train"))]
Publisher = Annotated[Context, Depends(Guard("train", "deploy"))]
Admin = Annotated[Context, Depends(Guard("admin"))]
