"""Access rules: the right that each route needs. Every endpoint states one, or the service does not start."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from starlette.routing import BaseRoute, Route

from fanin_service.access.errors import ForbiddenError
from fanin_service.access.principal import Principal
from fanin_service.access.scopes import Right

Endpoint = TypeVar("Endpoint", bound=Callable[..., object])

_RIGHT = "fanin_right"
"""Attribute of an endpoint: the right that its routes need, or None if they are public."""


def requires(right: Right) -> Callable[[Endpoint], Endpoint]:
    """Mark an endpoint that needs a right."""

    def mark(endpoint: Endpoint) -> Endpoint:
        setattr(endpoint, _RIGHT, right)
        return endpoint

    return mark


def public(endpoint: Endpoint) -> Endpoint:
    """Mark an endpoint that anybody may call."""
    setattr(endpoint, _RIGHT, None)
    return endpoint


def require(principal: Principal, right: Right, allowed: Sequence[str]) -> None:
    """Refuse a request unless its principal has one of the scopes that suffice for a right.

    Raises:
        ForbiddenError: the principal has none.
    """
    if principal.scopes.isdisjoint(allowed):
        detail = f"the key of {principal.name} lacks a scope: this needs the scope {' or '.join(allowed)}"
        raise ForbiddenError(detail, right)


def right_for(route: BaseRoute) -> Right | None:
    """Return the right that a route needs, or None if it is public.

    Raises:
        RuntimeError: its endpoint has no mark.
    """
    if not isinstance(route, Route) or not hasattr(route.endpoint, _RIGHT):
        raise RuntimeError(f"{route} has no access rule: mark its endpoint with @requires(...) or @public")
    right: Right | None = getattr(route.endpoint, _RIGHT)
    return right
