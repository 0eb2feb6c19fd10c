"""Routing: the routes that are called directly give the same responses as FastAPI."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.types import Message

from fanin_service.access.rules import public
from fanin_service.http.routing import DirectRoute, RouteTable
from fanin_service.pipeline import Pipeline
from fanin_service.routes import weights


class Named(BaseModel):
    name: str


def refuse() -> None:
    raise HTTPException(403, "refused by the dependency")


@public
async def direct(request: Request) -> Response:
    return Response(request.path_params["name"])


@public
def in_thread(request: Request) -> Response:
    return Response(request.path_params["name"])


@public
async def model(request: Request) -> Named:
    return Named(name=request.path_params["name"])


@public
async def with_name(name: str, request: Request) -> Response:
    return Response(name + request.path_params["name"])


@public
async def failing(request: Request) -> Response:
    raise HTTPException(409, "failed")


def get(router: APIRouter) -> tuple[bool, int, bytes]:
    """GET /a from the only route of a router. Return whether it is direct, the status and the body."""
    sent: list[Message] = []
    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": "/a", "query_string": b"", "headers": []}
    scope |= {"scheme": "http", "http_version": "1.1", "app": None}

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(Pipeline([], RouteTable(router.routes))(scope, receive, send))
    (route,) = router.routes
    assert isinstance(route, DirectRoute)
    return route.is_direct, sent[0]["status"], b"".join(message.get("body", b"") for message in sent)


@pytest.mark.parametrize(
    ("endpoint", "is_direct", "status", "body"),
    [
        (direct, True, 200, b"a"),
        (in_thread, False, 200, b"a"),
        (model, False, 200, b'{"name":"a"}'),
        (with_name, False, 200, b"aa"),
    ],
)
def test_only_a_coroutine_of_the_request_that_returns_a_response_is_direct(
    endpoint: Callable[..., Any], is_direct: bool, status: int, body: bytes
) -> None:
    router = APIRouter(route_class=DirectRoute)
    router.get("/{name}")(endpoint)
    assert get(router) == (is_direct, status, body)


@pytest.mark.parametrize("of_router", [True, False])
def test_dependencies_are_resolved(of_router: bool) -> None:
    dependencies = [Depends(refuse)]
    router = APIRouter(route_class=DirectRoute, dependencies=dependencies if of_router else None)
    router.get("/{name}", dependencies=None if of_router else dependencies)(direct)
    is_direct, status, body = get(router)
    assert (is_direct, status) == (False, 403)
    assert b"refused by the dependency" in body


def test_an_error_of_a_direct_route_is_rendered() -> None:
    router = APIRouter(route_class=DirectRoute)
    router.get("/{name}")(failing)
    is_direct, status, body = get(router)
    assert (is_direct, status) == (True, 409)
    assert b'"detail":"failed"' in body.replace(b": ", b":")


def test_the_routes_of_files_are_direct() -> None:
    found = {route.operation_id: route.is_direct for route in weights.router.routes if isinstance(route, DirectRoute)}
    assert found == {
        "post_weights": False,  # it refuses parameters by a dependency
        "head_weights": True,
        "get_weights": True,
        "head_file": False,  # these take the digest
        "get_file": False,
    }
