"""Threads of this process, each of which writes entire items."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass

from fanin import backends
from fanin.artifact.destinations.base import Destination
from fanin.artifact.destinations.opening import destination
from fanin.artifact.engines import Task
from fanin.artifact.plan import Plan
from fanin.artifact.progress import Tally
from fanin.artifact.writing import may_pass
from fanin.backends import Backend

MOST_THREADS = 8
"""Threads by default on a machine with at least as many CPUs."""
_SECONDS = 1.0
"""Longest first pause before an item is written again."""


@dataclass(frozen=True, slots=True)
class Engine:
    """The default engine. Memory is bounded: a few chunks of 8 MiB for each thread."""

    threads: int | None = None
    """Threads; by default one for each CPU, at most 8."""
    attempts: int = 4
    """Attempts for an item that ends with an error which may pass."""

    def run(self, task: Task, plan: Plan, url: str, items: Iterable[int], *, backend: str | None, tally: Tally) -> None:
        """See `fanin.artifact.engines.Engine`."""
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        count = max(1, min(self.threads or min(cpus, MOST_THREADS), len(plan)))
        maker = backends.create(backends.get(backend).name, fill_threads=max(1, cpus // count))
        work = _Work(task, plan, destination(url), maker, iter(items), tally, self.attempts)
        with ThreadPoolExecutor(count, thread_name_prefix="fanin-artifact") as pool:
            try:
                futures = [pool.submit(work.run) for _ in range(count)]
                wait(futures, return_when=FIRST_EXCEPTION)
            finally:
                # Also after Ctrl-C: the threads end before their next chunk.
                work.stop.set()
        for future in futures:
            if (error := future.exception()) is not None and not isinstance(error, _StoppedError):
                raise error


class _StoppedError(Exception):
    """Another thread has failed."""


class _Work:
    """The items of one call, which its threads take one after another."""

    def __init__(
        self,
        task: Task,
        plan: Plan,
        place: Destination,
        backend: Backend,
        items: Iterator[int],
        tally: Tally,
        attempts: int,
    ) -> None:
        self._task, self._plan, self._place, self._backend, self._items = task, plan, place, backend, items
        self._tally, self._attempts = tally, attempts
        self._lock = threading.Lock()
        self.stop = threading.Event()

    def run(self) -> None:
        """Take items until none is left, or another thread has failed."""
        while not self.stop.is_set():
            with self._lock:
                number = next(self._items, None)
            if number is None:
                return
            self._run(number)
            self._tally.done()

    def _run(self, number: int) -> None:
        for attempt in range(1, self._attempts + 1):
            counted = 0

            def report(count: int) -> None:
                nonlocal counted
                if self.stop.is_set():
                    raise _StoppedError
                counted += count
                self._tally.add(count)

            try:
                self._task(self._plan, number, self._place, self._backend, report)
                return
            except OSError as error:
                if attempt == self._attempts or not may_pass(error):
                    raise
                self._tally.add(-counted)
                self.stop.wait(random.uniform(0, _SECONDS * 4**attempt))  # nosec B311 (no secret)
