"""The second port, and requests of browsers from other origins."""

from __future__ import annotations

import signal
import socket
import threading
from pathlib import Path

import httpx
import pytest

from fanin_service.access import keys
from fanin_service.access.scopes import Right
from fanin_service.settings import Settings
from tests.support.processes import serving
from tests.support.servers import running, wait_for

ORIGIN = "https://app.example.org"
WEIGHTS = "/v1/weights?shape=4&scheme=zeros"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_second_port(workers: str, tmp_path: Path) -> None:
    keys_file = tmp_path / "keys.json"
    key, _ = keys.create(keys_file, "x", tuple(Right))
    options = ["--access", "keys", "--keys-file", str(keys_file), "--admin-port", "0", "--workers", workers]
    with serving(*options) as (url, process):
        assert process.stderr
        beside = process.stderr.readline().split()[-1]
        # Connections wait in the socket until a worker runs.
        assert httpx.get(beside + "/livez", timeout=60).json() == {"status": "alive"}
        wait_for(lambda: httpx.get(beside + "/readyz").status_code == 200)
        assert httpx.get(url + "/readyz", timeout=60).status_code == 200
        with_key = {"Authorization": f"Bearer {key}"}
        assert httpx.get(beside + WEIGHTS).status_code == 401
        assert httpx.get(beside + WEIGHTS, headers=with_key).status_code == 404
        assert httpx.get(beside + "/v1/recipes", headers=with_key).status_code == 404
        assert "/livez" in httpx.get(beside + "/openapi.json", headers=with_key).json()["paths"]


def test_it_answers_until_the_last_stream_has_ended() -> None:
    with serving("--admin-port", "0", "--shutdown-seconds", "60") as (url, process):
        assert process.stderr
        beside = process.stderr.readline().split()[-1]
        port = int(url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"GET /v1/weights?shape=10000000&scheme=zeros HTTP/1.1\r\nHost: x\r\n\r\n")
            received = len(connection.recv(1 << 16))
            # Later log lines must not fill the pipe.
            threading.Thread(target=process.stderr.read, daemon=True).start()
            process.send_signal(signal.SIGTERM)

            def refused() -> bool:
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                except OSError:
                    return True
                return False

            wait_for(refused)
            assert httpx.get(beside + "/livez").status_code == 200
            while part := connection.recv(1 << 20):
                received += len(part)
            assert received > 40_000_000


def test_other_origins(tmp_path: Path) -> None:
    keys_file = tmp_path / "keys.json"
    key, _ = keys.create(keys_file, "x", tuple(Right))
    settings = Settings(stall_seconds=30, access="keys", keys_file=keys_file, cors_origins=ORIGIN)
    with running(settings) as server:
        client = server.client
        ask = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization, range"}
        for path in (WEIGHTS, "/v1/recipes", "/nothing"):
            answer = client.options(path, headers={"Origin": ORIGIN, **ask})
            assert answer.status_code == 200
            assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
            assert "authorization" in answer.headers["Access-Control-Allow-Headers"].lower()
            assert client.options(path, headers={"Origin": "https://evil.example", **ask}).status_code == 400
        ask["Access-Control-Request-Method"] = "PATCH"
        assert client.options(WEIGHTS, headers={"Origin": ORIGIN, **ask}).status_code == 400

        headers = {"Authorization": f"Bearer {key}", "Range": "bytes=0-7"}
        answer = client.get(WEIGHTS, headers={"Origin": ORIGIN, **headers})
        assert answer.status_code == 206
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert answer.headers["Vary"] == "Origin"
        exposed = {name.strip() for name in answer.headers["Access-Control-Expose-Headers"].split(",")}
        assert {"ETag", "Content-Range", "Accept-Ranges", "Content-Digest", "Retry-After"} <= exposed
        refused = client.get(WEIGHTS, headers={"Origin": ORIGIN})
        assert refused.status_code == 401
        assert refused.headers["Access-Control-Allow-Origin"] == ORIGIN
        other = client.get(WEIGHTS, headers={"Origin": "https://evil.example", **headers})
        assert "Access-Control-Allow-Origin" not in other.headers
        # A cache must not serve a response for one origin, or for none, to a page of another.
        for vague in (other, client.get(WEIGHTS, headers=headers), client.get("/nothing"), client.head("/livez")):
            assert vague.headers["Vary"] == "Origin"


def test_every_origin_is_answered_with_its_own_headers() -> None:
    with running(Settings(cors_origins="*")) as server:
        for headers in ({}, {"Origin": ORIGIN}, {"Origin": ORIGIN, "Cookie": "a=b"}):
            assert server.client.get(WEIGHTS, headers=headers).headers["Vary"] == "Origin"


def test_no_origin_is_let_in_by_default() -> None:
    with running() as server:
        answer = server.client.get(WEIGHTS, headers={"Origin": ORIGIN})
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert "Vary" not in answer.headers
