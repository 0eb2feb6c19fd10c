"""Admission: limits for each client and for the service. They are checked before work begins.

The request's reservations are released when the request ends, for any reason.
"""

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
from fanin_service.recipes.limits import LARGE, MAKING_BYTES
from fanin_service.settings import Settings

MINUTE, DAY = 60, 86_400
_SHARE = 4
"""Minimum number of clients that can use up the memory for bodies and recipes. One client gets this fraction of it."""
_MAX_ADDRESS_CHARACTERS = 64
_MAX_INTEGER = 10**15 - 1
"""Maximum integer of a structured field (RFC 9651 section 3.3.1). Parsers reject the complete header if one exceeds it.
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of one limit in a window of time, reported to the client in the RateLimit headers."""

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
        """Return the member of RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-09)."""
        return f'"{self.name}";q={min(self.quota, _MAX_INTEGER)};w={self.window};qu="{self.unit}"'

    @property
    def limit(self) -> str:
        """Return the member of RateLimit."""
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
    """The limits of one service and each client's use of them."""

    def __init__(self, settings: Settings, tell: Callable[[bool], None]) -> None:
        """`tell` is called when shared counters become unreachable (true) or reachable again (false)."""
        self._settings = settings
        self._ledger = Ledger(
            Bounds(settings.client_streams, settings.client_in_flight_bytes),
            Bounds(settings.max_streams, settings.max_in_flight_bytes),
        )
        # A client may always send one body of maximum size, or one recipe with the maximum number of tensors. Otherwise
        # a request within all published limits could never succeed.
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
        """Wait for pending refunds, then disconnect. A cancelled refund would charge the client for unsent bytes."""
        if self._refunds:
            await asyncio.wait(self._refunds)
        if self._shared:
            await self._shared.close()

    async def count(self, usage: Usage, principal: Principal, address: str | None) -> None:
        """Count a request of this principal from this network address. Record in `usage` the client and its limits.

        Raises:
            TooManyRequestsError: the client has sent too many requests in this minute.
            LimitsUnavailableError: the shared counters are unreachable.
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

    async def count_work(self, usage: Usage, work: int) -> None:
        """Count the reading of a large recipe as further requests of this minute: one for each `LARGE` of its work.

        It may exceed the limit: otherwise a recipe that counts as more requests than the limit could never be read.

        Raises:
            TooManyRequestsError: the limit was exceeded before, by such a recipe.
            LimitsUnavailableError: the shared counters are unreachable.
        """
        if work <= LARGE:
            return
        if (standing := await self.count_more(usage.client, work // LARGE)) is not None:
            usage.standings[0] = standing

    async def count_more(self, client: str, more: int) -> Standing | None:
        """Count a request of this client as this many more. Return its standing; None if nothing limits it.

        Raises: as `count_work`.
        """
        if (limit := self._settings.client_requests_per_minute) is None:
            return None
        count = await self._counters.add(f"requests:{client}", more, MINUTE)
        if count.value - more > limit:
            raise TooManyRequestsError(
                f"{limit} requests in a minute are allowed, and large ones count as several", count.seconds
            )
        return Standing("requests", limit, MINUTE, count.value, count.seconds)

    async def count_failed_login(self, address: str | None) -> None:
        """Count a request with an invalid key or token against its network address.

        Raises:
            TooManyFailedLoginsError: the address has sent too many of them in this minute.
            LimitsUnavailableError: the shared counters are unreachable.
        """
        limit = self._settings.failed_logins_per_minute
        count = await self._counters.add(f"failed-logins:{_client_at(address)}", 1, MINUTE)
        if count.value > limit:
            detail = f"this key is not valid, and its address has sent more than {limit} such keys in a minute"
            raise TooManyFailedLoginsError(detail, count.seconds) from None

    def hold(self, usage: Usage, count: int) -> None:
        """Reserve `count` more bytes of memory for this request, until it ends or `release` is called.

        Raises:
            TooMuchInFlightError: this client would hold too much.
            OverloadedError: all clients together would hold too much.
            LimitExceededError: `count` exceeds the limit even without other requests.
        """
        if usage.held is None:
            usage.held = self._held.take(usage.client, 0)
        usage.held.grow(count)

    def release(self, usage: Usage) -> None:
        """Release the memory that is reserved for this request."""
        if usage.held is not None:
            usage.held.end()
            usage.held = None

    async def expect(self, usage: Usage) -> None:
        """Refuse a request before its recipe is read, if even a response of one byte would be refused.

        Reading a recipe can take seconds, which would be wasted.

        Raises:
            LimitExceededError: the client may not fetch any bytes.
            TooMuchInFlightError: the client has too much in flight.
            OverloadedError: all clients together have too much in flight.
            QuotaExceededError: the client has used its bytes of the day.
            LimitsUnavailableError: the shared counters are unreachable.
        """
        self._check_size(usage, 1)
        self._ledger.check(usage.client, 1)
        if (quota := usage.bytes_per_day) is not None:
            _, count, left = await self._add_to_day(usage, 0)
            if count.value >= quota:
                raise _over_quota(usage, quota, count.value, left)

    async def admit(self, usage: Usage, size: int, besides: int = 0) -> None:
        """Admit a response of `size` bytes to this request.

        `besides` are bytes of weights that are generated for it and not sent. They are charged if it is admitted.

        Raises:
            LimitExceededError: the response is larger than the limits ever allow.
            TooMuchInFlightError: the client has too much in flight.
            OverloadedError: all clients together have too much in flight.
            QuotaExceededError: the client has used its bytes of the day.
            LimitsUnavailableError: the shared counters are unreachable.
        """
        self._check_size(usage, size)
        # The grant comes first: `leave` refunds a charge by the unsent bytes of the grant, so a charge without a grant
        # would never be refunded. `leave` runs also if this method raises an error.
        usage.grant = self._ledger.take(usage.client, size)
        if (quota := usage.bytes_per_day) is not None:
            key, count, left = await self._add_to_day(usage, size + besides)
            usage.charge = key, count
            if count.value > quota:
                if besides:
                    await count.store.take_back(key, besides)
                raise _over_quota(usage, quota, count.value - size - besides, left)
            usage.standings.append(_day(quota, count.value, left))

    async def afford(self, usage: Usage, size: int, begun: int = 0) -> None:
        """Refuse work that generates `size` bytes, not in a response, if the client does not have them left today.

        Nothing is charged. `begun` are bytes that count as used: those of other such work, which is not charged yet.

        Raises:
            LimitExceededError: the client never gets as many bytes in a day.
            QuotaExceededError: the client has fewer bytes left today.
            LimitsUnavailableError: the shared counters are unreachable.
        """
        if (quota := usage.bytes_per_day) is None:
            return
        if size > quota:
            raise LimitExceededError(
                [Fault("", f"{size} bytes are requested; this client gets at most {quota} in a day")]
            )
        _, count, left = await self._add_to_day(usage, 0)
        if (used := count.value + begun) + size > quota:
            raise _over_quota(usage, quota, used, left)

    async def charge(self, usage: Usage, size: int) -> None:
        """Charge bytes of weights that are generated for this request but not sent.

        Raises:
            QuotaExceededError: with them the client would exceed its bytes of the day.
            LimitsUnavailableError: the shared counters are unreachable.
        """
        if (quota := usage.bytes_per_day) is None or not size:
            return
        key, count, left = await self._add_to_day(usage, size)
        if count.value > quota:
            # The bytes are not generated, so they must not count.
            await count.store.take_back(key, size)
            raise _over_quota(usage, quota, count.value - size, left)

    def _check_size(self, usage: Usage, size: int) -> None:
        for limit, what in ((self._settings.max_answer_bytes, "in one response"), (usage.bytes_per_day, "in a day")):
            if limit is not None and size > limit:
                detail = f"{size} bytes are requested; this client gets at most {limit:d} {what}: request a range"
                raise LimitExceededError([Fault("", detail)])

    async def _add_to_day(self, usage: Usage, size: int) -> tuple[str, Count, float]:
        """Add to the client's bytes of this day, in UTC. Return the key, the count and the day's remaining seconds."""
        now = datetime.now(UTC)
        # The count expires after two days. If the clock is set back over midnight, yesterday's count still exists.
        key = f"bytes:{usage.client}:{now:%Y-%m-%d}"
        return key, await self._counters.add(key, size, 2 * DAY), DAY - now.timestamp() % DAY

    def leave(self, usage: Usage) -> None:
        """End the request: release its reservations, and refund the bytes that were not sent."""
        self.release(usage)
        if usage.grant is None:
            return
        usage.grant.end()
        if usage.charge and usage.grant.unsent:
            key, count = usage.charge
            # A task, since this method runs also when the request is cancelled, and must not wait. The set keeps a
            # reference: the event loop has only weak ones, and a collected task would never refund. The refund goes to
            # the store that counted, which may be the local one.
            refund = asyncio.create_task(count.store.take_back(key, usage.grant.unsent))
            self._refunds.add(refund)
            refund.add_done_callback(self._refunds.discard)


def _day(quota: int, used: int, left: float) -> Standing:
    return Standing("bytes", quota, DAY, used, left, "content-bytes")


def _over_quota(usage: Usage, quota: int, used: int, left: float) -> QuotaExceededError:
    # Put this member first: some clients read only the first one.
    usage.standings.insert(0, _day(quota, used, left))
    return QuotaExceededError(f"{used} of {quota} bytes a day are used; the next day begins at 00:00 UTC", left)


def _client_at(address: str | None) -> str:
    # A proxy may send any text of any length here. A long one would be cached below.
    return _address((address or "")[:_MAX_ADDRESS_CHARACTERS])


@lru_cache(maxsize=4096)
def _address(host: str) -> str:
    """Return the identifier of the client at an address; for IPv6 that of its /64 network.

    One subscriber has all addresses of a /64 (RFC 6177), and could evade a limit for single addresses.
    """
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:  # not an address: the text of a trusted proxy
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
