"""Fair turns of clients at the threads that generate."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError, Future
from typing import Any

import pytest

from fanin_service.fair_executor import FairExecutor


class Queue:
    """One thread that waits until all calls are queued."""

    def __init__(self) -> None:
        self.done, self._go = list[str](), threading.Event()
        self.executor = FairExecutor(1, "test")
        self.submit("holder", self._go.wait)

    def submit(self, client: str, function: Any = None) -> Future[Any]:
        return self.executor.submit(client, function or self.done.append, *([] if function else [client]))

    def run(self) -> list[str]:
        self._go.set()
        self.executor.shutdown()
        return self.done


def test_one_of_each_in_turn_whoever_came_first() -> None:
    queue = Queue()
    for client in ("many",) * 5 + ("few",) * 2 + ("one",):
        queue.submit(client)
    assert queue.run() == ["many", "few", "one", "many", "few", "many", "many", "many"]


def test_a_cancelled_call_is_not_made_and_costs_no_other_its_turn() -> None:
    queue = Queue()
    calls = [queue.submit(client) for client in ("a", "a", "b")]
    assert calls[0].cancel()
    assert queue.run() == ["b", "a"]
    with pytest.raises(CancelledError):
        calls[0].result()


def test_an_error_is_that_of_the_call() -> None:
    queue = Queue()
    failing = queue.submit("a", lambda: 1 // 0)
    queue.submit("a")
    assert queue.run() == ["a"]
    with pytest.raises(ZeroDivisionError):
        failing.result()


def test_shutdown_cancels_what_waits() -> None:
    queue = Queue()
    calls = [queue.submit(client) for client in "aab"]
    queue.executor.shutdown(wait=False, cancel_futures=True)
    assert all(call.cancelled() for call in calls)
    with pytest.raises(RuntimeError):
        queue.submit("a")
    assert queue.run() == []
