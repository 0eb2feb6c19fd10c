"""Counters of each client's use in windows of time. They expire by themselves."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from fanin_service.admission.errors import LimitsUnavailableError

PROBE_SECONDS = 1.0
"""Seconds between two attempts to reach shared counters that are unreachable."""
MAX_COUNTS = 100_000
"""Maximum number of counts in a process, some 20 MB. Those that expire first are then discarded: clients can invent
addresses, whose counts of a minute must not replace a client's bytes of the day."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Count:
    """A count, after an addition."""

    value: int
    seconds: float
    """Seconds until the count expires and restarts from 0."""
    store: Store
    """The store that has the count."""


class Counters(Protocol):
    """Counts by key."""

    async def add(self, key: str, amount: int, seconds: int) -> Count:
        """Add `amount` to the count of `key`, which expires `seconds` after its first addition. Return the new count.

        Raises:
            CountersAwayError: the store is unreachable.
        """


class Store(Counters, Protocol):
    """A store of counts."""

    async def take_back(self, key: str, amount: int) -> None:
        """Subtract `amount`, but not below 0. If the store is unreachable, the count stays."""


class CountersAwayError(Exception):
    """The shared counters are unreachable, or respond too late."""


class LocalCounters:
    """Counts of this process, in windows of its monotonic clock. A change of the date moves none of them."""

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
        if (surplus := len(self._counts) - MAX_COUNTS // 2) > 0:
            for key in sorted(self._counts, key=lambda key: self._counts[key][1])[:surplus]:
                del self._counts[key]
        self._sweep_at = max(1024, 2 * len(self._counts))


class Remote(Store, Protocol):
    """A store that may be unreachable."""

    async def ping(self) -> None:
        """Test whether the store can count.

        Raises:
            CountersAwayError: the store does not respond, or cannot count.
        """

    async def close(self) -> None:
        """Close its connections."""


class SharedCounters:
    """Counts that several processes share. While they are unreachable, this process counts alone, or refuses."""

    def __init__(self, remote: Remote, *, fall_back: bool, tell: Callable[[bool], None]) -> None:
        """`tell` is called with true when the counters become unreachable, and with false when they return."""
        self._remote = remote
        self._local = LocalCounters() if fall_back else None
        self._tell = tell
        self._search: asyncio.Task[None] | None = None

    async def add(self, key: str, amount: int, seconds: int) -> Count:
        """Add to a shared count, or to a local one while the shared ones are unreachable.

        Raises:
            LimitsUnavailableError: the shared counters are unreachable, and local ones are not allowed.
        """
        if self._search is None:
            try:
                return await self._remote.add(key, amount, seconds)
            except CountersAwayError as error:
                self._away(error)
        if self._local is None:
            raise LimitsUnavailableError("the service cannot read how much this client has used", PROBE_SECONDS)
        return await self._local.add(key, amount, seconds)

    async def open(self) -> None:
        """Test whether the shared counters are reachable."""
        try:
            await self._remote.ping()
        except CountersAwayError as error:
            self._away(error)

    async def close(self) -> None:
        """Stop the probe and disconnect."""
        if self._search is not None:
            self._search.cancel()
        await self._remote.close()

    def _away(self, error: CountersAwayError) -> None:
        if self._search is None:
            then = "requests are refused" if self._local is None else "this process counts separately"
            _log.error("the counters of FANIN_LIMITS_URL are unreachable: %s; until they respond, %s", error, then)
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
        _log.warning("the counters of FANIN_LIMITS_URL respond again")
