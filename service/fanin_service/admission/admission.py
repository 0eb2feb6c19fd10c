"""Admission: the limits of clients and of the service. Decided before any work; released when the request ends."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

from fanin import Fault
from fanin_service.access.principal import ANONYMOUS, Principal
from fanin_service.admission.errors import QuotaExceededError, TooManyFailedLoginsError, TooManyRequestsError
from fanin_service.admission.in_flight import Bounds, Grant, Ledger
from fanin_service.admission.windows import Count, Counters, LocalCounters, SharedCounters
from fanin_service.recipes.errors import LimitExceededError
from fanin_service.recipes.limits import MAKING_BYTES
from fanin_service.settings import Settings

MINUTE, DAY = 60, 86_400
_SHARE = 4
"""Number of clients that together may use all memory for bodies and recipes."""
_MAX_ADDRESS_CHARACTERS = 64
_MAX_INTEGER = 10**15 - 1
"""Largest integer of a structured field (RFC 9651 section 3.3.1)."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The use of a limit in a window of time."""

    name: str
    quota: int
    window: int
    """Seconds."""
    used: int
    seconds: float
    """Seconds until the window ends."""
    unit: str = "requests"

    @property
    def policy(self) -> str:
        """A member of RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-09)."""
        return f'"{self.name}";q={min(self.quota, _MAX_INTEGER)};w={self.window};qu="{self.unit}"'

    @property
    def limit(self) -> str:
        """A member of RateLimit."""
        remaining = min(max(0, self.quota - self.used), _MAX_INTEGER)
        return f'"{self.name}";r={remaining};t={math.ceil(self.seconds)}'


@dataclass(slots=True)
class Usage:
    """Counts and reservations of one request."""

    client: str = ""
    """The client whose limits apply: the id of the principal, or the network address of an anonymous client."""
    bytes_per_day: int | None = None
    standings: list[Standing] = field(default_factory=list)
    grant: Grant | None = None
    """Bytes of the response in flight."""
    held: Grant | None = None
    """Bytes held in memory for the request."""
    charge: tuple[str, Count] | None = None
    """Key and count of the day to which the response's bytes were added."""


class Admission:
    """The limits of one service, and how much of them each client has used."""

    def __init__(self, settings: Settings, tell: Callable[[bool], None]) -> None:
        """`tell` is called when shared counters become unreachable (true) or reachable again (false)."""
        self._settings = settings
        self._ledger = Ledger(
            Bounds(settings.client_streams, settings.client_in_flight_bytes),
            Bounds(settings.max_streams, settings.max_in_flight_bytes),
        )
        # A client may always send one body of the largest, and one recipe of the most tensors.
        recipe = settings.max_recipe_bytes + MAKING_BYTES * settings.max_tensors
        largest = max(recipe, settings.max_model_bytes)
        most = max(settings.max_held_bytes, largest)
        own = max(settings.max_held_bytes // _SHARE, largest)
        self._held = Ledger(Bounds(size=own), Bounds(size=most))
        self._shared = _shared(settings, tell)
        self._counters: Counters = self._shared or LocalCounters()
        self._refunds: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Connect to the shared counters, if there are any."""
        if self._shared:
            await self._shared.open()

    async def close(self) -> None:
        """Wait for refunds, and disconnect."""
        if self._refunds:
            await asyncio.wait(self._refunds)
        if self._shared:
            await self._shared.close()

    async def count(self, usage: Usage, principal: Principal, address: str | None) -> None:
        """Count a request of this principal from this network address; `usage` then says whose limits hold.

        Raises:
            TooManyRequestsError: the client has sent too many.
            LimitsUnavailableError: the count is unreachable.
        """
        settings, quota = self._settings, principal.bytes_per_day
        usage.client = _client_at(address) if principal is ANONYMOUS else principal.id
        usage.bytes_per_day = settings.client_bytes_per_day if quota is None else quota
        if (limit := settings.client_requests_per_minute) is None:
            return
        count = await self._counters.add(f"requests:{usage.client}", 1, MINUTE)
        usage.standings.append(Standing("requests", limit, MINUTE, count.value, count.seconds))
        if count.value > limit:
            raise TooManyRequestsError(f"{limit} requests in a minute are allowed", count.seconds)

    async def count_failed_login(self, address: str | None) -> None:
        """Count a request with an invalid key or token against its network address.

        Raises:
            TooManyFailedLoginsError: there were too many.
            LimitsUnavailableError: the count is unreachable.
        """
        limit = self._settings.failed_logins_per_minute
        count = await self._counters.add(f"failed-logins:{_client_at(address)}", 1, MINUTE)
        if count.value > limit:
            detail = f"this key is not good, and more than {limit} came from this address in a minute that were not"
            raise TooManyFailedLoginsError(detail, count.seconds) from None

    def hold(self, usage: Usage, count: int) -> None:
        """Hold `count` bytes more of memory for this request, until it ends or `release` is called.

        Raises:
            TooMuchUnderWayError: this client would hold too much.
            OverloadedError: all clients together would.
        """
        if usage.held is None:
            usage.held = self._held.take(usage.client, 0)
        usage.held.grow(count)

    def release(self, usage: Usage) -> None:
        """Release the memory that is held for this request."""
        if usage.held is not None:
            usage.held.end()
            usage.held = None

    async def expect(self, usage: Usage) -> None:
        """Refuse a request early, before its recipe is read, if not even the smallest file would be admitted.

        Raises:
            LimitExceededError, TooMuchUnderWayError, OverloadedError, QuotaExceededError, LimitsUnavailableError: for
                the reasons that `admit` has.
        """
        self._check_size(usage, 1)
        self._ledger.check(usage.client, 1)
        if (quota := usage.bytes_per_day) is not None:
            _, count, left = await self._add_to_day(usage, 0)
            if count.value >= quota:
                raise _over_quota(usage, quota, count.value, left)

    async def admit(self, usage: Usage, size: int) -> None:
        """Admit a response of `size` bytes to this request.

        Raises:
            LimitExceededError: it is larger than the limits ever allow.
            TooMuchUnderWayError: the client has too much in flight.
            OverloadedError: all clients together have too much in flight.
            QuotaExceededError: the client has used its bytes of the day.
            LimitsUnavailableError: the count is unreachable.
        """
        self._check_size(usage, size)
        # Like the charge below, it is released when the request ends.
        usage.grant = self._ledger.take(usage.client, size)
        if (quota := usage.bytes_per_day) is not None:
            key, count, left = await self._add_to_day(usage, size)
            usage.charge = key, count
            if count.value > quota:
                raise _over_quota(usage, quota, count.value - size, left)
            usage.standings.append(_day(quota, count.value, left))

    async def charge(self, usage: Usage, size: int) -> None:
        """Charge bytes of weights that are generated for this request and not sent.

        Raises:
            QuotaExceededError: with them the client would exceed its bytes of the day.
            LimitsUnavailableError: the count is unreachable.
        """
        if (quota := usage.bytes_per_day) is None or not size:
            return
        key, count, left = await self._add_to_day(usage, size)
        if count.value > quota:
            await count.store.take_back(key, size)
            raise _over_quota(usage, quota, count.value - size, left)

    def _check_size(self, usage: Usage, size: int) -> None:
        for limit, what in ((self._settings.max_answer_bytes, "in one answer"), (usage.bytes_per_day, "in a day")):
            if limit is not None and size > limit:
                detail = f"{size} bytes are asked for; this client gets at most {limit:d} {what}: ask for a range"
                raise LimitExceededError([Fault("", detail)])

    async def _add_to_day(self, usage: Usage, size: int) -> tuple[str, Count, float]:
        """Return the key, the count and the remaining seconds of this day, in UTC."""
        now = datetime.now(UTC)
        # Stored for two days: if the clock is set back over midnight, yesterday's count still exists.
        key = f"bytes:{usage.client}:{now:%Y-%m-%d}"
        return key, await self._counters.add(key, size, 2 * DAY), DAY - now.timestamp() % DAY

    def leave(self, usage: Usage) -> None:
        """End the request: release what it reserved, and charge only what was sent."""
        self.release(usage)
        if usage.grant is None:
            return
        usage.grant.end()
        if usage.charge and usage.grant.unsent:
            key, count = usage.charge
            refund = asyncio.create_task(count.store.take_back(key, usage.grant.unsent))
            self._refunds.add(refund)
            refund.add_done_callback(self._refunds.discard)


def _day(quota: int, used: int, left: float) -> Standing:
    return Standing("bytes", quota, DAY, used, left, "content-bytes")


def _over_quota(usage: Usage, quota: int, used: int, left: float) -> QuotaExceededError:
    # First: clients that read one member read this one.
    usage.standings.insert(0, _day(quota, used, left))
    return QuotaExceededError(f"{used} of {quota} bytes a day are used; the next day begins at 00:00 UTC", left)


def _client_at(address: str | None) -> str:
    # Behind a proxy it may be any text, of any length.
    return _address((address or "")[:_MAX_ADDRESS_CHARACTERS])


@lru_cache(maxsize=4096)
def _address(host: str) -> str:
    """Return the client at an address; for IPv6 its network: one subscriber has all addresses of a /64 (RFC 6177)."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:  # from a trusted proxy
        return "address:unknown"
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return f"address:{address.ipv4_mapped}"
        return f"address:{ip_network((address, 64), strict=False)}"
    return f"address:{address}"


def _shared(settings: Settings, tell: Callable[[bool], None]) -> SharedCounters | None:
    if settings.limits_url is None:
        return None
    from fanin_service.admission.redis_windows import RedisCounters

    fall_back = settings.limits_fallback == "local"
    return SharedCounters(RedisCounters(settings.limits_url.get_secret_value()), fall_back=fall_back, tell=tell)
