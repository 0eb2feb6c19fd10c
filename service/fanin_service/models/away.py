"""A store that does not respond: while one call tests whether it is reachable again, all others fail at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from fanin_service.models.objects import Objects, ObjectsError

SLOW_SECONDS = 3.0
"""Minimum seconds of a failed call that show that the store does not respond. A refusal arrives sooner."""
RETRY_SECONDS = 1.0
"""Seconds after such a failure in which no call is tried."""

P = ParamSpec("P")
T = TypeVar("T")


class GuardedObjects:
    """Objects of a store over the network.

    A store that accepts connections and sends nothing holds each call until its timeout. A few threads make all calls,
    so the hundredth request would wait for minutes.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._lock = threading.Lock()
        self._error: ObjectsError | None = None
        """Error of the last call, if the store is unreachable; None while it responds."""
        self._next_try = 0.0
        """Earliest time of the next call, by the monotonic clock."""

    def get(self, key: str) -> bytes | None:
        return self._call(self._objects.get, key)

    def put(self, key: str, content: bytes) -> None:
        self._call(self._objects.put, key, content)

    def swap(self, key: str, old: bytes | None, new: bytes) -> bool:
        return self._call(self._objects.swap, key, old, new)

    def delete(self, key: str) -> None:
        self._call(self._objects.delete, key)

    def modified(self, key: str) -> float | None:
        return self._call(self._objects.modified, key)

    def sizes(self, group: str | None = None) -> dict[str, int]:
        return self._call(self._objects.sizes, group)

    def groups(self, name: str) -> list[str]:
        return self._call(self._objects.groups, name)

    def _call(self, function: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        with self._lock:
            if self._error is not None:
                if time.monotonic() < self._next_try:
                    raise ObjectsError(str(self._error)) from None
                # This call tests the store; no other call is tried until it has ended.
                self._next_try = float("inf")
        began, found = time.monotonic(), None
        try:
            return function(*arguments, **options)
        except ObjectsError as error:
            found = error if time.monotonic() - began >= SLOW_SECONDS else None
            raise
        finally:
            with self._lock:
                self._error, self._next_try = found, time.monotonic() + RETRY_SECONDS
