"""Streaming: a part of a file, generated while it is sent, in bounded memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from fanin import Layout
from fanin.backends import Backend
from fanin.plan import read_into
from fanin_service.ranges import ByteRange

CHUNK = 1 << 20
"""Bytes generated and sent at a time. Larger ones leave the CPU's cache before they are sent and cost memory for every
stalled client; below 256 KiB the event loop's work per chunk shows."""
FIRST_CHUNK = 64 << 10
"""Bytes of the first chunk: the client has something to read while the next is made."""

Report = Callable[[int, float], None]
"""Told of every chunk, in the thread that generated it: bytes and seconds."""


class FileStream(StreamingResponse):
    """A part of a layout's file. The generator is closed on every way out: Starlette leaves that to the collector."""

    def __init__(
        self,
        layout: Layout,
        part: ByteRange,
        backend: Backend,
        executor: ThreadPoolExecutor,
        report: Report,
        *,
        status_code: int,
        headers: Mapping[str, str],
    ) -> None:
        self._chunks = _chunks(layout, part, backend, executor, report)
        super().__init__(self._chunks, status_code, headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._chunks.aclose()


async def _chunks(
    layout: Layout, part: ByteRange, backend: Backend, executor: ThreadPoolExecutor, report: Report
) -> AsyncGenerator[memoryview, None]:
    """The bytes of `part`, each chunk generated in a thread while the one before it is sent.

    At most two chunks exist here and two in the server's hands, however slow the client.

    Other requests get their turn at every chunk, and a client's leaving is noticed there: either sending suspends, or
    the event loop has not run since the next chunk was asked for, and then awaiting that suspends.
    """
    loop = asyncio.get_running_loop()
    start, stop = part.start, min(part.start + FIRST_CHUNK, part.stop)
    pending = loop.run_in_executor(executor, _generate, layout, start, stop, backend, report)
    try:
        while True:
            chunk = await pending
            start += len(chunk)
            if start < part.stop:
                stop = min(start + CHUNK, part.stop)
                pending = loop.run_in_executor(executor, _generate, layout, start, stop, backend, report)
            yield chunk
            if start == part.stop:
                return
    finally:
        pending.cancel()


def _generate(layout: Layout, start: int, stop: int, backend: Backend, report: Report) -> memoryview:
    """Bytes [start, stop) in a buffer of their own: the server sends from it after it has taken the next."""
    began = time.perf_counter()
    chunk = memoryview(bytearray(stop - start))
    read_into(layout, start, chunk, backend)
    report(len(chunk), time.perf_counter() - began)
    return chunk
