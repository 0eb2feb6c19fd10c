"""The pipeline: the order of its stages, and their hooks for requests that end early."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import Response
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import Message

from fanin_service.access import keys
from fanin_service.access.rules import public
from fanin_service.access.scopes import Right
from fanin_service.app import create_admin_app, create_app
from fanin_service.context import KEY, RequestContext, Surface, context_of
from fanin_service.errors import RequestError
from fanin_service.http.routing import RouteTable
from fanin_service.pipeline import Pipeline
from fanin_service.settings import Settings
from fanin_service.stages import Authenticate, Authorize, Cors, CountRequest, Drain, Observe, Stage
from tests.support.servers import Running, running


def order(app: Any) -> list[type[Stage]]:
    return [type(stage) for stage in app.pipeline.stages]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, str]]:
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    key = keys.create(path, "reader", [Right.WEIGHTS_READ])[0]
    settings = Settings(access="keys", keys_file=path, cors_origins=("https://a.example",), admin_port=0)
    with running(settings) as server:
        yield server, key


def test_the_order_of_the_stages(guarded: tuple[Running, str]) -> None:
    """A preflight needs no key. A request is counted by its principal before it is authorized."""
    server, _ = guarded
    assert order(server.app) == [Observe, Cors, Drain, Authenticate, CountRequest, Authorize]
    assert order(create_admin_app(server.app)) == [Observe, Drain, Authenticate, CountRequest, Authorize]
    assert order(create_app(Settings())) == [Observe, Drain, Authenticate, CountRequest]


class Recorder(Stage):
    """Records the calls of its hooks, and ends the request with `end`."""

    def __init__(self, name: str, noted: list[str], end: Exception | Response | None = None) -> None:
        self.name, self.noted, self.end = name, noted, end

    async def before(self, context: RequestContext) -> Response | None:
        self.noted.append(f"{self.name} before")
        if isinstance(self.end, Exception):
            raise self.end
        return self.end

    def on_start(self, context: RequestContext, message: Message) -> None:
        context.status = message["status"]
        self.noted.append(f"{self.name} {message['status']}")

    def on_sent(self, context: RequestContext, count: int) -> None:
        self.noted.append(f"{self.name} sent")

    def after(self, context: RequestContext) -> None:
        self.noted.append(f"{self.name} after")


@public
async def handle(request: Request) -> Response:
    context_of(request.scope).recipe = "handled"
    return Response(b"x")


def serve(stages: list[Stage], path: str = "/") -> tuple[RequestContext, bytes, int]:
    """Send a GET through these stages; return its context, the body and the number of sent messages."""
    sent: list[Message] = []
    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": []}
    scope |= {"scheme": "http", "http_version": "1.1", "app": None}

    async def receive() -> Message:
        raise AssertionError("nothing of the body may be read")

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(Pipeline(stages, RouteTable([Route("/", handle)]))(scope, receive, send))
    return scope[KEY], b"".join(message.get("body", b"") for message in sent), len(sent)


def test_responses_pass_the_stages_backwards() -> None:
    noted: list[str] = []
    context, body, messages = serve([Recorder("a", noted), Recorder("b", noted)])
    assert noted == ["a before", "b before", "b 200", "a 200", "b sent", "a sent", "b after", "a after"]
    assert (context.recipe, context.route, body, messages) == ("handled", "/", b"x", 2)


@pytest.mark.parametrize(
    ("end", "status"), [(RequestError("no"), 500), (ZeroDivisionError(), 500), (Response(b"y", 204), 204)]
)
def test_no_later_stage_and_no_route_sees_a_request_that_ended(end: Exception | Response, status: int) -> None:
    noted: list[str] = []
    stages = [Recorder("a", noted), Recorder("b", noted, end), Recorder("c", noted)]
    if isinstance(end, Exception):
        with pytest.raises(type(end)):  # the server logs exceptions that are not in the table of problems
            serve(stages)
    else:
        assert serve(stages)[0].recipe is None
    assert "c before" not in noted
    assert [each for each in noted if each.endswith(str(status))] == [f"{name} {status}" for name in "cba"]
    assert noted[-3:] == ["c after", "b after", "a after"]


def test_a_path_without_route_is_a_problem() -> None:
    context, body, _ = serve([Observing()], "/nothing")
    assert (context.status, context.problem, context.route) == (404, "not-found", None)
    assert b"nothing is at /nothing" in body


class Observing(Stage):
    def on_start(self, context: RequestContext, message: Message) -> None:
        context.status = message["status"]


def test_a_request_is_matched_once(guarded: tuple[Running, str], monkeypatch: pytest.MonkeyPatch) -> None:
    server, key = guarded
    matched: list[str] = []
    matches = APIRoute.matches

    def noted(self: APIRoute, scope: Any) -> Any:
        found = matches(self, scope)
        matched.append(f"{sorted(self.methods)} {self.path}")
        return found

    monkeypatch.setattr(APIRoute, "matches", noted)
    answer = server.client.get("/v1/weights?shape=2&scheme=ones", headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 200
    assert sorted(set(matched)) == sorted(matched)
    assert all(each.endswith(" /v1/weights") for each in matched)


def test_a_match_is_cached_for_its_method_only() -> None:
    @public
    async def named(request: Request) -> Response:
        return Response(request.path_params["name"])

    table = RouteTable([Route("/a", handle, methods=["POST"]), Route("/{name}", named, methods=["GET"])])

    def found(path: str, method: str) -> tuple[str, bool, Any] | None:
        match = table.match({"type": "http", "path": path, "method": method})
        return match and (match.route.path, match.has_method, match.child_scope["path_params"])

    for _ in range(2):
        assert found("/a", "POST") == ("/a", True, {})
        assert found("/a", "GET") == ("/{name}", True, {"name": "a"})
        assert found("/a", "PUT") == ("/a", False, {})
        assert found("/b", "GET") == ("/{name}", True, {"name": "b"})
        assert found("/{name}", "GET") == ("/{name}", True, {"name": "{name}"})
        assert found("/b/c", "GET") is None
    assert {*table._found} == {("/a", "POST"), ("/{name}", "GET")}  # the cache does not grow with the paths of requests


@pytest.mark.parametrize(
    ("path", "surface"),
    [
        ("/hf", Surface.HUB),
        ("/hf/api", Surface.HUB),
        ("/hfx", Surface.NATIVE),
        ("/s3/models/a", Surface.S3),
        ("/s3x/a", Surface.NATIVE),
        ("/v1/weights", Surface.NATIVE),
        ("/", Surface.NATIVE),
        ("", Surface.NATIVE),
    ],
)
def test_the_surface_of_a_path(path: str, surface: Surface) -> None:
    assert Surface.of(path) is surface


def test_a_long_path_is_cut_in_the_header_of_an_error() -> None:
    """Proxies reject a long head of a response."""
    with running() as server:
        answer = server.client.get("/hf/" + "x" * 20_000)
        assert answer.status_code == 404
        assert len(answer.headers["X-Error-Message"]) == 1000
        assert len(answer.json()["error"]) > 20_000


@pytest.mark.parametrize("path", ["/metrics", "/livez", "/v1/schemes", "/v1/models/me/tiny", "/s3/models", "/page/x"])
def test_a_path_that_ends_with_a_newline_is_another_one(path: str) -> None:
    """A proxy that blocks /metrics must not let /metrics%0A pass."""
    with running() as server:
        answer = server.client.get(f"{path}%0A")
        assert answer.status_code == 404
        assert "nothing is at" in answer.text


def test_each_surface_states_the_same_error_once(guarded: tuple[Running, str]) -> None:
    server, _ = guarded
    client = server.client
    native, hub, s3 = (client.get(path) for path in ("/v1/models", "/hf/api/models", "/s3/models"))
    assert (native.status_code, hub.status_code, s3.status_code) == (401, 401, 403)
    assert native.headers["Content-Type"] == "application/problem+json"
    assert native.json()["detail"] == hub.json()["error"] == hub.headers["X-Error-Message"]
    assert s3.headers["Content-Type"] == "application/xml"
    assert native.json()["detail"] in s3.text
    for answer in (native, hub, s3):
        assert answer.headers["Cache-Control"] == "no-store"
        assert "WWW-Authenticate" in answer.headers
        assert answer.headers["X-Request-ID"]
    assert s3.headers["X-Amz-Request-Id"] == s3.headers["X-Request-ID"]


def test_two_services_of_one_process_share_nothing(tmp_path: Path) -> None:
    """Each has separate executors, caches and buffers."""
    one, other = (create_app(Settings()).state.service for _ in range(2))
    caches = ("recipes", "models", "manifests", "chunks", "descriptions", "small_bodies")
    for name in ("backend", "threads", "admission", *caches):
        assert getattr(one, name) is not getattr(other, name), name
    assert one.backend.matrices is not other.backend.matrices
