"""Fetch a range over several connections at once, and pass its bytes to a sink in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError
from functools import partial

import numpy as np

from fanin.client.connection import Sink
from fanin.client.runtime import Runtime

Fetch = Callable[[int, int, Sink], Awaitable[None]]
"""Passes bytes [first, last) of something to a sink."""


async def in_parts(
    runtime: Runtime, fetch: Fetch, start: int, stop: int, sink: Sink, *, connections: int, part_bytes: int
) -> None:
    """Do `fetch(start, stop, sink)` in parts of `part_bytes`, `connections` of them at the same time.

    Complete parts wait in memory for those before them. If a part fails, all parts before it are passed to the sink,
    the other parts are cancelled, and its error is raised.
    """
    if connections == 1 or stop - start <= part_bytes:
        await fetch(start, stop, sink)
        return
    is_over = False

    async def part(first: int, last: int) -> memoryview:
        content, at = np.empty(last - first, np.uint8), 0

        async def keep(chunk: bytes | memoryview) -> None:
            nonlocal at
            if is_over:
                raise CancelledError
            content.data[at : at + len(chunk)] = chunk
            at += len(chunk)

        await fetch(first, last, keep)
        return content.data

    workers = runtime.workers()
    parts: deque[Callable[[], Awaitable[memoryview]]] = deque()
    try:
        for first in range(start, stop, part_bytes):
            if len(parts) == connections:
                await sink(await parts.popleft()())
            parts.append(workers.start(partial(part, first, min(first + part_bytes, stop))))
        while parts:
            await sink(await parts.popleft()())
    finally:
        is_over = True
        await workers.stop()
