"""Clients that send too slowly are disconnected."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from fanin_service.server import protocol
from fanin_service.settings import Settings
from tests.support.servers import Running, running

BODY = b'{"shape":[3],"scheme":"ones"}'
POST = b"POST /v1/recipes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
LIVE = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def hasty() -> Iterator[Running]:
    """A server that waits one second for a head, and measures the pace of a body every second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protocol, "BODY_SECONDS", 1.0)
        with running(Settings(head_seconds=1, body_rate=20)) as server:
            yield server


@pytest.fixture
def connection(hasty: Running) -> Iterator[socket.socket]:
    with socket.create_connection(hasty.address, 60) as connection:
        yield connection


def dribble(connection: socket.socket, content: bytes, pause: float) -> bytes:
    """Send byte by byte until the server responds; return all bytes of the response."""
    connection.settimeout(pause)
    for at in range(len(content)):
        try:
            connection.sendall(content[at : at + 1])
            received = connection.recv(1 << 16)
            break
        except TimeoutError:
            pass
        except OSError:  # the connection is closed already
            received = b""
            break
    else:
        pytest.fail("it was never cut")
    return received + rest(connection)


def rest(connection: socket.socket) -> bytes:
    """Return all bytes until the connection is closed."""
    connection.settimeout(60)
    received = bytearray()
    try:
        while part := connection.recv(1 << 16):
            received += part
    except ConnectionResetError:
        pass
    return bytes(received)


def one_answer(connection: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received or not received.endswith(b"}"):
        part = connection.recv(1 << 16)
        assert part
        received += part
    return received


def test_a_slow_head(connection: socket.socket) -> None:
    answer = dribble(connection, LIVE[:-2] + b"X: " + b"x" * 1000, 0.1)
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert b"connection: close\r\n" in answer


def test_a_slow_head_after_an_answer(connection: socket.socket) -> None:
    connection.sendall(LIVE)
    assert one_answer(connection).startswith(b"HTTP/1.1 200")
    time.sleep(1.5)  # an idle connection is allowed
    assert dribble(connection, LIVE[:-2] + b"X: " + b"x" * 1000, 0.1).startswith(b"HTTP/1.1 408")


def test_no_head_at_all(connection: socket.socket) -> None:
    assert rest(connection) == b""


def test_a_slow_body(connection: socket.socket) -> None:
    connection.sendall(POST % 1000)
    assert dribble(connection, b" " * 1000, 0.1).startswith(b"HTTP/1.1 408")


def test_a_body_that_never_comes(connection: socket.socket) -> None:
    connection.sendall(POST % 1000)
    assert rest(connection).startswith(b"HTTP/1.1 408")


def test_a_slow_chunked_body(connection: socket.socket) -> None:
    connection.sendall(POST.replace(b"Content-Length: %d", b"Transfer-Encoding: chunked"))
    assert dribble(connection, b"1\r\n \r\n" * 200, 0.1).startswith(b"HTTP/1.1 408")


def test_a_refused_body_that_does_not_end(connection: socket.socket) -> None:
    """The request has its response already: the server closes the connection without another one."""
    connection.sendall((POST % 1000).replace(b"application/json", b"text/plain"))
    answer = rest(connection)
    assert answer.startswith(b"HTTP/1.1 415")
    assert answer.count(b"HTTP/1.1") == 1


def test_a_body_that_is_fast_enough(hasty: Running) -> None:
    """A body takes three seconds or more at an allowed pace."""
    content, answer = b" " * 600 + BODY, b""
    while not answer.startswith(b"HTTP/1.1 20"):
        longest = 0.0
        with socket.create_connection(hasty.address, 60) as connection:
            connection.sendall(POST % len(content))
            for at in range(0, len(content), 10):
                began = time.monotonic()
                with suppress(OSError):  # it is closed already
                    connection.sendall(content[at : at + 10])
                time.sleep(0.05)
                longest = max(longest, time.monotonic() - began)
            with suppress(ConnectionResetError):
                answer = connection.recv(1 << 16)
        # On a busy machine this process may have sent nothing for a second. Then the client is cut, and tries again.
        assert longest > 0.7 or answer.startswith(b"HTTP/1.1 20")


def test_an_answer_is_not_cut_for_the_next_request(connection: socket.socket) -> None:
    """Half a head follows a request whose response takes long."""
    connection.sendall(b"GET /v1/weights?shape=1000000,1000000&scheme=zeros HTTP/1.1\r\nHost: x\r\n\r\nGET /li")
    ends = time.monotonic() + 2.5
    while time.monotonic() < ends:
        assert connection.recv(1 << 16)
        time.sleep(0.01)


def test_an_idle_connection_is_closed() -> None:
    with running(Settings(keep_alive_seconds=1)) as server, socket.create_connection(server.address, 60) as connection:
        connection.sendall(LIVE)
        assert one_answer(connection).startswith(b"HTTP/1.1 200")
        assert rest(connection) == b""


def test_time_does_not_run_between_requests(connection: socket.socket) -> None:
    for _ in range(2):
        connection.sendall(LIVE)
        assert one_answer(connection).startswith(b"HTTP/1.1 200")
        connection.sendall(POST % len(BODY) + BODY)
        assert one_answer(connection).startswith(b"HTTP/1.1 20")
        time.sleep(1.5)
