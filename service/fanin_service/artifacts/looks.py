"""Looks at something that changes, shared by the requests that wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Looks(Generic[T]):
    """Requests that arrive during a look share the next one.

    A look that runs may have begun before a change. The client that caused the change would then not see it. Only
    the event loop's thread uses this.
    """

    def __init__(self) -> None:
        self._running: dict[object, asyncio.Task[T]] = {}
        self._next: dict[object, asyncio.Task[T]] = {}
        """Looks that have not begun."""

    async def at(self, key: object, look: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return the result of a look that begins after this call. At most one look at a key runs at a time.

        Raises the error of the look.
        """
        task = self._next.get(key)
        if task is None:
            task = self._next[key] = asyncio.create_task(self._look(key, look))
            task.add_done_callback(_forget)
        # A request that is cancelled must not end the look of the others.
        return await asyncio.shield(task)

    async def _look(self, key: object, look: Callable[[], Coroutine[Any, Any, T]]) -> T:
        while (earlier := self._running.get(key)) is not None:
            await asyncio.wait([earlier])
        self._running[key] = self._next.pop(key)
        try:
            return await look()
        finally:
            del self._running[key]


def _forget(task: asyncio.Task[T]) -> None:
    """Take the error of a look: all requests that wait for it may have ended."""
    _ = task.cancelled() or task.exception()
