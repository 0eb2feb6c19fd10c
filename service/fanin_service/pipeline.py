"""The pipeline: runs every request through the stages and its route, until the last byte of its response."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Sequence
from typing import TYPE_CHECKING

from starlette.types import Message, Receive, Scope, Send

from fanin_service.access.authenticator import Authenticator
from fanin_service.backend.guard import NotReadyError
from fanin_service.context import RequestContext
from fanin_service.http.problems import BUG
from fanin_service.http.routing import MethodNotAllowedError, NotFoundError, RouteTable
from fanin_service.stages import Authenticate, Authorize, Cors, CountRequest, Drain, Observe, Stage
from fanin_service.surfaces.errors import render

if TYPE_CHECKING:
    from fanin_service.service import Service


def stages(service: Service, authenticator: Authenticator | None, cors_origins: Sequence[str]) -> list[Stage]:
    """Return the stages of every request, in order. The route handles the request after them.

    `authenticator` is None if access is open. Responses pass the stages in reverse order.
    """
    return [
        Observe(service.metrics, service.tracing),
        Cors(cors_origins),
        Drain(service),
        Authenticate(authenticator, service.admission),
        CountRequest(service.admission),
        Authorize(authenticator),
    ]


class Pipeline:
    """The one ASGI application around the routes. It runs the stages and renders every error.

    Starlette's BaseHTTPMiddleware is not used: it leaves generators suspended after their clients have disconnected.
    """

    def __init__(self, stages: Sequence[Stage], routes: RouteTable) -> None:
        """Only the stages that the settings enable are used."""
        self.stages = [stage for stage in stages if stage.enabled]
        self._routes = routes
        # Only overridden hooks are called: those of Stage do nothing, and calls take time in every request.
        self._before = [stage.before for stage in self.stages if type(stage).before is not Stage.before]
        back = self.stages[::-1]
        self._on_start = [stage.on_start for stage in back if type(stage).on_start is not Stage.on_start]
        self._on_sent = [stage.on_sent for stage in back if type(stage).on_sent is not Stage.on_sent]
        self._after = [stage.after for stage in back if type(stage).after is not Stage.after]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        context = RequestContext.begin(scope)

        async def send_observed(message: Message) -> None:
            if message["type"] == "http.response.start":
                for on_start in self._on_start:
                    on_start(context, message)
            await send(message)
            if count := len(message.get("body", b"")):
                for on_sent in self._on_sent:
                    on_sent(context, count)

        try:
            await self._serve(context, scope, receive, send_observed)
        finally:
            for after in self._after:
                after(context)

    async def _serve(self, context: RequestContext, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the stages and the route. An error before the response has started becomes the response."""
        try:
            context.match = self._routes.match(scope)
            for before in self._before:
                if (response := await before(context)) is not None:
                    break
            else:
                await self._dispatch(context, scope, receive, send)
                return
        except CancelledError:
            # The server cancels requests only when its time to stop has run out. Uvicorn itself would respond with 500.
            if context.status is not None:
                raise
            response = render(NotReadyError("the service is stopping"), context)
        except Exception as error:
            if context.status is not None:
                raise
            response = render(error, context)
            if context.problem == BUG.name:
                await response(scope, receive, send)
                raise  # the server logs it
        await response(scope, receive, send)

    async def _dispatch(self, context: RequestContext, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the route handle the request.

        Raises:
            NotFoundError: no route has this path.
            MethodNotAllowedError: the routes with this path have other methods.
        """
        match = context.match
        if match is None:
            raise NotFoundError(context.path)
        context.route = match.route.path
        if not match.has_method:
            raise MethodNotAllowedError(context.path, self._routes.methods(scope))
        scope.update(match.child_scope)
        await match.app(scope, receive, send)
