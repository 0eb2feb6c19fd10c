"""Counters in Redis, through the package `limits`: its script adds, and sets the end, in one step."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from contextlib import suppress
from typing import TypeVar

from limits.aio.storage import RedisStorage
from limits.errors import StorageError
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from fanin_service.admission.windows import Count, CountersAwayError

TIMEOUT_SECONDS = 0.5
"""The longest that a request waits for Redis; a busy event loop takes its share of it."""

_PROBE, _PROBE_SECONDS = "probe", 60
"""The count that is written to find out whether Redis counts, and how long it is kept."""

T = TypeVar("T")


class RedisCounters:
    """Counts of all who use this Redis. Their windows are of its clock, which runs on when ours jumps."""

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

    async def add(self, key: str, amount: int, seconds: int) -> Count:
        async def add() -> Count:
            value = await self._storage.incr(key, seconds, amount)
            left = seconds if value == amount else await self._storage.get_expiry(key) - time.time()
            return Count(value, max(0.0, left), self)

        return await _in_time(add())

    async def take_back(self, key: str, amount: int) -> None:
        async def take_back() -> None:
            value = await self._storage.incr(key, 1, -amount)
            if value < 0:  # Redis has begun anew since
                await self._storage.incr(key, 1, -value)

        with suppress(CountersAwayError):
            await _in_time(take_back())

    async def ping(self) -> None:
        # A Redis that is read-only or out of memory answers PING, yet cannot count.
        await _in_time(self._storage.incr(_PROBE, _PROBE_SECONDS, 1))

    async def close(self) -> None:
        await self._storage.bridge.get_connection().aclose()  # type: ignore[attr-defined]


async def _in_time(call: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return await call
    except TimeoutError:
        raise CountersAwayError(f"no answer in {TIMEOUT_SECONDS} s") from None
    except (StorageError, OSError) as error:
        raise CountersAwayError(str(error.__cause__ or error)) from None
