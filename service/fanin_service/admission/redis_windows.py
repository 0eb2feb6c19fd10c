"""Counters in Redis, through the package `limits`. Its script adds and sets the expiry in one step."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from limits.aio.storage import RedisStorage
from limits.errors import StorageError
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from fanin_service.admission.windows import Count, CountersAwayError

TIMEOUT_SECONDS = 0.5
"""Maximum seconds that a call waits for a response of Redis, while the event loop can read it."""
MAX_CALLS = 16
"""Maximum number of calls of one process in flight, each on a separate connection. Hundreds of simultaneous requests
would take longer to connect than `TIMEOUT_SECONDS`, and Redis would look unreachable."""

_SLICES = 5
"""Number of equal parts of `TIMEOUT_SECONDS` that must pass one after another."""
_PROBE, _PROBE_SECONDS = "probe", 60
"""Key and lifetime in seconds of the count that is written to test whether Redis can count."""

T = TypeVar("T")


class RedisCounters:
    """Counts that all processes with this Redis share. Windows follow its clock, so changes of ours move none."""

    def __init__(self, url: str) -> None:
        """`url` begins with redis:// or rediss://; nothing is connected yet."""
        self._storage = RedisStorage(
            f"async+{url}",
            wrap_exceptions=True,
            implementation="redispy",
            key_prefix="fanin",
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),  # type: ignore[arg-type]  # passed on to redis.asyncio.Redis
        )
        self._turns = asyncio.Semaphore(MAX_CALLS)
        self._failures = 0
        """Number of calls that failed."""

    async def add(self, key: str, amount: int, seconds: int) -> Count:
        async def add() -> Count:
            value = await self._storage.incr(key, seconds, amount)
            left = seconds if value == amount else await self._storage.get_expiry(key) - time.time()
            return Count(value, max(0.0, left), self)

        return await self._in_turn(add)

    async def take_back(self, key: str, amount: int) -> None:
        async def take_back() -> None:
            value = await self._storage.incr(key, 1, -amount)
            if value < 0:  # Redis has restarted since the count was added
                await self._storage.incr(key, 1, -value)

        with suppress(CountersAwayError):
            await self._in_turn(take_back)

    async def ping(self) -> None:
        # A Redis that is read-only or out of memory responds to PING but cannot count.
        await self._in_turn(lambda: self._storage.incr(_PROBE, _PROBE_SECONDS, 1))

    async def close(self) -> None:
        await self._storage.bridge.get_connection().aclose()  # type: ignore[attr-defined]

    async def _in_turn(self, call: Callable[[], Awaitable[T]]) -> T:
        """Return the result of a call. At most `MAX_CALLS` run at a time.

        Raises:
            CountersAwayError: the call failed. Or an earlier call failed while this one waited: it would only fail
                later.
        """
        failures = self._failures
        async with self._turns:
            if self._failures != failures:
                raise CountersAwayError("earlier calls failed")
            try:
                return await _in_time(call())
            except CountersAwayError:
                self._failures += 1
                raise


async def _in_time(call: Awaitable[T]) -> T:
    """Return the result of a call that takes at most `TIMEOUT_SECONDS`.

    Raises:
        CountersAwayError: the call takes longer, or fails.
    """
    task = asyncio.ensure_future(call)
    try:
        for _ in range(_SLICES):
            # While the event loop is busy, no response can be read. Such a delay counts as one slice, however long it
            # is.
            if (await asyncio.wait([task], timeout=TIMEOUT_SECONDS / _SLICES))[0]:
                return task.result()
        raise CountersAwayError(f"no response in {TIMEOUT_SECONDS} s")
    except (StorageError, OSError) as error:
        raise CountersAwayError(str(error.__cause__ or error)) from None
    finally:
        task.cancel()
