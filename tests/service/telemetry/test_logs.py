"""Logs: one line for each request, without secrets, and without lines that a client has written."""

from __future__ import annotations

import fcntl
import io
import json
import logging
import logging.config
import re
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from fanin_service.access import keys
from fanin_service.access.scopes import Right
from fanin_service.settings import Settings
from fanin_service.telemetry import logs, stderr
from tests.support.backends import FailingBackend, IdleBackend
from tests.support.processes import serving
from tests.support.servers import HUGE, Running, running, wait_for

LOGGERS = ("", "fanin_service", "uvicorn")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
EVIL = 'x\r\n2026-01-01 INFO forged\x1b[2J\x00\u2028\u202e"}\n{"level": "INFO", "message": "forged"}'


@contextmanager
def logging_as(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[str]]]:
    """Yield a function that returns the lines that are logged with these settings."""
    stream = io.StringIO()
    kept = {name: (logging.getLogger(name).handlers[:], logging.getLogger(name).level) for name in LOGGERS}
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        # It would close the handlers of every library that this process has imported. absl's closes pytest's own file.
        patch.setattr(logging, "shutdown", lambda *_: None)
        logging.config.dictConfig(logs.config(settings.log_format, settings.log_level))
    (handler,) = logging.getLogger().handlers

    def read() -> list[str]:
        handler.flush()
        return stream.getvalue().splitlines()

    try:
        yield read
    finally:
        for name, (handlers, level) in kept.items():
            logging.getLogger(name).handlers[:] = handlers
            logging.getLogger(name).setLevel(level)


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Yield a function that returns the log as JSON objects."""
    with logging_as(Settings(log_format="json"), monkeypatch) as read:
        yield lambda: [json.loads(line) for line in read()]


@pytest.fixture
def server(lines: object) -> Iterator[Running]:
    with running(Settings(stall_seconds=30)) as server:
        yield server


def access(lines: Callable[[], list[dict[str, Any]]], count: int = 1) -> dict[str, Any]:
    """Return the only line of the access log, or the last of `count`."""
    found: list[dict[str, Any]] = []

    def there() -> bool:
        found[:] = [line for line in lines() if line["logger"] == "fanin_service.access"]
        return len(found) >= count

    wait_for(there)
    assert len(found) == count
    return found[-1]


def test_a_request_is_one_line(server: Running, lines: Any) -> None:
    url = "/v1/weights?shape=1000&scheme=zeros&seed=5"
    headers = {"Range": "bytes=100-199", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "X-Request-ID": "abc/1:2"}
    answer = server.client.get(url, headers={**headers, "Authorization": "Bearer secret-1", "Cookie": "secret-2"})
    line = access(lines)
    assert answer.headers["X-Request-ID"] == line["request_id"] == "abc/1:2"
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+\+00:00", line.pop("timestamp"))
    assert 0 < line.pop("first_byte_seconds") <= line.pop("seconds")
    assert line == {
        "level": "INFO",
        "logger": "fanin_service.access",
        "message": "GET /v1/weights 206",
        "request_id": "abc/1:2",
        "trace_id": TRACE,
        "method": "GET",
        "route": "/v1/weights",
        "status": 206,
        "sent_bytes": 100,
        "recipe": answer.headers["ETag"].strip('"'),
        "range": "100-199",
        "address": "127.0.0.1",
    }
    assert "secret" not in json.dumps(lines())


@pytest.mark.parametrize("given", [b"", b"a b", b"x" * 129, b'"', b"\xff\xfe", b"a\tb", b"{}", b"a,b"])
def test_an_odd_request_id_is_not_taken(server: Running, lines: Any, given: bytes) -> None:
    answer = server.client.get("/v1/nothing", headers={b"X-Request-ID": given})  # type: ignore[dict-item]
    made = answer.headers["X-Request-ID"]
    assert re.fullmatch("[0-9a-f]{32}", made)
    assert answer.json()["request_id"] == access(lines)["request_id"] == made


@pytest.mark.parametrize("parent", [f"00-{'0' * 32}-00f067aa0ba902b7-01", f"00-{TRACE}-{'0' * 16}-01", TRACE, "\xff"])
def test_an_odd_trace_parent_is_not_taken(server: Running, lines: Any, parent: str) -> None:
    assert server.client.get("/v1/schemes", headers={b"traceparent": parent.encode("latin-1")}).status_code == 200
    assert "trace_id" not in access(lines)


def test_every_request_has_an_id_of_its_own(client: httpx.Client) -> None:
    assert len({client.get("/livez").headers["X-Request-ID"] for _ in range(5)}) == 5


def test_refusals_say_which(server: Running, lines: Any) -> None:
    server.client.get("/v1/weights?shape=secret&scheme=abacus")
    line = access(lines)
    assert (line["status"], line["problem"]) == (422, "invalid-recipe")
    assert "recipe" not in line
    assert "secret" not in json.dumps(lines())
    server.client.get("/secret/path")
    line = access(lines, 2)
    assert (line["status"], line["problem"], line["message"]) == (404, "not-found", "GET - 404")
    assert "secret" not in json.dumps(lines())


def test_who_may_not_is_told(lines: Any, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key, _ = keys.create(path, "writer", (Right.RECIPES_WRITE,))
    with running(Settings(access="keys", keys_file=path)) as server:
        assert server.client.get("/v1/schemes", headers={"Authorization": f"Bearer {key}"}).status_code == 403
    line = access(lines)
    assert (line["client"], line["problem"], line["status"]) == ("writer", "insufficient-scope", 403)


def test_leaving_is_told(server: Running, lines: Any) -> None:
    path = server.register(HUGE)
    with server.connection(path) as connection:
        received = 0
        while received < 64 << 10:  # more than the head
            received += len(connection.recv(64 << 10))
    line = access(lines, 2)
    assert line["ended"] == "client left"
    assert line["route"] == "/v1/recipes/{digest}/model.safetensors"
    assert line["recipe"] in path
    assert 0 < line["sent_bytes"] < 64 << 20


def test_leaving_with_requests_that_wait_is_told(server: Running, lines: Any) -> None:
    path = server.register(HUGE)
    with server.connection(path) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode() * 2)
        received = 0
        while received < 64 << 10:
            received += len(connection.recv(64 << 10))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert access(lines, 2)["ended"] == "client left"
    assert [line for line in lines() if line["level"] == "ERROR"] == []


def test_stalling_is_told(lines: Any) -> None:
    with running(Settings(stall_seconds=1)) as server, server.connection(server.register(HUGE)) as connection:
        assert connection.recv(1)
        assert access(lines, 2)["ended"] == "stalled"


def test_draining_is_told() -> None:
    with socket.socket() as connection, serving("--log-format", "json", "--shutdown-seconds", "0") as (url, process):
        connection.connect(("127.0.0.1", int(url.rpartition(":")[2])))
        connection.sendall(b"GET /v1/weights?shape=1000000000&scheme=zeros HTTP/1.1\r\nHost: test\r\n\r\n")
        assert connection.recv(16)
        process.terminate()
        assert process.stderr
        lines = [json.loads(line) for line in process.stderr]
    assert [line["ended"] for line in lines if line["logger"] == "fanin_service.access"] == ["drained"], lines


def test_a_failure_is_told_twice_under_one_id(lines: Any) -> None:
    with running(backend=FailingBackend()) as server:
        with server.connection(server.register(HUGE)) as connection:
            while connection.recv(1 << 20):
                pass
        line = access(lines, 2)
        assert line["ended"] == "failed"
        wait_for(lambda: any("exception" in each for each in lines()))
        (error,) = (each for each in lines() if "exception" in each)
        assert error["request_id"] == line["request_id"]
        assert "MemoryError: as it may happen" in error["exception"]


def test_health_is_not_news_until_it_fails(server: Running, lines: Any) -> None:
    for path in ("/livez", "/readyz", "/metrics"):
        assert server.client.get(path).status_code == 200
    server.client.get("/v1/schemes")
    assert access(lines)["route"] == "/v1/schemes"
    with running(backend=IdleBackend()) as broken:
        assert broken.client.get("/readyz").status_code == 503
    assert access(lines, 2)["problem"] == "not-ready"


def test_health_is_logged_at_level_debug(monkeypatch: pytest.MonkeyPatch) -> None:
    with logging_as(Settings(log_level="debug"), monkeypatch) as read, running() as server:
        server.client.get("/livez")
        wait_for(lambda: any("GET /livez 200" in line for line in read()))


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_nobody_forges_lines(monkeypatch: pytest.MonkeyPatch, log_format: Any) -> None:
    with logging_as(Settings(log_format=log_format), monkeypatch) as read:
        logger = logging.getLogger("fanin_service.any")
        logger.warning("about %s", EVIL, extra={"field": EVIL})
        (line,) = read()
        assert line.isprintable()
        try:
            raise ValueError(EVIL)
        except ValueError:
            logger.exception("failed")
        lines = read()[1:]
    assert all(line.isprintable() for line in lines)
    # On a console a traceback has separate lines, without the prefix of other lines.
    assert [line[:4] == "    " for line in lines] == [False] + [True] * (len(lines) - 1)


def test_lines_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    with logging_as(Settings(), monkeypatch) as read:
        logging.getLogger("fanin_service.any").info("said", extra={"a": 1, "b": 'x "y"', "c": "", "d": "plain"})
        assert read()[0].partition(" ")[2] == 'INFO    fanin_service.any said a=1 b="x \\"y\\"" c="" d=plain'


def test_the_command_logs_json() -> None:
    with serving("--log-format", "json") as (url, process):
        assert httpx.get(f"{url}/v1/schemes", headers={"X-Request-ID": "one"}, timeout=60).status_code == 200
        process.terminate()
        assert process.stderr
        lines = [json.loads(line) for line in process.stderr]
    assert [line["request_id"] for line in lines if line["logger"] == "fanin_service.access"] == ["one"]
    assert {line["logger"] for line in lines} == {"uvicorn.error", "fanin_service.access", "fanin_service.service"}


@pytest.mark.skipif(sys.platform != "linux", reason="makes a pipe smaller")
def test_a_log_that_is_not_read_stops_no_request() -> None:
    with serving() as (url, process), httpx.Client(base_url=url, timeout=30) as client:
        assert process.stderr
        fcntl.fcntl(process.stderr, fcntl.F_SETPIPE_SZ, 4096)
        assert [client.get("/v1/schemes").status_code for _ in range(60)] == [200] * 60
        process.terminate()
        # The process must exit although nobody reads its log.
        assert process.wait(60) == 0


def test_lines_for_which_there_is_no_room_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stderr, "MAX_LINES", 3)
    taken, let = threading.Event(), threading.Event()

    class Stuck(io.StringIO):
        def write(self, text: str) -> int:
            taken.set()
            let.wait(60)
            return super().write(text)

    stream = Stuck()
    monkeypatch.setattr(sys, "stderr", stream)
    handler = stderr.StandardErrorHandler()
    for number in range(10):
        handler.handle(logging.makeLogRecord({"msg": f"line {number}", "levelno": logging.INFO}))
        if number == 0:
            assert taken.wait(60)
    let.set()
    handler.flush()
    assert stream.getvalue().splitlines() == [
        *(f"line {number}" for number in range(4)),
        "6 log lines were dropped: standard error was not read",
    ]


def test_lines_that_refer_to_objects_are_formatted_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments may change before the thread writes, and a traceback keeps everything in its frames alive."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    handler = stderr.StandardErrorHandler()
    handler._thread = threading.current_thread()  # nothing is written yet
    names = ["a"]
    handler.handle(logging.LogRecord("x", logging.INFO, "", 0, "names: %s", (names,), None))
    names.append("b")
    try:
        raise ValueError("no")
    except ValueError:
        handler.handle(logging.LogRecord("x", logging.INFO, "", 0, "failed", (), sys.exc_info()))
    handler.handle(logging.LogRecord("x", logging.INFO, "", 0, ValueError("no"), (), None))  # type: ignore[arg-type]
    handler.handle(logging.LogRecord("x", logging.INFO, "", 0, "plain", (), None))
    listed, failed, error, plain = handler._waiting
    assert (listed, error) == ("names: ['a']\n", "no\n")
    assert isinstance(failed, str)
    assert failed.endswith("ValueError: no\n")
    assert not isinstance(plain, str)
    handler._thread = None
    handler.handle(logging.LogRecord("x", logging.INFO, "", 0, "last", (), None))
    handler.flush()
    assert stream.getvalue() == f"{listed}{failed}{error}plain\nlast\n"


def test_the_command_is_as_quiet_as_told() -> None:
    with serving("--workers", "2", "--log-level", "info") as (url, process):
        httpx.get(f"{url}/v1/schemes", timeout=60)
        process.terminate()
        assert process.stderr
        text = process.stderr.read()
    assert text.count("GET /v1/schemes 200") == 1
