"""Streaming: a part of a file, generated while it is sent, in bounded memory."""

from __future__ import annotations

import asyncio
import mmap
import time
import weakref
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from functools import lru_cache

import numpy as np
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from fanin import FileLayout
from fanin.backends import Backend
from fanin.backends.composed import repeat
from fanin.draws import Fill
from fanin.dtypes import DType
from fanin.file.layout import MAX_SOURCE
from fanin.file.plan import read_into
from fanin_service.http.ranges import ByteRange

CHUNK = 1 << 20
"""Bytes that are generated and sent at a time. Larger chunks leave the CPU's cache before they are sent, and cost
memory for every stalled client. With smaller ones the work of the event loop becomes significant (docs/performance.md).
"""
BUFFERED = 64 << 10
"""Bytes that the server buffers for a connection before a sender has to wait."""
FIRST_CHUNK = 64 << 10
"""Bytes of the first chunk: a small one lets the client read while the next is generated."""
MIN_CHUNK = 64
"""Bytes that a chunk has at least."""
AHEAD = 3
"""Number of chunks that threads generate at a time for one stream: a single thread is slower than the network."""
CROWD = 64
"""Number of streams above which each takes less memory, 0.75 MiB instead of 5, with smaller chunks and one ahead. There
is then enough work for every thread, and most clients are slower than the service."""
CROWD_CHUNK = 256 << 10
KEPT = 64
"""Maximum number of free buffers of each size."""

Generate = Callable[[int, int], asyncio.Future[memoryview]]
"""Generates bytes [start, stop) of a file in a thread."""
Report = Callable[[int, float], None]
"""Called with the bytes and seconds of every generated chunk, in the thread that generated it."""


class ChunkPool:
    """Generates chunks of files in reused buffers. All streams of a service share one pool."""

    def __init__(self, backend: Backend, report: Report) -> None:
        self._backend, self._report = backend, report
        self._free: dict[int, deque[np.ndarray[tuple[int], np.dtype[np.uint8]]]] = {
            size: deque(maxlen=KEPT) for size in (CROWD_CHUNK, CHUNK)
        }
        """Free buffers by size. Their pages are mapped, and often still in the CPU's cache."""
        self.streams = 0
        """Number of streams in flight. Only the event loop's thread changes it."""

    def generate(self, layout: FileLayout, start: int, stop: int) -> memoryview:
        """Return bytes [start, stop) of a file, at most one chunk. Their buffer is free again when nothing refers to
        it.

        The server still sends from a buffer after it has taken the next one, and does not report when it is done.
        """
        began = time.perf_counter()
        size = CROWD_CHUNK if stop - start <= CROWD_CHUNK else CHUNK
        free = self._free[size]
        try:
            buffer = free.popleft()
        except IndexError:
            # Map each buffer separately: the allocator would keep the memory after a crowd of clients has left.
            buffer = np.frombuffer(mmap.mmap(-1, size), np.uint8)
        # The buffer returns to the pool when this array is deleted. Every memoryview of the buffer holds a reference to
        # it.
        lent = buffer[: stop - start]
        weakref.finalize(lent, free.append, buffer).atexit = False
        chunk = lent.data
        read_into(layout, start, chunk, self._backend)
        self._report(len(chunk), time.perf_counter() - began)
        return chunk

    def generate_small(self, layout: FileLayout, start: int, stop: int) -> memoryview:
        """Return bytes [start, stop) of a file, in new memory.

        For a few kilobytes that takes less time than to lend a buffer.
        """
        began = time.perf_counter()
        content = memoryview(bytearray(stop - start))
        read_into(layout, start, content, self._backend)
        self._report(len(content), time.perf_counter() - began)
        return content.toreadonly()


class FileStream(StreamingResponse):
    """Streams a part of a layout's file, and closes the generator: Starlette leaves that to garbage collection."""

    def __init__(
        self,
        layout: FileLayout,
        part: ByteRange,
        pool: ChunkPool,
        generate: Generate,
        *,
        status_code: int,
        headers: Mapping[str, str],
    ) -> None:
        self._chunks = _chunks(layout, part, pool, generate)
        super().__init__(self._chunks, status_code, headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._chunks.aclose()


async def _chunks(
    layout: FileLayout, part: ByteRange, pool: ChunkPool, generate: Generate
) -> AsyncGenerator[memoryview, None]:
    """Yield the bytes of `part`. Threads generate the next chunks while one is sent.

    At most AHEAD + 1 chunks exist here and one in the server, even if the client is slow.

    At every chunk other requests get a turn, and a disconnected client is noticed. Sending suspends there, or waiting
    for the next chunk does, or else the explicit sleep.
    """
    loop = asyncio.get_running_loop()
    edges = _edges(layout, part, pool)
    pending: deque[asyncio.Future[memoryview]] = deque()

    def fill() -> None:
        while len(pending) < (1 if pool.streams > CROWD else AHEAD) and (edge := next(edges, None)):
            if (ready := _constant(layout, *edge)) is not None:
                future = loop.create_future()
                future.set_result(ready)
            else:
                future = generate(*edge)
            pending.append(future)

    pool.streams += 1
    try:
        fill()
        while pending:
            if pending[0].done():
                await asyncio.sleep(0)
            chunk = await pending.popleft()
            fill()
            yield chunk
            del chunk  # otherwise its buffer would stay in use until the next chunk arrives
    finally:
        pool.streams -= 1
        for future in pending:
            future.cancel()


def _edges(layout: FileLayout, part: ByteRange, pool: ChunkPool) -> Iterator[tuple[int, int]]:
    """Yield the start and stop of each chunk of a part."""
    start, stop = part.start, min(part.start + FIRST_CHUNK, part.stop)
    while start < part.stop:
        while stop - start > MIN_CHUNK and layout.is_long(start, stop, MAX_SOURCE):
            stop = (start + stop) // 16 * 8  # between two elements: both chunks would generate one that is cut
        yield start, stop
        start, stop = stop, min(stop + (CROWD_CHUNK if pool.streams > CROWD else CHUNK), part.stop)


def _constant(layout: FileLayout, start: int, stop: int) -> memoryview | None:
    """Return bytes [start, stop), at most one chunk, if all belong to one constant tensor; else None.

    Chunks of constants are cached, so no thread generates them.
    """
    if start < len(layout.header):
        return None
    entry = layout.entries[layout.index_at(start)]
    if stop > entry.stop or not isinstance(entry.draw, Fill):
        return None
    dtype = entry.dtype.in_file
    skip = (start - entry.start) % dtype.itemsize
    return _constant_chunk(entry.draw, dtype)[skip : skip + stop - start]


@lru_cache(maxsize=8)
def _constant_chunk(draw: Fill, dtype: DType) -> memoryview:
    """Return a chunk of a constant, and one element more for offsets within an element."""
    content = memoryview(bytearray(CHUNK + dtype.itemsize))
    repeat(draw.value, dtype, content)
    return content.toreadonly()
