"""Headers for caches and browsers in every response."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator

import httpx
import pytest
from starlette.routing import Route

from fanin.file import archive
from fanin_service.app import create_app
from fanin_service.settings import Settings
from tests.support.servers import Running, running

RECIPE = {"tensors": {"w": {"shape": [3, 4], "scheme": "he_normal"}}}
MODEL = archive.pack({"recipe.json": json.dumps(RECIPE).encode(), "config.json": b"{}"})
FOREVER = "public, max-age=31536000, immutable"


@pytest.fixture(scope="module")
def names(server: Running) -> Iterator[dict[str, str]]:
    """Return a value for each parameter of a path."""
    server.register(RECIPE)
    digest = server.client.post("/v1/recipes", json=RECIPE).json()["digest"]
    headers = {"Content-Type": archive.MEDIA_TYPE}
    commit = server.client.put("/v1/models/caches/tiny", content=MODEL, headers=headers).json()["commit"]
    yield {
        "digest": digest,
        "name": "caches/tiny",
        "repo": "caches/tiny",
        "revision": "main",
        "bucket": "models",
        "asset": "page.css",
        "file": "page.js",
        "target": f"{commit}/model.safetensors",
        "key": f"caches/tiny/{commit}/model.safetensors",
        "commit": commit,
    }
    server.client.delete("/v1/models/caches/tiny")


def reading() -> list[str]:
    """Return the path of every route that has GET."""
    routes = create_app(Settings()).state.routes
    return sorted({route.path for route in routes if isinstance(route, Route) and "GET" in (route.methods or ())})


@pytest.mark.parametrize("path", reading())
def test_every_route(server: Running, names: dict[str, str], path: str) -> None:
    """Resources that can change are revalidated at each request. Only URLs that identify bytes are immutable."""
    query = {"/v1/weights": "?shape=3&scheme=zeros"}.get(path, "")
    filled = re.sub(r"{(\w+)(:\w+)?}", lambda found: names.get(found[1], "x"), path) + query
    for method in ("GET", "HEAD"):
        answer = server.client.request(method, filled)
        assert answer.headers.get_list("X-Content-Type-Options") == ["nosniff"], filled
        (said,) = answer.headers.get_list("Cache-Control")
        names_bytes = "weights" in path or "safetensors" in path or "digests" in path
        names_bytes |= any(name in path for name in ("{target", "{key")) and "tree" not in path
        if names_bytes and answer.status_code == 200:
            assert said == FOREVER, filled
        else:
            assert said in ("no-cache", "no-store") or (path.startswith(("/docs", "/{")) or path == "/"), filled


CHANGING = ("Date", "X-Request-ID", "X-AMZ-Request-ID", "Content-Length")


@pytest.mark.parametrize("path", sorted({*reading()} - {"/metrics"}))
def test_head_and_not_modified(server: Running, names: dict[str, str], path: str) -> None:
    """HEAD has the headers of GET, perhaps without Content-Length (RFC 9110 sections 8.6 and 9.3.2).

    A client that has the entity tag gets 304 with the headers that section 15.4.5 requires.
    """
    query = {"/v1/weights": "?shape=3&scheme=zeros", "/s3/{bucket}/{key:path}": "?response-expires=0"}.get(path, "")
    url = re.sub(r"{(\w+)(:\w+)?}", lambda found: names.get(found[1], "x"), path) + query
    whole, head = server.client.get(url), server.client.head(url)
    if whole.status_code == head.status_code == 200:
        same = [dict(answer.headers) for answer in (whole, head)]
        for headers in same:
            for name in CHANGING:
                headers.pop(name.lower(), None)
        assert same[0] == same[1]
        assert head.headers.get("Content-Length") in (None, str(whole.num_bytes_downloaded))
    if whole.status_code == 200 and "ETag" in whole.headers:
        answer = server.client.get(url, headers={"If-None-Match": whole.headers["ETag"]})
        assert (answer.status_code, answer.content) == (304, b"")
        for name in ("ETag", "Cache-Control", "Content-Location", "Expires", "Vary"):
            assert answer.headers.get(name) == whole.headers.get(name), name


def test_what_a_name_stands_for_may_change(server: Running, names: dict[str, str]) -> None:
    for path in ("/s3/models/caches/tiny/main/model.safetensors", "/s3/models/caches/tiny/seed-1/config.json"):
        answer = server.client.get(path)
        assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-cache")
        tag = {"If-None-Match": answer.headers["ETag"]}
        assert server.client.get(path, headers=tag).headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/none"), ("PUT", "/livez"), ("OPTIONS", "/v1/models"), ("POST", "/v1/recipes")]
)
def test_errors(server: Running, method: str, path: str) -> None:
    answer = server.client.request(method, path)
    assert answer.status_code >= 400
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] in ("no-store", "no-cache")


def test_what_is_no_request(server: Running) -> None:
    with socket.create_connection(server.address, 30) as connection:
        connection.sendall(b"junk\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"x-content-type-options: nosniff\r\n" in answer


def test_a_page_of_another_origin() -> None:
    with running(Settings(cors_origins=("https://a.example",))) as server:
        headers = {"Origin": "https://a.example", "Access-Control-Request-Method": "GET"}
        answer = httpx.options(f"{server.url}/v1/models", headers=headers)
        assert (answer.status_code, answer.headers["X-Content-Type-Options"]) == (200, "nosniff")
