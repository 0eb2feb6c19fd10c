"""Parts: a range fetched over several connections at once, and handed on in order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor

import numpy as np

from fanin.client.transport import Sink

PART = 8 << 20
"""Bytes that each of several connections fetches at a time; so many wait in memory for those before them."""

Fetch = Callable[[int, int, Sink], None]
"""Hands bytes [first, last) of something to a sink."""


def in_parts(fetch: Fetch, start: int, stop: int, sink: Sink, connections: int) -> None:
    """`fetch(start, stop, sink)`, in parts that so many threads fetch at the same time.

    What `fetch` raises for a part is raised once all before it have been handed on, and ends the others.
    """
    if connections == 1 or stop - start <= PART:
        fetch(start, stop, sink)
        return
    is_over = threading.Event()

    def part(first: int, last: int) -> memoryview:
        content, at = np.empty(last - first, np.uint8).data, 0

        def keep(chunk: bytes | memoryview) -> None:
            nonlocal at
            if is_over.is_set():
                raise CancelledError
            content[at : at + len(chunk)] = chunk
            at += len(chunk)

        fetch(first, last, keep)
        return content

    threads = ThreadPoolExecutor(connections, "fanin-fetch")
    parts: deque[Future[memoryview]] = deque()
    try:
        for first in range(start, stop, PART):
            if len(parts) == connections:
                sink(parts.popleft().result())
            parts.append(threads.submit(part, first, min(first + PART, stop)))
        while parts:
            sink(parts.popleft().result())
    finally:
        is_over.set()
        threads.shutdown(wait=False, cancel_futures=True)
