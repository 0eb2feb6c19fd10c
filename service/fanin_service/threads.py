"""The threads of a service, in pools by kind of work: slow work of one kind must not delay another."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from fanin import FileLayout
from fanin_service.fair_executor import FairExecutor
from fanin_service.settings import Settings

MODEL_READERS = 8
"""Number of threads that wait for the model store."""
DESTINATION_READERS = 4
"""Number of threads that wait for one destination of artifacts."""
LARGE_READERS = 1
"""Number of threads for large recipes. They run Python, and only one thread at a time can: more would delay the event
loop."""
MATRIX_MAKERS = 2
"""Number of threads for parts of matrices, and so of matrices generated at a time. Each matrix takes all CPUs, and
memory."""

_NICE = 10
"""Niceness of the threads that write artifacts, relative to that of the process."""


def _yield_to_requests() -> None:
    """Give this thread a lower priority. Only Linux has priorities of threads; elsewhere the process would get it."""
    if sys.platform == "linux":
        os.nice(_NICE)


@dataclass(frozen=True, slots=True)
class Threads:
    """Executors of a service. Clients take turns at each of them."""

    count: int
    """Number of threads that generate: the number of CPUs of this process."""
    parsers: FairExecutor
    large: FairExecutor
    """Executor for large recipes and models."""
    generators: FairExecutor
    matrix_makers: FairExecutor
    models: FairExecutor
    """Executor for reading the model store."""
    destinations: Mapping[str, FairExecutor]
    """Executors for looks at the destinations of artifacts, by alias. One that does not respond delays no other."""
    drivers: FairExecutor
    """Executor for jobs, each of which hands out the files of an artifact to `writers`. They mostly wait."""
    writers: FairExecutor
    """Executor for writing files of artifacts. It is separate: a file takes seconds, and requests must not wait."""

    @classmethod
    def start(cls, settings: Settings) -> Threads:
        """Return the executors of a service. Each starts its threads when it needs them."""
        count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return cls(
            count,
            parsers=FairExecutor(count, "fanin-parse"),
            large=FairExecutor(LARGE_READERS, "fanin-large"),
            generators=FairExecutor(count, "fanin-generate"),
            matrix_makers=FairExecutor(MATRIX_MAKERS, "fanin-matrix"),
            models=FairExecutor(MODEL_READERS, "fanin-models"),
            destinations={
                alias: FairExecutor(DESTINATION_READERS, "fanin-destination")
                for alias in settings.artifact_destinations
            },
            drivers=FairExecutor(settings.max_artifacts, "fanin-artifact"),
            writers=FairExecutor(settings.artifact_threads, "fanin-write", initializer=_yield_to_requests),
        )

    def makers(self, layout: FileLayout, start: int, stop: int) -> FairExecutor:
        """Return the executor for bytes [start, stop) of a file.

        A matrix takes seconds, and requests for its parts wait for it. On separate threads they do not delay other
        tensors.
        """
        return self.matrix_makers if layout.has_matrix(start, stop) else self.generators

    @contextmanager
    def running(self) -> Iterator[None]:
        """Accept calls; at the end cancel those that wait. A later call accepts them again."""
        executors = (
            *(self.parsers, self.large, self.generators, self.matrix_makers, self.models),
            *(self.drivers, self.writers, *self.destinations.values()),
        )
        for executor in executors:
            executor.reopen()
        try:
            yield
        finally:
            for executor in executors:
                executor.shutdown(wait=False, cancel_futures=True)
