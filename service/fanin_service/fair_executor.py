"""Turns: threads that serve parties one after another, however much one of them asks for."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class FairExecutor(Executor):
    """A thread pool that goes round the parties whose calls wait, and takes one call of each (round robin)."""

    def __init__(self, threads: int, prefix: str, whose: Callable[[], str]) -> None:
        """`whose` names the party, in the thread and the context that submit a call."""
        self._pool = ThreadPoolExecutor(threads, prefix)
        self._whose = whose
        self._waiting: OrderedDict[str, deque[tuple[Future[Any], Callable[[], Any]]]] = OrderedDict()
        self._lock = threading.Lock()

    def submit(self, function: Callable[P, T], /, *arguments: P.args, **options: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        with self._lock:
            # As many calls of `_next` as there are calls: each takes the one whose turn it is then.
            self._pool.submit(self._next)
            queue = self._waiting.setdefault(self._whose(), deque())
            queue.append((future, lambda: function(*arguments, **options)))
        return future

    def _next(self) -> None:
        with self._lock:
            if not self._waiting:
                return
            party, queue = self._waiting.popitem(last=False)
            future, call = queue.popleft()
            if queue:
                self._waiting[party] = queue
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        if cancel_futures:
            with self._lock:
                for queue in self._waiting.values():
                    for future, _ in queue:
                        future.cancel()
                self._waiting.clear()
        self._pool.shutdown(wait, cancel_futures=cancel_futures)
