"""Routing: each request is matched once, and the match states which right the request needs."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from inspect import iscoroutinefunction, signature
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from fanin_service.access.rules import right_for
from fanin_service.access.scopes import Right
from fanin_service.errors import RequestError

MODEL = "name"
"""Name of the path parameter for the model, in every route that needs `models:write`."""
DESTINATION = "destination"
"""Name of the path parameter for the alias of a destination, in routes of artifacts."""


class NotFoundError(RequestError):
    """No route has this path, or the route has no resource there."""

    def __init__(self, path: str) -> None:
        super().__init__(f"nothing is at {path}; /docs lists all paths")


class MethodNotAllowedError(RequestError):
    """No route of this path has this method."""

    def __init__(self, path: str, methods: Iterable[str]) -> None:
        # The methods of all routes with this path (RFC 9110 section 10.2.1), not only those of the first one.
        allowed = ", ".join(sorted(methods))
        super().__init__(f"{path} allows {allowed}", {"Allow": allowed})


class DirectRoute(APIRoute):
    """A route that calls its endpoint directly, if FastAPI would do nothing besides.

    That is so for a coroutine that takes only the request, returns a `Response`, and has no dependencies. FastAPI would
    resolve parameters and dependencies in every request, and Starlette would look for exception handlers: together they
    take a quarter of the time of a small request. No such handler exists, because the pipeline renders every error.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self.is_direct = (
            not self.dependencies
            and iscoroutinefunction(endpoint)
            and [*signature(endpoint).parameters] == ["request"]
            and self.response_model is None
        )
        """True if the endpoint is called directly."""
        if self.is_direct:
            self.app = _calling(endpoint)


def _calling(endpoint: Callable[[Request], Coroutine[Any, Any, Response]]) -> ASGIApp:
    """Return the application that sends the response of an endpoint."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        response = await endpoint(Request(scope, receive, send))
        await response(scope, receive, send)

    return app


def _app_of(route: Route) -> ASGIApp:
    """Return the application of a route. The method of its requests is already checked."""
    if isinstance(route, DirectRoute) and route.is_direct:
        return route.app

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        # FastAPI's middleware, which the pipeline replaces, gives every request an exit stack for the files of a form.
        async with AsyncExitStack() as files:
            scope["fastapi_middleware_astack"] = files
            await route.app(scope, receive, send)

    return app


@dataclass(frozen=True, slots=True)
class Matched:
    """The route of a request."""

    route: Route
    right: Right | None
    """The right that the request needs; None if the route is public."""
    child_scope: dict[str, Any]
    """Entries of the ASGI scope that the route's handler reads."""
    has_method: bool
    """True if the route has the request's method in addition to its path."""
    app: ASGIApp
    """The application that handles the request."""


class RouteTable:
    """Routes in the order in which they are tried."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        """Look up the right of every route.

        Raises:
            RuntimeError: the endpoint of a route states no right.
        """
        rights = ((route, right_for(route)) for route in routes)
        self._routes = [
            (route.path.partition("{")[0], route, right, _app_of(route))
            for route, right in rights
            if isinstance(route, Route)
        ]
        """Each route with the part of its path before the first parameter. Comparing that is cheaper than a regular
        expression."""
        self._found: dict[tuple[str, str], Matched] = {}
        """Matches by path and method, of routes without parameters."""

    def match(self, scope: Scope) -> Matched | None:
        """Return the first route with this path and method, else the first one with this path."""
        key = scope["path"], scope["method"]
        if (known := self._found.get(key)) is not None:
            return known
        found = self._match(scope)
        if found is not None and found.has_method and found.route.path == scope["path"]:
            # The path is a template, so there is at most one entry for each route and method.
            self._found[key] = found
        return found

    def _match(self, scope: Scope) -> Matched | None:
        path: str = scope["path"]
        if path.endswith("\n"):
            # Starlette's patterns end with `$`, which also matches before a newline. A proxy that blocks /metrics would
            # let /metrics%0A pass.
            return None
        other: Matched | None = None
        for prefix, route, right, app in self._routes:
            if path.startswith(prefix):
                match, child_scope = route.matches(scope)
                if match is Match.FULL:
                    return Matched(route, right, dict(child_scope), True, app)
                if match is Match.PARTIAL and other is None:
                    other = Matched(route, right, dict(child_scope), False, app)
        return other

    def methods(self, scope: Scope) -> set[str]:
        """Return the methods of all routes with this path."""
        return {
            method
            for _, route, *_ in self._routes
            if route.matches(scope)[0] is not Match.NONE
            for method in route.methods or ()
        }
