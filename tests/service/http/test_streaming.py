"""Streams: bounded, prompt to stop, and never in the way of other requests."""

from __future__ import annotations

import asyncio
import gc
import random
import resource
import socket
import sys
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import AsyncGeneratorType

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message

from fanin import FileLayout, backends
from fanin.draws import Draw
from fanin.dtypes import DType
from fanin.plan import read_into
from fanin.streams import Stream
from fanin_service.http import streaming
from fanin_service.http.ranges import ByteRange
from fanin_service.server.command import listen
from fanin_service.settings import Settings
from tests.support import servers
from tests.support.backends import CountingBackend, FailingBackend, WaitingBackend, never
from tests.support.servers import HUGE, MIXED, Running, running, wait_for

WIDE = {"shape": [2_000_003], "scheme": "constant", "value": 3.0, "dtype": "F16"}
IN_FLIGHT = 24 << 20
"""More than four chunks here, two with the server, and the kernel's socket buffers on both sides."""


@pytest.fixture
def counting() -> Iterator[tuple[Running, CountingBackend]]:
    backend = CountingBackend()
    with running(backend=backend) as server:
        backend.generated = 0
        yield server, backend


def open_generators() -> int:
    return sum(
        # Not isinstance(): asking some lazy modules for their class imports half of torch.
        type(thing) is AsyncGeneratorType and thing.ag_code is streaming._chunks.__code__ and thing.ag_frame is not None
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


def test_others_get_their_turn_at_every_chunk() -> None:
    """A client that keeps up must not have the event loop to itself."""

    async def main() -> None:
        turns = chunks = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async def send(message: Message) -> None:
            nonlocal chunks
            chunks += message["type"] == "http.response.body"

        task = asyncio.create_task(other())
        await stream(executor, ByteRange(0, 64 << 20))({"type": "http", "asgi": {"spec_version": "2.4"}}, never, send)
        task.cancel()
        assert 64 < chunks <= turns

    with ThreadPoolExecutor(1) as executor:
        asyncio.run(main())


def test_the_generator_is_closed_when_sending_fails() -> None:
    async def main() -> None:
        response = stream(executor, ByteRange(0, 1 << 40))

        async def send(message: Message) -> None:
            if message["type"] == "http.response.body":
                raise OSError

        with pytest.raises(ClientDisconnect):
            await response({"type": "http", "asgi": {"spec_version": "2.4"}}, never, send)
        assert response._chunks.ag_frame is None

    with ThreadPoolExecutor(1) as executor:
        asyncio.run(main())


def test_a_chunk_nobody_waits_for_is_not_generated() -> None:
    """Threads are few: chunks of clients that left must not stand in the queue before those of others."""
    let = threading.Event()

    class Busy(CountingBackend):
        def _generate(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
            if self.generated:  # the first chunk is sent, the second takes its time
                let.wait(60)
            super()._generate(draw, stream, dtype, first, out)

    async def main() -> None:
        chunks = stream(executor, ByteRange(0, 1 << 40), backend)._chunks
        await anext(chunks)
        await chunks.aclose()
        await asyncio.sleep(0)  # it is the event loop that tells threads of what is cancelled
        let.set()

    backend = Busy()
    with ThreadPoolExecutor(1) as executor:
        asyncio.run(main())
    assert 0 < backend.generated <= streaming.FIRST_CHUNK + streaming.CHUNK


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_failure_cuts_the_body_short() -> None:
    """The status is sent by then; only a missing rest can tell."""
    with running(backend=FailingBackend()) as server, server.connection(server.register(HUGE)) as connection:
        received = 0
        while part := connection.recv(1 << 20):
            received += len(part)
        assert received < 100 << 20
        wait_for(lambda: open_generators() == 0)


def test_a_stalled_client_is_cut_off() -> None:
    with running(Settings(stall_seconds=1)) as server, server.connection(server.register(HUGE)) as connection:
        assert connection.recv(16)
        wait_for(lambda: open_generators() == 1)
        wait_for(lambda: open_generators() == 0)
        wait_for(lambda: not server.server.server_state.tasks)


def test_a_chunk_that_a_client_does_not_read_is_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server buffers it, so it counts until the client has taken it."""
    path = "/v1/weights?shape=250000&scheme=normal&std=1"

    def listening(host: str, port: int) -> socket.socket:
        listener = listen(host, port)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 << 10)
        return listener

    monkeypatch.setattr(servers, "listen", listening)
    with running(Settings(max_streams=1)) as server, server.connection(path, receive_buffer=16 << 10) as connection:
        assert connection.recv(16)
        wait_for(lambda: server.client.get(path).status_code == 503)
        received = 16
        while received < 1_000_000:
            received += len(connection.recv(1 << 20))
        wait_for(lambda: server.client.get(path).status_code == 200)


def test_a_slow_client_with_a_small_window_is_not() -> None:
    """It always reads, yet its window is never as large as what the server's system would send at once."""
    with (
        running(Settings(stall_seconds=1)) as server,
        server.connection(server.register(HUGE), receive_buffer=16 << 10) as connection,
    ):
        pause = threading.Event()
        for _ in range(30):
            assert connection.recv(10_000)
            pause.wait(0.1)


def test_a_crowd_gets_the_same_in_smaller_chunks(monkeypatch: pytest.MonkeyPatch, mixed_file: bytes) -> None:
    class Watched(CountingBackend):
        largest = 0

        def _generate(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
            super()._generate(draw, stream, dtype, first, out)
            self.largest = max(self.largest, len(out))

    monkeypatch.setattr(streaming, "CROWD", 0)
    backend = Watched()
    with running(backend=backend) as server:
        assert server.client.post("/v1/weights", json=MIXED).content == mixed_file
        with server.connection(server.register(HUGE)) as connection:
            assert connection.recv(16)
            settled(backend)
    assert backend.largest == streaming.CROWD_CHUNK


def resident() -> int:
    """Bytes of memory this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.soak("requests")
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_stays_flat_for_slow_readers() -> None:
    """Twenty clients at about a MB/s each, for half a minute: what they cost is their chunks."""
    pause = threading.Event()
    with running() as server, ExitStack() as stack:
        path = server.register(HUGE)
        first = stack.enter_context(server.connection(path))
        first.recv(1 << 16)
        before = resident()
        connections = [first, *(stack.enter_context(server.connection(path)) for _ in range(20))]
        for _ in range(300):
            pause.wait(0.1)
            for connection in connections:
                connection.recv(1 << 17)
            assert resident() - before < 21 * 8 * streaming.CHUNK


def test_all_backends_serve_the_same_file(mixed_file: bytes) -> None:
    for name in backends.available():
        with running(Settings(backend=name)) as server:
            assert server.client.post("/v1/weights", json=MIXED).content == mixed_file


def test_buffers_are_not_used_again_too_early() -> None:
    """The server keeps the unsent rest of a chunk by reference: clients that read in jerks would see what came next."""
    recipes = [{"seed": seed, "shape": [3 << 20], "scheme": "normal", "std": 1.0} for seed in range(3)]
    layouts = [FileLayout.of(recipe) for recipe in recipes]
    with running() as server, ExitStack() as stack:
        connections = [stack.enter_context(server.connection(server.register(recipe))) for recipe in recipes]
        received = [bytearray() for _ in connections]
        order, pause = random.Random(1), threading.Event()
        while any(len(content) < layout.size for content, layout in zip(received, layouts, strict=True)):
            for connection, content, layout in zip(connections, received, layouts, strict=True):
                pause.wait(order.choice((0, 0, 0.004)))
                if len(content) < layout.size:
                    content += connection.recv(order.choice((1 << 12, 1 << 20)))
                    if b"\r\n\r\n" in content[:2048] and content.startswith(b"HTTP"):
                        del content[: content.index(b"\r\n\r\n") + 4]
    for content, layout in zip(received, layouts, strict=True):
        expected = bytearray(layout.size)
        read_into(layout, 0, memoryview(expected), backends.get())
        assert content == expected


def test_a_buffer_is_free_when_nobody_refers_to_it() -> None:
    layout, pool = FileLayout.of(HUGE), streaming.ChunkPool(backends.get(), unheard)
    first = pool.generate(layout, 0, 1000)
    rest, content = first[100:], bytes(first)
    buffer = weakref.ref(first.obj)
    del first
    others = [pool.generate(layout, 5000, 6000) for _ in range(streaming.KEPT + 1)]
    assert bytes(rest) == content[100:]
    assert len({id(chunk.obj) for chunk in others} | {id(rest.obj)}) == streaming.KEPT + 2
    free = len(pool._free[streaming.CROWD_CHUNK])
    del rest
    assert buffer() is None
    assert len(pool._free[streaming.CROWD_CHUNK]) == free + 1


@pytest.mark.parametrize("skip", [0, 1, 5, 100_001])
def test_constants_are_cut_where_asked(skip: int) -> None:
    recipe = {"tensors": {"a": {"shape": [3_000_001], "scheme": "constant", "value": 0.1}, "b": WIDE}}
    layout = FileLayout.of(recipe)
    expected = bytearray(b"\xca" * (layout.size - skip))
    read_into(layout, skip, memoryview(expected), backends.load("reference"))
    with running() as server:
        answer = server.client.get(server.register(recipe), headers={"Range": f"bytes={skip}-"})
    assert answer.content == expected


def stream(
    executor: ThreadPoolExecutor, part: ByteRange, backend: backends.Backend | None = None
) -> streaming.FileStream:
    layout, pool = FileLayout.of(HUGE), streaming.ChunkPool(backend or backends.get(), unheard)

    def generate(start: int, stop: int) -> asyncio.Future[memoryview]:
        return asyncio.wrap_future(executor.submit(pool.generate, layout, start, stop))

    return streaming.FileStream(layout, part, pool, generate, status_code=206, headers={})


def unheard(count: int, seconds: float) -> None:
    pass
