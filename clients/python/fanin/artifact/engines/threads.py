"""Threads of this process, each of which writes entire items."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass

from fanin import backends
from fanin.artifact.destinations.opening import destination
from fanin.artifact.engines import Task
from fanin.artifact.engines.attempts import ATTEMPTS, StoppedError, run_item
from fanin.artifact.plan import Plan
from fanin.artifact.progress import Tally

MOST_THREADS = 8
"""Threads by default on a machine with at least as many CPUs."""


@dataclass(frozen=True, slots=True)
class Engine:
    """The default engine. Memory is bounded: a few chunks of 8 MiB for each thread."""

    threads: int | None = None
    """Threads; by default one for each CPU, at most 8."""
    attempts: int = ATTEMPTS
    """Attempts for an item that ends with an error which may pass."""

    def run(self, task: Task, plan: Plan, url: str, items: Iterable[int], *, backend: str | None, tally: Tally) -> None:
        """See `fanin.artifact.engines.Engine`."""
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        count = max(1, min(self.threads or min(cpus, MOST_THREADS), len(plan)))
        maker = backends.create(backends.get(backend).name, fill_threads=max(1, cpus // count))
        place, numbers = destination(url), iter(items)
        lock, stop = threading.Lock(), threading.Event()

        def work() -> None:
            """Take items until none is left, or another thread has failed."""
            while not stop.is_set():
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                run_item(task, plan, number, place, maker, tally=tally, stop=stop, attempts=self.attempts)

        with ThreadPoolExecutor(count, thread_name_prefix="fanin-artifact") as pool:
            try:
                futures = [pool.submit(work) for _ in range(count)]
                wait(futures, return_when=FIRST_EXCEPTION)
            finally:
                # Also after Ctrl-C: the threads end before their next chunk.
                stop.set()
        for future in futures:
            if (error := future.exception()) is not None and not isinstance(error, StoppedError):
                raise error
