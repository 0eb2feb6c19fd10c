"""An engine of a cluster, to which this process has one connection for all jobs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack

from fanin.artifact import Plan
from fanin.artifact.engines import Engine, Task
from fanin.artifact.progress import Tally
from fanin.errors import EngineError


class Cluster:
    """Connects before the first job, and again after the cluster was lost.

    Without it the first job to end would close the connection that the others use.
    """

    def __init__(self, engine: Engine, connect: Callable[[], AbstractContextManager[None]]) -> None:
        """`connect` returns the connection that `engine` uses while it is open."""
        self._engine, self._connect = engine, connect
        self._connection = ExitStack()
        self._lock = threading.Lock()
        self._jobs = 0
        self._is_open = self._is_lost = False

    def run(self, task: Task, plan: Plan, url: str, items: Iterable[int], *, backend: str | None, tally: Tally) -> None:
        """See `fanin.artifact.engines.Engine`."""
        with self._lock:
            if not self._is_open:
                self._connection.enter_context(self._connect())
                self._is_open = True
            self._jobs += 1
        try:
            self._engine.run(task, plan, url, items, backend=backend, tally=tally)
        except EngineError:
            self._is_lost = True
            raise
        finally:
            with self._lock:
                self._jobs -= 1
                if self._is_lost and not self._jobs:
                    self._close()

    def close(self) -> None:
        """Close the connection. No job must run."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        self._is_open = self._is_lost = False
        self._connection.close()
