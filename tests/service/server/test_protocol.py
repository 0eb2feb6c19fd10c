"""The server's HTTP protocol, in cases in which a client could harm uvicorn's."""

from __future__ import annotations

import asyncio
import gc
import socket
import struct
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from fanin_service.server import protocol
from tests.support.servers import JSON, Running, running, wait_for

LIVE = b"GET /livez HTTP/1.1\r\nHost: test\r\n\r\n"


@contextmanager
def connected(server: Running) -> Iterator[socket.socket]:
    with socket.create_connection(server.address, timeout=30) as connection:
        yield connection


def everything(connection: socket.socket) -> bytes:
    """Return all bytes until the server closes the connection."""
    found = bytearray()
    try:
        while part := connection.recv(1 << 20):
            found += part
    except ConnectionResetError:
        pass
    return bytes(found)


@pytest.mark.parametrize("junk", [b"\0junk\r\n\r\n", b"GET / HTTP/1.1\r\n: x\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"])
def test_no_refusal_in_the_middle_of_a_file(server: Running, junk: bytes) -> None:
    """A refusal of invalid input must not be inserted into the bytes of a file."""
    path = "/v1/weights?shape=3000000&scheme=normal&std=1"
    wanted = server.client.get(path).content
    with connected(server) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        first = connection.recv(1 << 10)
        connection.sendall(junk)
        _, _, content = (first + everything(connection)).partition(b"\r\n\r\n")
    assert content == wanted


def test_what_came_before_a_bad_request_is_answered(server: Running) -> None:
    with connected(server) as connection:
        connection.sendall(LIVE * 3 + b"\0junk\r\n\r\n" + LIVE)
        answers = everything(connection)
    assert answers.count(b"HTTP/1.1 200 OK") == answers.count(b"HTTP/1.1 ") == 3


@pytest.mark.parametrize("earlier", [b"", LIVE])
def test_a_body_that_breaks(server: Running, earlier: bytes) -> None:
    head = (
        b"POST /v1/recipes HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    with connected(server) as connection:
        connection.sendall(earlier + head + b"1\r\n{\r\nxx\r\n")
        answers = everything(connection)
    assert answers.startswith(b"HTTP/1.1 400 ") or (earlier and not answers)
    assert answers.count(b"HTTP/1.1 ") <= 1


def test_pipelining_is_bounded(server: Running) -> None:
    """Each waiting request takes 50 times its bytes of memory, so the server does not read more than a few."""
    with connected(server) as connection:
        connection.sendall(LIVE * 5000)
        answers = everything(connection)
    assert 1 <= answers.count(b"HTTP/1.1 200 OK") == answers.count(b"HTTP/1.1 ") <= 2 + protocol.MAX_PIPELINED
    with connected(server) as connection:
        for _ in range(10):
            connection.sendall(LIVE * protocol.MAX_PIPELINED)
            answers = b""
            while answers.count(b'{"status":"alive"}') < protocol.MAX_PIPELINED:
                answers += connection.recv(1 << 16)


def test_a_body_that_nobody_reads_is_bounded(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MAX_UNREAD_BYTES", 1 << 20)
    with connected(server) as connection:
        connection.sendall(b"POST /nothing HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 404 ")
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            connection.sendall((b"100000\r\n" + bytes(1 << 20) + b"\r\n") * 100)


RECIPE = b'{"shape":[3],"scheme":"ones"}'
UPGRADE = b"Host: test\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nUpgrade: %b\r\n"
LENGTH = b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(RECIPE)
CHUNKED = b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
LAST = LIVE[:-2] + b"Connection: close\r\n\r\n"


@pytest.mark.parametrize("protocol", [b"websocket", b"h2c"])
@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
def test_another_protocol_is_not_spoken(server: Running, protocol: bytes, piece: int) -> None:
    """The server reads the request with its body and responds in HTTP/1.1, and so to the next request."""
    get, post = (method + b" HTTP/1.1\r\n" + UPGRADE % protocol for method in (b"GET /livez", b"POST /v1/weights"))
    chunks = b"5\r\n" + RECIPE[:5] + b"\r\n%x\r\n" % (len(RECIPE) - 5) + RECIPE[5:] + b"\r\n0\r\nX: trailer\r\n\r\n"
    sent = post + LENGTH + b"\r\n" + RECIPE + get + b"\r\n" + post + CHUNKED + b"\r\n" + chunks + get
    with connected(server) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(sent), piece):
            connection.sendall(sent[at : at + piece])
        connection.sendall(b"Content-Length: 0\r\n\r\n" + LAST)
        answers = everything(connection)
    assert answers.count(b"HTTP/1.1 200 OK") == answers.count(b"HTTP/1.1 ") == 5
    whole = server.client.post("/v1/weights", content=RECIPE, headers=JSON).content
    assert answers.count(whole) == 2


def test_another_protocol_and_a_body_that_breaks(server: Running) -> None:
    head = b"POST /v1/recipes HTTP/1.1\r\n" + UPGRADE % b"h2c" + CHUNKED + b"\r\n"
    for body in (b"xx\r\n", b"1\r\n{\r\nxx\r\n"):
        with connected(server) as connection:
            connection.sendall(head + body + LIVE)
            answers = everything(connection)
        assert answers.startswith(b"HTTP/1.1 400 ")
        assert answers.count(b"HTTP/1.1 ") == 1


WITH_LENGTH = b"Content-Length: %d\r\n\r\n" % len(RECIPE) + RECIPE
IN_CHUNKS = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(RECIPE) + RECIPE + b"\r\n0\r\n\r\n"


@pytest.mark.parametrize(("version", "framing"), [(b"1.1", WITH_LENGTH), (b"1.1", IN_CHUNKS), (b"1.0", WITH_LENGTH)])
def test_another_protocol_on_a_connection_that_closes(server: Running, version: bytes, framing: bytes) -> None:
    """The server reads the body, responds at once, and does not read what follows as a request."""
    head = b"POST /v1/weights HTTP/%b\r\nHost: test\r\nContent-Type: application/json\r\n" % version
    with connected(server) as connection:
        connection.settimeout(protocol.BODY_SECONDS - 1)  # before the server gives up on an endless body
        connection.sendall(head + b"Connection: Upgrade, close\r\nUpgrade: h2c\r\n" + framing + LIVE)
        answers = everything(connection)
    assert answers.startswith(b"HTTP/1.1 200 OK")
    assert answers.count(b"HTTP/1.1 ") == 1
    assert answers.endswith(server.client.post("/v1/weights", content=RECIPE, headers=JSON).content)


EXPECT = b"Host: test\r\nExpect: 100-continue\r\nContent-Length: 29\r\n"


@pytest.mark.parametrize(
    ("request_line", "header", "status"),
    [
        (b"PUT /v1/nothing", b"", b"404"),
        (b"PUT /s3/models/me/tiny/main/x", b"", b"405"),
        (b"PUT /hf/nothing", b"", b"404"),
        (b"POST /v1/recipes", b"Content-Type: text/plain\r\n", b"415"),
        (b"GET /livez", b"", b"200"),
    ],
)
def test_an_early_answer_ends_a_connection_that_waits_for_continue(
    server: Running, request_line: bytes, header: bytes, status: bytes
) -> None:
    """The client sends no body, so its next bytes must not be read as one (RFC 9110 section 10.1.1)."""
    with connected(server) as connection:
        connection.sendall(request_line + b" HTTP/1.1\r\n" + EXPECT + header + b"\r\n")
        answer = everything(connection)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b"\r\nconnection: close\r\n" in answer.lower()


def test_a_body_that_is_too_large_is_not_asked_for(server: Running) -> None:
    head = (
        b"POST /v1/recipes HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 18446744073709551615\r\n"
    )
    with connected(server) as connection:
        connection.sendall(head + b"Content-Type: application/json\r\n\r\n")
        answer = everything(connection)
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_continue(server: Running) -> None:
    """The connection stays open whether or not the client waits for 100 (Continue) before its body."""
    head = b"POST /v1/recipes HTTP/1.1\r\n" + EXPECT + b"Content-Type: application/json\r\n\r\n"
    early = b"PUT /v1/nothing HTTP/1.1\r\n" + EXPECT + b"\r\n"
    old = b"POST /v1/recipes HTTP/1.0\r\n" + EXPECT + b"Content-Type: application/json\r\n\r\n"
    without = LIVE[:-2] + b"Expect: 100-continue\r\n\r\n"
    with connected(server) as connection:
        connection.sendall(head)
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(RECIPE + early + RECIPE + without + old + RECIPE)
        answers = everything(connection)
    assert [answers.count(b"HTTP/1.1 " + status) for status in (b"20", b"404", b"100")] == [3, 1, 0]


def test_a_connection_that_is_reset_is_forgotten(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Uvicorn's keep-alive timer would hold the connection for 75 s."""
    kept: list[weakref.ref[protocol.BoundedProtocol]] = []
    begin = protocol.BoundedProtocol.connection_made

    def connection_made(self: protocol.BoundedProtocol, transport: asyncio.Transport) -> None:
        kept.append(weakref.ref(self))
        begin(self, transport)

    monkeypatch.setattr(protocol.BoundedProtocol, "connection_made", connection_made)
    for _ in range(3):
        with connected(server) as connection:
            connection.sendall(LIVE)
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert len(kept) == 3

    def is_forgotten() -> bool:
        gc.collect()
        return not any(each() for each in kept)

    wait_for(is_forgotten)


@pytest.mark.parametrize("requests", [0, 1])
def test_a_request_on_its_way_is_answered_when_the_process_ends(requests: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "FRESH_SECONDS", 60.0)
    monkeypatch.setattr(protocol, "IDLE_SECONDS", 60.0)
    with running() as server, socket.create_connection(server.address, timeout=60) as connection:
        for _ in range(requests):
            connection.sendall(LIVE)
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200")
        wait_for(lambda: len(server.server.server_state.connections) == 1)
        server.server.should_exit = True
        wait_for(lambda: not any(listener.is_serving() for listener in server.server.servers))
        connection.sendall(LIVE)
        answer = everything(connection)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in answer
