"""Threads that serve clients in turn, so that a client with many calls does not delay others."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class FairExecutor:
    """A thread pool that takes one waiting call of each client in turn (round robin)."""

    def __init__(self, threads: int, prefix: str, *, initializer: Callable[[], object] | None = None) -> None:
        """The pool starts its threads when calls need them, and names them after `prefix`. Each calls `initializer`
        first.
        """
        self._threads, self._prefix, self._initializer = threads, prefix, initializer
        self._pool = self._started()
        self._waiting: OrderedDict[str, deque[tuple[Future[Any], Callable[[], Any]]]] = OrderedDict()
        self._lock = threading.Lock()

    def run(
        self, client: str, function: Callable[P, T], /, *arguments: P.args, **options: P.kwargs
    ) -> asyncio.Future[T]:
        """Run `function` in a thread, in the turn of this client. Return a future of the running event loop.

        Calls of the service itself have the client "".
        """
        return asyncio.wrap_future(self.submit(client, function, *arguments, **options))

    def submit(self, client: str, function: Callable[P, T], /, *arguments: P.args, **options: P.kwargs) -> Future[T]:
        """Run `function` in a thread, in the turn of this client. Return a future for callers without an event loop."""
        future: Future[T] = Future()
        with self._lock:
            # Submit `_next` once per call. Each `_next` takes the call whose turn it is when a thread is free.
            self._pool.submit(self._next)
            queue = self._waiting.setdefault(client, deque())
            queue.append((future, lambda: function(*arguments, **options)))
        return future

    def _next(self) -> None:
        with self._lock:
            if not self._waiting:
                return
            client, queue = self._waiting.popitem(last=False)
            future, call = queue.popleft()
            if queue:
                self._waiting[client] = queue
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    def reopen(self) -> None:
        """Accept calls again after `shutdown`."""
        self._pool = self._started()

    def _started(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._threads, self._prefix, self._initializer)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Start no more calls; with `cancel_futures`, also cancel waiting ones. As `concurrent.futures.Executor`."""
        if cancel_futures:
            with self._lock:
                for queue in self._waiting.values():
                    for future, _ in queue:
                        future.cancel()
                self._waiting.clear()
        self._pool.shutdown(wait, cancel_futures=cancel_futures)
