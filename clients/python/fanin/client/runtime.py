"""Runtimes: they wait by blocking a thread, or in an event loop.

The operations of a client are coroutines over one of these. Over `Blocking` they never suspend, so `run` completes them
in the calling thread. Everything but waiting and sending is thus shared by `Client` and `AsyncClient`.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from contextlib import AbstractContextManager, suppress
from contextvars import copy_context
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from fanin.client.messages import AsyncResponse, AsyncTransport, Request, Transport

T = TypeVar("T")


class Workers(Protocol):
    """Coroutines that run at the same time."""

    def start(self, work: Callable[[], Coroutine[Any, Any, T]]) -> Callable[[], Awaitable[T]]:
        """Start `work`, and return a function that waits for its result."""
        ...

    async def stop(self) -> None:
        """Cancel the coroutines that are not complete, where that is possible."""
        ...


class Runtime(Protocol):
    """Sends requests and waits."""

    async def send(self, request: Request) -> AsyncResponse:
        """As `messages.Transport.send`."""
        ...

    async def sleep(self, seconds: float) -> None: ...

    async def call(self, function: Callable[[], T]) -> T:
        """Return `function()`, which computes or waits for a disk; an event loop stays free meanwhile."""
        ...

    def workers(self) -> Workers:
        """Return workers."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


def run(work: Coroutine[Any, Any, T]) -> T:
    """Complete a coroutine over a `Blocking` runtime and return its result."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    work.close()
    raise RuntimeError("a coroutine over a blocking runtime was suspended")


class InThread(Generic[T]):
    """A context whose beginning and end wait for a disk, as an asynchronous context."""

    def __init__(self, runtime: Runtime, context: AbstractContextManager[T]) -> None:
        self._runtime, self._context = runtime, context

    async def __aenter__(self) -> T:
        entered: list[T] = []
        try:
            await self._runtime.call(lambda: entered.append(self._context.__enter__()))
        except BaseException as error:
            if entered:  # the wait was cancelled: without the exit, a lock would stay
                await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return entered[0]

    async def __aexit__(self, *error: Any) -> bool | None:
        return await self._runtime.call(lambda: self._context.__exit__(*error))


class Blocking:
    """Every wait blocks the thread."""

    def __init__(self, transport: Transport, sleep: Callable[[float], object] = time.sleep) -> None:
        self._transport, self._sleep = transport, sleep

    async def send(self, request: Request) -> AsyncResponse:
        response = self._transport.send(request)

        async def read() -> bytes:
            return response.read()

        return AsyncResponse(response.status, response.headers, read, response.close, response.reason)

    async def sleep(self, seconds: float) -> None:
        self._sleep(seconds)

    async def call(self, function: Callable[[], T]) -> T:
        return function()

    def workers(self) -> Workers:
        return _Threads()

    async def close(self) -> None:
        self._transport.close()


class _Threads:
    """Threads for which a process does not wait when it ends: they can wait for a silent service for minutes."""

    def start(self, work: Callable[[], Coroutine[Any, Any, T]]) -> Callable[[], Awaitable[T]]:
        future: Future[T] = Future()

        def complete() -> None:
            try:
                future.set_result(run(work()))
            except BaseException as error:  # `result` raises it
                future.set_exception(error)

        threading.Thread(target=complete, name="fanin-fetch", daemon=True).start()

        async def result() -> T:
            return future.result()

        return result

    async def stop(self) -> None:
        pass  # the next byte that one of them receives ends it


class Asynchronous:
    """Waits in an event loop; computations run in a thread."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def send(self, request: Request) -> AsyncResponse:
        return await self._transport.send(request)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def call(self, function: Callable[[], T]) -> T:
        # A task would be cancelled by `asyncio.run` at its end. This future is not, so it ends after the thread.
        work = partial(copy_context().run, function)
        thread = asyncio.get_running_loop().run_in_executor(None, work)
        try:
            return await asyncio.shield(thread)
        except asyncio.CancelledError:
            # The thread uses files and memory that the caller releases next. AnyIO cancels a task again and again.
            while not thread.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([thread])
            thread.exception()  # nobody else receives it
            raise

    def workers(self) -> Workers:
        return _Tasks()

    async def close(self) -> None:
        await self._transport.close()


class _Tasks:
    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[Any]] = []

    def start(self, work: Callable[[], Coroutine[Any, Any, T]]) -> Callable[[], Awaitable[T]]:
        task = asyncio.create_task(work())
        self._tasks.append(task)

        async def result() -> T:
            return await task

        return result

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
