"""The attempts of an engine's thread to run a task for one item."""

from __future__ import annotations

import random
import threading

from fanin.artifact.destinations.base import Destination
from fanin.artifact.engines import Task
from fanin.artifact.plan import Plan
from fanin.artifact.progress import Tally
from fanin.artifact.writing import may_pass
from fanin.backends import Backend

ATTEMPTS = 4
"""Attempts for an item by default."""
_SECONDS = 1.0
"""The longest pause after attempt n is this number of seconds times 4^n."""


class StoppedError(Exception):
    """The engine ends, because another item has failed or the process ends."""


def run_item(
    task: Task,
    plan: Plan,
    number: int,
    place: Destination,
    backend: Backend,
    *,
    tally: Tally,
    stop: threading.Event,
    attempts: int = ATTEMPTS,
) -> None:
    """Run a task for an item, again after each error that may pass. Count its bytes, and the item when it is complete.

    Args:
        task: What to do with the item.
        plan: The plan of the artifact.
        number: Number of the item.
        place: Destination of the artifact.
        backend: What generates the bytes.
        tally: Counts bytes and the item. Bytes of an attempt that failed are subtracted.
        stop: Once it is set, the item ends at its next chunk.
        attempts: Maximum number of attempts.

    Raises:
        StoppedError: `stop` was set.
        FaninError: the task raised it.
        OSError: the last attempt raised it, or it will not pass.
    """
    for attempt in range(1, attempts + 1):
        counted = 0

        def report(count: int) -> None:
            nonlocal counted
            if stop.is_set():
                raise StoppedError
            counted += count
            tally.add(count)

        try:
            task(plan, number, place, backend, report)
            break
        except OSError as error:
            if attempt == attempts or not may_pass(error):
                raise
            tally.add(-counted)
            stop.wait(random.uniform(0, _SECONDS * 4**attempt))  # nosec B311 (no secret)
    tally.done()
