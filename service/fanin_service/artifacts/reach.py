"""Destinations that respond: requests must not wait for one that does not, nor for another one."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

from fanin_service.artifacts.errors import DestinationUnavailableError
from fanin_service.fair_executor import FairExecutor
from fanin_service.telemetry.redaction import redact

PATIENCE_SECONDS = 30.0
"""Maximum seconds that a request waits for a destination."""
RETRY_SECONDS = 1.0
"""Seconds between two calls of a destination that does not respond."""

_log = logging.getLogger(__name__)

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Reach:
    """Calls of one destination, in its own threads. Only the event loop's thread uses it, except for the lock."""

    def __init__(self, alias: str, threads: FairExecutor) -> None:
        self._alias, self._threads = alias, threads
        self._is_away = False
        """The last call did not end in time. Only one call at a time tests whether the destination responds again."""
        self._next_try = 0.0
        self.reading = threading.Lock()
        """Is held while a plan is read, which takes long in Python."""

    async def call(self, client: str, function: Callable[[*Ts], T], *arguments: *Ts) -> T:
        """Run `function` in a thread, in the turn of this client.

        Raises:
            DestinationUnavailableError: the destination cannot be used, or does not respond.
        """
        now = time.monotonic()
        if self._is_away and now < self._next_try:
            raise DestinationUnavailableError(self._alias)
        self._next_try = now + PATIENCE_SECONDS + RETRY_SECONDS
        call = self._threads.run(client, function, *arguments)
        call.add_done_callback(_forget)
        done, _ = await asyncio.wait([call], timeout=PATIENCE_SECONDS)
        if not done:
            self._is_away, self._next_try = True, time.monotonic() + RETRY_SECONDS
            _log.error("the destination %s has not responded for %g seconds", self._alias, PATIENCE_SECONDS)
            raise DestinationUnavailableError(self._alias)
        self._is_away = False
        try:
            return call.result()
        except OSError as error:
            _log.error("the destination %s cannot be used: %s", self._alias, reason(error))
            raise DestinationUnavailableError(self._alias) from None


def reason(error: Exception) -> str:
    """Return an error of a destination in one line, without the internal details of its client."""
    return redact(str(error).partition("\n")[0])


def _forget(call: asyncio.Future[T]) -> None:
    """Take the error of a call: if its request has ended, it would be logged as one that nobody handles."""
    _ = call.cancelled() or call.exception()
