"""Requests that no client should send: the status is always a client error, never a server error."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from typing import Any

import httpx
import pytest

from fanin.schemes import SCHEMES, positions, state_spaces, tables, waves
from fanin_service.app import create_app
from fanin_service.recipes import limits
from fanin_service.recipes.errors import LimitExceededError
from fanin_service.settings import Settings
from tests.support.servers import JSON, Running, running

DIGITS = "1" + "0" * 5000
TENSOR = '{"shape":[2],"scheme":"zeros"}'


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ("", ""),
        ("{", ""),
        ("null", ""),
        ("[]", ""),
        ('"x"', ""),
        ("\ufeff{}", ""),
        ("{}", "/tensors"),
        ('{"shape":[2],"scheme":"constant","value":NaN}', ""),
        ('{"shape":[2],"scheme":"constant","value":Infinity}', ""),
        ('{"shape":[2],"scheme":"constant","value":-Infinity}', ""),
        ('{"shape":[2],"scheme":"constant","value":1e400}', "/value"),
        ('{"shape":[2],"scheme":"constant","value":' + "1" + "0" * 4000 + "}", "/value"),
        ('{"shape":[2],"scheme":"constant","value":' + DIGITS + "}", ""),
        ('{"shape":[2],"scheme":"constant","value":true}', "/value"),
        ('{"shape":[2],"scheme":"constant","value":"1"}', "/value"),
        ('{"shape":[2],"scheme":"constant","value":1e300}', "/value"),
        ('{"shape":[2],"scheme":"zeros","seed":' + DIGITS + "}", ""),
        ('{"shape":[2],"scheme":"zeros","seed":1.0}', "/seed"),
        ('{"shape":[2],"scheme":"zeros","seed":-1}', "/seed"),
        ('{"shape":[2],"scheme":"zeros","seed":true}', "/seed"),
        ('{"shape":[2],"scheme":"zeros","seed":"' + DIGITS + '"}', "/seed"),
        ('{"shape":[2],"scheme":"zeros","shape":[3]}', "/shape"),
        ('{"tensors":{"a":' + TENSOR + ',"a":' + TENSOR + "}}", "/tensors/a"),
        ('{"tensors":{"\\ud800":' + TENSOR + "}}", "/tensors/\ufffd\ufffd\ufffd"),
        ('{"tensors":{"":' + TENSOR + "}}", "/tensors/"),
        ('{"tensors":{"__metadata__":' + TENSOR + "}}", "/tensors/__metadata__"),
        ('{"tensors":{"a\\u0000":' + TENSOR + "}}", "/tensors/a\0"),
        ('{"tensors":{"' + "x" * 1025 + '":' + TENSOR + "}}", "/tensors/" + "x" * 1025),
        ('{"tensors":[]}', "/tensors"),
        ('{"tensors":{"a":7}}', "/tensors/a"),
        ('{"tensors":{"a":{"shape":[2]}}}', "/tensors/a/scheme"),
        ('{"tensors":{"a":{"scheme":"zeros"}}}', "/tensors/a/shape"),
        ('{"tensors":{"a":{"shape":[2],"scheme":["zeros"]}}}', "/tensors/a/scheme"),
        ('{"tensors":{"a":{"shape":[2],"scheme":"\\udfff"}}}', "/tensors/a/scheme"),
        ('{"tensors":{},"colour":"\\ud800"}', "/colour"),
        ('{"tensors":{},"dtype":"\\ud800"}', "/dtype"),
        ('{"shape":2,"scheme":"zeros"}', "/shape"),
        ('{"shape":[2.0],"scheme":"zeros"}', "/shape/0"),
        ('{"shape":[-1],"scheme":"zeros"}', "/shape/0"),
        ('{"shape":[9007199254740992],"scheme":"zeros"}', "/shape/0"),
        ('{"shape":[' + "9007199254740991," * 7 + '9007199254740991],"scheme":"zeros"}', "/tensors/weight/shape"),
        ('{"shape":[' + "1," * 100 + '1],"scheme":"zeros"}', "/shape"),
        ('{"shape":[2],"scheme":"zeros","gain":1}', "/gain"),
        ('{"shape":[2],"scheme":"he_normal"}', "/in_axes"),
        ('{"shape":[2],"scheme":"normal","std":0}', "/std"),
        ('{"shape":[2],"scheme":"uniform","low":1,"high":1}', "/low"),
        ("[" * 100_000, ""),
        ('{"a":' * 100_000, ""),
        ('{"tensors":' + "[" * 900 + "]" * 900 + "}", "/tensors"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/recipes", "/v1/weights"])
def test_wrong_recipes(client: httpx.Client, path: str, body: str, pointer: str) -> None:
    answer = client.post(path, content=body.encode(), headers=JSON)
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    problem = json.loads(answer.content, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert problem["type"] == "urn:fanin:problem:invalid-recipe"
    assert problem["status"] == 422
    assert problem["title"]
    assert problem["detail"]
    assert pointer in [error["pointer"] for error in problem["errors"]]
    assert all(error["detail"] for error in problem["errors"])


def test_bytes_that_are_not_utf8(client: httpx.Client) -> None:
    for body in (b"\xff\xfe{\x00}\x00", b'{"shape":[2],"scheme":"\xed\xa0\x80"}', b"\x1f\x8b\x08"):
        assert client.post("/v1/recipes", content=body, headers=JSON).status_code == 422


@pytest.mark.parametrize(
    "name", ["\U0001f34c", "a/b~c", "\u202etxet", "\u00e9", "e\u0301", "\uffff", " ", "\U0010ffff"]
)
def test_odd_names_that_are_right(client: httpx.Client, name: str) -> None:
    recipe = {"tensors": {name: {"shape": [3], "scheme": "normal", "std": 1.0}}}
    answer = client.post("/v1/recipes", json=recipe)
    assert answer.status_code in (200, 201)
    described = client.get(answer.headers["Location"])
    assert list(described.json()["tensors"]) == [name]
    assert client.post("/v1/weights", json=recipe).status_code == 200


def test_many_faults_are_told_in_part(client: httpx.Client) -> None:
    recipe = {"tensors": {f"t{i}": {"shape": [2], "scheme": f"nought{i}"} for i in range(20_000)}}
    answer = client.post("/v1/recipes", json=recipe)
    assert answer.status_code == 422
    assert 0 < len(answer.json()["errors"]) <= 100


def test_a_late_repetition_among_many_names(client: httpx.Client) -> None:
    names = ",".join(f'"{i}":0' for i in range(200_000))
    answer = client.post("/v1/recipes", content=f'{{{names},"199999":0}}'.encode(), headers=JSON)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/199999"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/jsonx"},
        {"Content-Type": "\xff"},
        {"Content-Type": ""},
        {**JSON, "Content-Encoding": "gzip"},
        {**JSON, "Content-Encoding": "br, gzip"},
    ],
)
def test_unsupported_content(client: httpx.Client, headers: dict[str, str]) -> None:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    answer = client.post("/v1/recipes", content=TENSOR.encode(), headers=raw)
    assert answer.status_code == 415
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:fanin:problem:unsupported-content"
    if "Content-Encoding" in headers:
        assert answer.headers["Accept-Encoding"] == "identity"
    else:
        assert answer.headers["Accept"] == "application/json"


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON ;x=y"])
def test_supported_content(client: httpx.Client, content_type: str) -> None:
    answer = client.post("/v1/recipes", content=TENSOR.encode(), headers={"Content-Type": content_type})
    assert answer.status_code in (200, 201)


FILE = f"/v1/recipes/{'0' * 64}/model.safetensors"


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/weights", "GET, HEAD, POST"),
        ("/v1/recipes", "POST"),
        (f"/v1/recipes/{'0' * 64}", "GET, HEAD"),
        (FILE, "GET, HEAD"),
        ("/v1/schemes", "GET, HEAD"),
        ("/livez", "GET, HEAD"),
        ("/readyz", "GET, HEAD"),
        ("/openapi.json", "GET, HEAD"),
        ("/docs", "GET, HEAD"),
    ],
)
@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_methods_not_allowed(client: httpx.Client, path: str, allowed: str, method: str) -> None:
    answer = client.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["Allow"] == allowed
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:fanin:problem:method-not-allowed"


@pytest.mark.parametrize(
    "path",
    ["/v1", "/v1/weights/", "/v2/weights", "/%00", "/v1/recipes/", "/metric", "/redoc", "/%ff", "/%ED%A0%80"],
)
def test_unknown_paths(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:fanin:problem:not-found"


@pytest.mark.parametrize(
    "request_",
    [
        b"POST /v1/recipes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{",
        b"GET /v1/weights?shape=\xff&scheme=zeros HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/weights?shape=2&scheme=zeros HTTP/1.1\r\nHost: x\r\nRange: \xff\r\nIf-Match: \xff\r\n\r\n",
        b"\x00\x01\x02\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
    ],
)
def test_raw_bytes(server: Running, request_: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """A response, if there is one, is a client error, and no request writes a traceback to the log."""
    with socket.create_connection(server.address, timeout=30) as connection:
        connection.sendall(request_)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 200"))
    assert server.client.get("/livez").status_code == 200
    assert not [record for record in caplog.records if record.exc_info]


def test_a_head_that_does_not_end(server: Running) -> None:
    with socket.create_connection(server.address, timeout=30) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: test\r\nX: ")
        answer = b""
        for _ in range(1000):
            try:
                connection.sendall(b"x" * 10_000)
            except OSError:
                break
            connection.settimeout(0.001)
            try:
                answer = connection.recv(1000)
                break
            except TimeoutError:
                connection.settimeout(30)
        else:
            pytest.fail("ten megabytes of header were taken")
    assert answer.startswith(b"HTTP/1.1 400") or not answer


def test_trailers_that_do_not_end(server: Running) -> None:
    head = (
        b"POST /v1/recipes HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    for trailer in (b"X: y\r\n" * 2000, b"y" * 12_000):
        with socket.create_connection(server.address, timeout=30) as connection:
            connection.sendall(head + b"1\r\n{\r\n0\r\nX: ")
            try:
                for _ in range(1000):
                    connection.sendall(trailer)
            except OSError:
                continue
            pytest.fail("twelve megabytes of trailers were taken")


def test_a_long_body_before_the_next_head_is_none(server: Running) -> None:
    """A head begins in the piece in which a body of 200 kB ends."""
    recipe = json.dumps({"tensors": {f"{n:0100}": {"shape": [1], "scheme": "ones"} for n in range(1400)}}).encode()
    head = "POST /v1/recipes HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(recipe)}\r\n\r\n"
    with socket.create_connection(server.address, timeout=30) as connection:
        connection.sendall(head.encode() + recipe + b"GET /livez HTTP/1.1\r\nHost: t")
        answer = b""
        while b"tensor_count" not in answer:
            answer += connection.recv(1 << 16)
        connection.sendall(b"est\r\nConnection: close\r\n\r\n")
        while part := connection.recv(1 << 16):
            answer += part
    assert answer.count(b"HTTP/1.1 20") == 2


def test_different_tensors_are_limited() -> None:
    recipe = {"tensors": {f"t{n}": {"shape": [2], "scheme": "normal", "std": 1 + n} for n in range(30)}}
    alike = {"tensors": {f"t{n}": {"shape": [2], "scheme": "normal", "std": 1} for n in range(30)}}
    with running(Settings(max_distributions=20)) as server:
        answer = server.client.post("/v1/recipes", json=recipe)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/tensors")
        assert server.client.post("/v1/recipes", json=alike).status_code == 201


@pytest.mark.parametrize(
    "tensor",
    [
        {
            "shape": [40],
            "scheme": "blocks",
            "parts": [{"size": 1, "scheme": "constant", "value": n} for n in range(40)],
        },
        {"shape": [4096], "scheme": "alibi_slopes"},
        {"shape": [4096], "scheme": "blocks", "parts": [{"size": 4096, "scheme": "rope_frequencies"}]},
    ],
)
def test_blocks_and_tables_count_as_the_distributions_that_they_cost(
    tensor: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(*_: Any) -> None:
        raise AssertionError("work was done before it was counted")

    monkeypatch.setattr(limits, "from_json", made)
    with pytest.raises(LimitExceededError, match="this service accepts at most 39"):
        limits.layout_of({"tensors": {"a": tensor}}, Settings(max_distributions=39))
    assert limits.check({"tensors": {"a": tensor}}, Settings()).distributions > 39


def test_every_scheme_of_a_table_is_counted() -> None:
    modules = {tables.__name__, positions.__name__, state_spaces.__name__, waves.__name__}
    assert {name for name, scheme in SCHEMES.items() if scheme.__module__ in modules} == set(limits._TABLES)
    assert limits.distributions_of({"shape": [512, 512, 4, 4], "scheme": "bilinear"}) == 101


def test_a_table_is_not_computed_on_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: dict[str, str] = {}
    layout_of = limits.layout_of

    def noted(document: Any, settings: Settings) -> Any:
        given = document.document
        threads[f"{given['scheme']}{given['shape']}"] = threading.current_thread().name
        return layout_of(document, settings)

    monkeypatch.setattr(limits, "layout_of", noted)
    with running() as server:
        for query in ("64&scheme=ones", "64&scheme=alibi_slopes", "0,64&scheme=mamba_a_log", "400&scheme=rwkv_decay"):
            assert server.client.head(f"/v1/weights?shape={query}").status_code == 200
    assert threads["alibi_slopes[64]"].startswith("fanin-parse")
    assert threads["mamba_a_log[0, 64]"].startswith("fanin-parse")
    assert threads["rwkv_decay[400]"].startswith("fanin-large")
    assert not threads["ones[64]"].startswith("fanin")


def test_a_short_body_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    layout_of = limits.layout_of

    def noted(document: Any, settings: Settings) -> Any:
        read.append(threading.current_thread().name)
        return layout_of(document, settings)

    monkeypatch.setattr(limits, "layout_of", noted)
    body = {"tensors": {}, "repeated": {"a{1..6000}": {"shape": [2], "scheme": "ones"}}}
    with running() as server:
        answers = [server.client.post("/v1/recipes", json=body) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [201, 200, 200]
        assert len({answer.text for answer in answers}) == 1
        held = server.app.state.service.admission._held.total.size
    assert held == 0
    assert [name.rpartition("_")[0] for name in read] == ["fanin-large"]


def test_a_query_does_not_push_out_recipes() -> None:
    with running(Settings(registry_recipes=2)) as server:
        path = server.register({"shape": [2], "scheme": "ones"})
        for seed in range(5):
            assert server.client.get(f"/v1/weights?shape=2&scheme=ones&seed={seed}").status_code == 200
        assert server.client.get(path).status_code == 200


def test_an_app_may_be_started_again() -> None:
    app = create_app(Settings())

    async def start() -> bool:
        async with app.router.lifespan_context(app):
            ready: bool = app.state.service.ready
            return ready

    assert asyncio.run(start())
    assert asyncio.run(start())
