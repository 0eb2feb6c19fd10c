"""Streams: bounded, prompt to stop, and never in the way of other requests."""

from __future__ import annotations

import gc
import inspect
import socket
import sys
import threading
from collections.abc import Iterator

import pytest
from conftest import HUGE, MIXED, CountingBackend, Running, running, wait_for

from fanin import backends
from fanin.draws import Draw
from fanin.dtypes import DType
from fanin.streams import Stream
from fanin_service import streaming
from fanin_service.settings import Settings

IN_FLIGHT = 24 << 20
"""More than two chunks here, two with the server, and the kernel's socket buffers on both sides."""


@pytest.fixture
def counting() -> Iterator[tuple[Running, CountingBackend]]:
    backend = CountingBackend()
    with running(backend=backend) as server:
        backend.generated = 0
        yield server, backend


def open_generators() -> int:
    return sum(
        inspect.isasyncgen(thing) and thing.ag_code is streaming._chunks.__code__ and thing.ag_frame is not None
        for thing in gc.get_objects()
    )


def settled(backend: CountingBackend) -> int:
    """Bytes generated, once nothing more is."""
    last = -1
    pause = threading.Event()
    while last != backend.generated:
        last = backend.generated
        pause.wait(0.5)
    return last


def test_a_client_that_reads_nothing_costs_little(counting: tuple[Running, CountingBackend]) -> None:
    server, backend = counting
    path = server.register(HUGE)
    with server.connection(path) as connection:
        assert connection.recv(16).startswith(b"HTTP/1.1 200")
        wait_for(lambda: backend.generated >= streaming.CHUNK)
        assert settled(backend) < IN_FLIGHT
        assert open_generators() == 1
    wait_for(lambda: open_generators() == 0)


def test_leaving_stops_generation(counting: tuple[Running, CountingBackend]) -> None:
    server, backend = counting
    path = server.register(HUGE)
    received = 0
    with server.connection(path) as connection:
        while received < 8 << 20:
            received += len(connection.recv(1 << 20))
    wait_for(lambda: open_generators() == 0)
    assert received - 4096 < settled(backend) < received + IN_FLIGHT
    assert not server.server.server_state.tasks


def test_leaving_a_fast_stream_stops_generation(counting: tuple[Running, CountingBackend]) -> None:
    """A client that always keeps up never lets the sender wait: its leaving must still be seen."""
    server, backend = counting
    path = server.register({"shape": [1 << 40], "scheme": "zeros"})
    with server.client.stream("GET", path) as answer:
        for received, _ in enumerate(answer.iter_raw(1 << 20)):
            if received == 200:
                break
    wait_for(lambda: open_generators() == 0)
    assert settled(backend) < (201 << 20) + IN_FLIGHT


def test_a_finished_stream_leaves_nothing(counting: tuple[Running, CountingBackend], mixed_file: bytes) -> None:
    server, _ = counting
    assert server.client.post("/v1/weights", json=MIXED).content == mixed_file
    wait_for(lambda: open_generators() == 0)


class WaitingBackend(CountingBackend):
    """Generates when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.let, self.asked = threading.Event(), threading.Event()
        self.let.set()

    def fill(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        self.asked.set()
        assert self.let.wait(60)
        super().fill(draw, stream, dtype, first, out)


def test_a_kernel_does_not_block_others() -> None:
    backend = WaitingBackend()
    with running(backend=backend) as server:
        path = server.register(HUGE)
        backend.let.clear()
        backend.asked.clear()
        try:
            with server.connection(path):
                assert backend.asked.wait(60)
                assert server.client.get("/livez").status_code == 200
                assert server.client.head(path).status_code == 200
                assert server.register({"shape": [2], "scheme": "ones"})
        finally:
            backend.let.set()


class FailingBackend(CountingBackend):
    """Fails late."""

    def fill(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        if first > 1 << 20:
            raise MemoryError("as it may happen")
        super().fill(draw, stream, dtype, first, out)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_failure_cuts_the_body_short() -> None:
    """The status is sent by then; only a missing rest can tell."""
    with running(backend=FailingBackend()) as server, server.connection(server.register(HUGE)) as connection:
        received = 0
        while part := connection.recv(1 << 20):
            received += len(part)
        assert received < 100 << 20
        wait_for(lambda: open_generators() == 0)


@pytest.mark.skipif(sys.platform != "linux", reason="TCP_USER_TIMEOUT is Linux's")
def test_a_stalled_client_is_cut_off() -> None:
    with running(Settings(stall_seconds=1)) as server, server.connection(server.register(HUGE)) as connection:
        assert connection.recv(16)
        wait_for(lambda: open_generators() == 1)
        wait_for(lambda: open_generators() == 0)
        wait_for(lambda: not server.server.server_state.tasks)


def test_shutdown_does_not_wait_for_a_stalled_client() -> None:
    with socket.socket() as connection:
        with running(Settings(shutdown_seconds=1)) as server:
            path = server.register(HUGE)
            connection.connect(server.address)
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
            assert connection.recv(16)
        # running() has asserted that the server's thread ended.


@pytest.mark.soak
def test_memory_stays_flat_for_slow_readers() -> None:
    """Twenty clients at a few MB/s each, for half a minute: resident memory ends where it began, plus their chunks."""
    resource = pytest.importorskip("psutil")
    process = resource.Process()
    with running() as server:
        path = server.register(HUGE)
        pause = threading.Event()
        with server.connection(path) as first:
            first.recv(1 << 20)
            before = process.memory_info().rss
            connections = [socket.create_connection(server.address) for _ in range(20)]
            try:
                for connection in connections:
                    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
                for _ in range(300):
                    pause.wait(0.1)
                    for connection in connections:
                        connection.recv(1 << 18)
                assert process.memory_info().rss - before < 20 * 5 * streaming.CHUNK
            finally:
                for connection in connections:
                    connection.close()


def test_all_backends_serve_the_same_file(mixed_file: bytes) -> None:
    for name in backends.available():
        with running(Settings(backend=name)) as server:
            assert server.client.post("/v1/weights", json=MIXED).content == mixed_file
