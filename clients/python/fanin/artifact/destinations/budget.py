"""Bounded memory of uploads that run at the same time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any


class Budget:
    """Bytes that threads may hold together. A thread waits until its bytes fit, or nobody else holds any."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        """Bytes that are held now."""
        self._changed = threading.Condition()

    @contextmanager
    def held(self, count: int) -> Iterator[Hold]:
        """Hold bytes for the block, or until the end of the task that is passed to `Hold.until`."""
        with self._changed:
            self._changed.wait_for(lambda: not self.used or self.used + count <= self.limit)
            self.used += count
        hold = Hold(self, count)
        try:
            yield hold
        finally:
            if not hold.is_passed_on:
                self.free(count)

    def free(self, count: int) -> None:
        """Count bytes as free again."""
        with self._changed:
            self.used -= count
            self._changed.notify_all()


class Hold:
    """Bytes of a budget that somebody holds."""

    def __init__(self, budget: Budget, count: int) -> None:
        self._budget, self._count = budget, count
        self.is_passed_on = False

    def until(self, task: Future[Any]) -> None:
        """Hold the bytes until this task has ended or was cancelled, in place of the end of the block."""
        self.is_passed_on = True
        task.add_done_callback(lambda _: self._budget.free(self._count))
