"""The engine of the service: threads that write files of artifacts, in turn for all clients."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass

from fanin.artifact import Plan
from fanin.artifact.destinations.base import Destination
from fanin.artifact.engines import Task
from fanin.artifact.engines.attempts import StoppedError, run_item
from fanin.artifact.progress import Tally
from fanin.backends import Backend
from fanin_service.fair_executor import FairExecutor

_POLL_SECONDS = 1.0
"""Seconds between two looks whether the executor has ended."""


@dataclass(frozen=True, slots=True)
class FairThreads:
    """An engine (`fanin.artifact.engines`). One call to the executor writes one file, so that clients take turns.

    Its threads are not those of requests, and are few: the system then gives CPUs to both.
    """

    writers: FairExecutor
    count: int
    """Number of threads of the executor."""
    generator: Backend
    """The backend in place of the one that `run` names."""
    client: str
    place: Destination
    """Destination of the artifact, in place of the URL that `run` gets."""

    def run(
        self,
        task: Task,
        plan: Plan,
        url: str,  # noqa: ARG002 (`place` stands for it)
        items: Iterable[int],
        *,
        backend: str | None,  # noqa: ARG002 (`generator` stands for it)
        tally: Tally,
    ) -> None:
        """See `fanin.artifact.engines.Engine`."""
        stop, pending = threading.Event(), set[Future[None]]()

        def run_one(number: int) -> None:
            run_item(task, plan, number, self.place, self.generator, tally=tally, stop=stop)

        try:
            for number in items:
                pending.add(self.writers.submit(self.client, run_one, number))
                # The next file is looked up, and charged, when a thread is free for it.
                while len(pending) >= self.count:
                    pending = _unfinished(pending)
            while pending:
                pending = _unfinished(pending)
        finally:
            stop.set()
            # A call that is cancelled before its turn never ends.
            wait([future for future in pending if not future.cancel()])


def _unfinished(pending: set[Future[None]]) -> set[Future[None]]:
    """Wait for one of the calls, and return those that have not ended. Raise the first error of the others."""
    done, left = wait(pending, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
    for future in done:
        future.result()
    if any(future.cancelled() for future in left):
        raise StoppedError
    return left
