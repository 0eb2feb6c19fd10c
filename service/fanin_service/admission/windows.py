"""Counters that end by themselves: how much each party has asked for in a window of time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from fanin_service.admission.errors import LimitsUnavailableError

PROBE_SECONDS = 1.0
"""How often shared counters that are away are looked for."""
MAX_COUNTS = 100_000
"""Counts kept in a process: some 20 MB. Beyond, the oldest are forgotten: addresses are cheap to make up."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Count:
    """A count after something was added to it."""

    value: int
    seconds: float
    """Until it ends, and begins anew from 0."""
    store: Store
    """Where it is kept."""


class Counters(Protocol):
    """Counts by key."""

    async def add(self, key: str, amount: int, seconds: int) -> Count:
        """Add to the count of `key`, which ends so many seconds after it began.

        Raises:
            CountersAwayError: it cannot be reached.
        """


class Store(Counters, Protocol):
    """Where counts are kept."""

    async def take_back(self, key: str, amount: int) -> None:
        """Undo what was added; a count never falls below 0. Where it cannot be reached, it stays."""


class CountersAwayError(Exception):
    """Shared counters cannot be reached, or not in time."""


class LocalCounters:
    """Counts of this process, in windows of its monotonic clock: no change of the date moves them."""

    def __init__(self) -> None:
        self._counts: dict[str, tuple[int, float]] = {}
        self._sweep_at = 1024

    async def add(self, key: str, amount: int, seconds: int) -> Count:
        now = time.monotonic()
        value, ends = self._counts.get(key, (0, now))
        if ends <= now:
            self._counts.pop(key, None)
            value, ends = 0, now + seconds
        self._counts[key] = value + amount, ends
        if len(self._counts) > self._sweep_at:
            self._sweep(now)
        return Count(value + amount, ends - now, self)

    async def take_back(self, key: str, amount: int) -> None:
        if key in self._counts:
            value, ends = self._counts[key]
            self._counts[key] = max(0, value - amount), ends

    def _sweep(self, now: float) -> None:
        self._counts = {key: count for key, count in self._counts.items() if count[1] > now}
        for key in list(islice(self._counts, max(0, len(self._counts) - MAX_COUNTS // 2))):
            del self._counts[key]
        self._sweep_at = max(1024, 2 * len(self._counts))


class Remote(Store, Protocol):
    """A store that may be away."""

    async def ping(self) -> None:
        """
        Raises:
            CountersAwayError: it does not answer, or cannot count.
        """

    async def close(self) -> None:
        """Close its connections."""


class SharedCounters:
    """Counts that several processes share; while they are away, those of this process, or none."""

    def __init__(self, remote: Remote, *, fall_back: bool, tell: Callable[[bool], None]) -> None:
        """`tell` is called with each change: whether they are away."""
        self._remote = remote
        self._local = LocalCounters() if fall_back else None
        self._tell = tell
        self._search: asyncio.Task[None] | None = None

    async def add(self, key: str, amount: int, seconds: int) -> Count:
        """
        Raises:
            LimitsUnavailableError: they are away, and those of this process shall not do.
        """
        if self._search is None:
            try:
                return await self._remote.add(key, amount, seconds)
            except CountersAwayError as error:
                self._away(error)
        if self._local is None:
            raise LimitsUnavailableError("the service cannot tell how much this client has used", PROBE_SECONDS)
        return await self._local.add(key, amount, seconds)

    async def open(self) -> None:
        """Find out whether they are there."""
        try:
            await self._remote.ping()
        except CountersAwayError as error:
            self._away(error)

    async def close(self) -> None:
        """Look for them no more."""
        if self._search is not None:
            self._search.cancel()
        await self._remote.close()

    def _away(self, error: CountersAwayError) -> None:
        if self._search is None:
            then = "requests are refused" if self._local is None else "this process counts for itself"
            _log.error("the counters of FANIN_LIMITS_URL are away: %s; until they are back %s", error, then)
            self._tell(True)
            self._search = asyncio.create_task(self._come_back())

    async def _come_back(self) -> None:
        while True:
            await asyncio.sleep(PROBE_SECONDS)
            try:
                await self._remote.ping()
            except CountersAwayError:
                continue
            break
        self._search = None
        self._tell(False)
        _log.warning("the counters of FANIN_LIMITS_URL are back")
