"""Routing: each request is matched once, and the match states which right the request needs."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from inspect import signature
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope

from fanin_service.access.rules import right_for
from fanin_service.access.scopes import Right
from fanin_service.errors import RequestError

MODEL = "name"
"""Name of the path parameter for the model, in every route that needs `models:write`."""


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
    """A route that calls its endpoint directly, if the endpoint takes only the request and has no dependencies.

    FastAPI would resolve parameters and dependencies in every request, which takes a fifth of the time of a small one.
    The endpoint must return a response.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        if self.dependencies or [*signature(self.endpoint).parameters] != ["request"]:
            return super().get_route_handler()
        endpoint: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return endpoint


@dataclass(frozen=True, slots=True)
class Matched:
    """The route of a request."""

    route: Route
    right: Right | None
    """The right that the request needs; None if the route is public."""
    child_scope: dict[str, Any]
    """Entries of the ASGI scope that the route's handler reads."""
    has_method: bool
    """Whether the route has the request's method in addition to its path."""


class RouteTable:
    """Routes in the order in which they are tried."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        """Look up the right of every route.

        Raises:
            RuntimeError: the endpoint of a route states no right.
        """
        rights = ((route, right_for(route)) for route in routes)
        self._routes = [
            (route.path.partition("{")[0], route, right) for route, right in rights if isinstance(route, Route)
        ]
        """Each route with the part of its path before the first parameter. Comparing that is cheaper than a regular
        expression."""

    def match(self, scope: Scope) -> Matched | None:
        """Return the first route with this path and method, else the first one with this path."""
        path: str = scope["path"]
        other: Matched | None = None
        for prefix, route, right in self._routes:
            if path.startswith(prefix):
                match, child_scope = route.matches(scope)
                if match is Match.FULL:
                    return Matched(route, right, dict(child_scope), True)
                if match is Match.PARTIAL and other is None:
                    other = Matched(route, right, dict(child_scope), False)
        return other

    def methods(self, scope: Scope) -> set[str]:
        """Return the methods of all routes with this path."""
        return {
            method
            for _, route, _ in self._routes
            if route.matches(scope)[0] is not Match.NONE
            for method in route.methods or ()
        }
