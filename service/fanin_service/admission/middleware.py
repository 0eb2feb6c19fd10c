"""Admission: what a client may ask for, now and in all. Decided before any work, and given back when it is over."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from http import HTTPStatus
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fanin import Fault
from fanin_service.access.principal import ANONYMOUS, principal_of
from fanin_service.admission.in_flight import Bounds, Grant, Ledger
from fanin_service.admission.windows import Count, Counters, LocalCounters, SharedCounters
from fanin_service.http import problems
from fanin_service.http.problems import (
    LimitExceededError,
    QuotaExceededError,
    RequestError,
    TooManyFailedLoginsError,
    TooManyRequestsError,
)
from fanin_service.recipes.limits import MAKING_BYTES
from fanin_service.settings import Settings
from fanin_service.telemetry.metrics import Metrics
from fanin_service.telemetry.middleware import OPERATION

MINUTE, DAY = 60, 86_400
_SHARE = 4
"""Clients that it takes to fill the room for what is held in one piece."""
_MAX_ADDRESS_CHARACTERS = 64
_MAX_INTEGER = 10**15 - 1
"""Of a structured field (RFC 9651 section 3.3.1)."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a party stands with a limit of a window of time."""

    name: str
    quota: int
    window: int
    """Seconds."""
    used: int
    seconds: float
    """Until the window ends."""
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
class Visit:
    """One request, as admission sees it."""

    party: str
    """Whose limits hold: a principal's id, or where that is nobody's, the network address."""
    bytes_per_day: int | None
    standings: list[Standing] = field(default_factory=list)
    grant: Grant | None = None
    held: Grant | None = None
    charge: tuple[str, Count] | None = None
    """Key and count of the day to which the answer's bytes were added."""


_visit: ContextVar[Visit] = ContextVar("visit")


def whose() -> str:
    """The party that the work at hand is for; empty for the service's own."""
    visit = _visit.get(None)
    return visit.party if visit else ""


class Admission:
    """The limits of one service, and who has used how much of them."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
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
        self._shared = _shared(settings, metrics)
        self._counters: Counters = self._shared or LocalCounters()
        self._refunds: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Find out whether shared counters are there."""
        if self._shared:
            await self._shared.open()

    async def close(self) -> None:
        """Bring to an end what was begun."""
        if self._refunds:
            await asyncio.wait(self._refunds)
        if self._shared:
            await self._shared.close()

    def visit(self, scope: Mapping[str, Any]) -> Visit:
        """A request that has come."""
        principal, default = principal_of(scope), self._settings.client_bytes_per_day
        party = _address_of(scope) if principal is ANONYMOUS else principal.id
        return Visit(party, default if principal.bytes_per_day is None else principal.bytes_per_day)

    async def count(self, visit: Visit) -> None:
        """Count a request.

        Raises:
            TooManyRequestsError: the party has sent too many.
            LimitsUnavailableError: it cannot be told how many.
        """
        limit = self._settings.client_requests_per_minute
        if limit is None:
            return
        count = await self._counters.add(f"requests:{visit.party}", 1, MINUTE)
        standing = Standing("requests", limit, MINUTE, count.value, count.seconds)
        visit.standings.append(standing)
        if standing.used > limit:
            raise TooManyRequestsError(f"{limit} requests in a minute are allowed", standing.seconds)

    async def count_failed_login(self, scope: Mapping[str, Any]) -> None:
        """Count a request with a key or token that is not good, against its address.

        Raises:
            TooManyFailedLoginsError: there were too many.
            LimitsUnavailableError: it cannot be told how many.
        """
        limit = self._settings.failed_logins_per_minute
        count = await self._counters.add(f"failed-logins:{_address_of(scope)}", 1, MINUTE)
        if count.value > limit:
            detail = f"this key is not good, and more than {limit} came from this address in a minute that were not"
            raise TooManyFailedLoginsError(detail, count.seconds) from None

    def hold(self, count: int) -> None:
        """So many bytes more are held in one piece for the request at hand, until it ends or `release` is called.

        Raises:
            TooMuchUnderWayError: for this party too much is.
            OverloadedError: for all together.
        """
        visit = _visit.get()
        if visit.held is None:
            visit.held = self._held.take(visit.party, 0)
        visit.held.grow(count)

    def release(self) -> None:
        """What was held for the request at hand is not any more."""
        _release(_visit.get())

    async def expect(self) -> None:
        """Before a recipe is read whose file is to be sent: would the smallest be admitted?

        Raises:
            As `admit` does.
        """
        visit = _visit.get()
        self._check_size(visit, 1)
        self._ledger.check(visit.party, 1)
        if (quota := visit.bytes_per_day) is not None:
            _, count, left = await self._add_to_day(visit, 0)
            if count.value >= quota:
                raise _over_quota(visit, quota, count.value, left)

    async def admit(self, size: int) -> None:
        """Admit an answer of `size` bytes to the request at hand.

        Raises:
            LimitExceededError: it is larger than any may be.
            TooMuchUnderWayError: the party has too much under way.
            OverloadedError: all together have.
            QuotaExceededError: the party has had too much today.
            LimitsUnavailableError: it cannot be told how much.
        """
        visit = _visit.get()
        self._check_size(visit, size)
        # Given back, like the charge below, when the request ends in whatever way.
        visit.grant = self._ledger.take(visit.party, size)
        if (quota := visit.bytes_per_day) is not None:
            key, count, left = await self._add_to_day(visit, size)
            visit.charge = key, count
            if count.value > quota:
                raise _over_quota(visit, quota, count.value - size, left)
            visit.standings.append(_day(quota, count.value, left))

    async def charge(self, size: int) -> None:
        """Charge bytes of weights that are made for the request at hand, and not sent.

        Raises:
            QuotaExceededError: with them the party would have had too much today.
            LimitsUnavailableError: it cannot be told how much.
        """
        visit = _visit.get()
        if (quota := visit.bytes_per_day) is None or not size:
            return
        key, count, left = await self._add_to_day(visit, size)
        if count.value > quota:
            await count.store.take_back(key, size)
            raise _over_quota(visit, quota, count.value - size, left)

    def _check_size(self, visit: Visit, size: int) -> None:
        for limit, what in ((self._settings.max_answer_bytes, "in one answer"), (visit.bytes_per_day, "in a day")):
            if limit is not None and size > limit:
                detail = f"{size} bytes are asked for; this client gets at most {limit:d} {what}: ask for a range"
                raise LimitExceededError([Fault("", detail)])

    async def _add_to_day(self, visit: Visit, size: int) -> tuple[str, Count, float]:
        """Key, count and rest in seconds of this day, in UTC."""
        now = datetime.now(UTC)
        # Kept for two days: where the clock is set back over midnight, yesterday's count is still there.
        key = f"bytes:{visit.party}:{now:%Y-%m-%d}"
        return key, await self._counters.add(key, size, 2 * DAY), DAY - now.timestamp() % DAY

    def leave(self, visit: Visit) -> None:
        """The request is over: give back what was taken, and charge only what was sent."""
        _release(visit)
        if visit.grant is None:
            return
        visit.grant.end()
        if visit.charge and visit.grant.unsent:
            key, count = visit.charge
            refund = asyncio.create_task(count.store.take_back(key, visit.grant.unsent))
            self._refunds.add(refund)
            refund.add_done_callback(self._refunds.discard)


class Gate:
    """ASGI middleware, behind `Authentication`: counts requests, tells of limits, and ends what was admitted.

    Who only asks for health or metrics is let through.
    """

    def __init__(self, app: ASGIApp, admission: Admission) -> None:
        self._app, self._admission = app, admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPERATION:
            await self._app(scope, receive, send)
            return
        visit = self._admission.visit(scope)
        _visit.set(visit)

        async def gated(message: Message) -> None:
            if message["type"] == "http.response.start":
                if visit.standings:
                    headers = MutableHeaders(scope=message)
                    headers["RateLimit-Policy"] = ", ".join(standing.policy for standing in visit.standings)
                    headers["RateLimit"] = ", ".join(standing.limit for standing in visit.standings)
                if visit.grant and message["status"] >= HTTPStatus.BAD_REQUEST:
                    visit.grant.end()
            await send(message)
            if visit.grant:
                visit.grant.sent(len(message.get("body", b"")))

        try:
            await self._admission.count(visit)
        except RequestError as error:
            await problems.answer(error)(scope, receive, gated)
            return
        try:
            await self._app(scope, receive, gated)
        finally:
            self._admission.leave(visit)


def _release(visit: Visit) -> None:
    if visit.held is not None:
        visit.held.end()
        visit.held = None


def _day(quota: int, used: int, left: float) -> Standing:
    return Standing("bytes", quota, DAY, used, left, "content-bytes")


def _over_quota(visit: Visit, quota: int, used: int, left: float) -> QuotaExceededError:
    # First: clients that read one member read this one.
    visit.standings.insert(0, _day(quota, used, left))
    return QuotaExceededError(f"{used} of {quota} bytes a day are used; the next day begins at 00:00 UTC", left)


def _address_of(scope: Mapping[str, Any]) -> str:
    client = scope.get("client")
    # Behind a proxy it may be anything, of any length.
    return _address(client[0][:_MAX_ADDRESS_CHARACTERS] if client else "")


@lru_cache(maxsize=4096)
def _address(host: str) -> str:
    """The party of an address; of IPv6 the network: one subscriber has all addresses of a /64 (RFC 6177)."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:  # what a proxy that is trusted has said
        return "address:unknown"
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return f"address:{address.ipv4_mapped}"
        return f"address:{ip_network((address, 64), strict=False)}"
    return f"address:{address}"


def _shared(settings: Settings, metrics: Metrics) -> SharedCounters | None:
    if settings.limits_url is None:
        return None
    from fanin_service.admission.redis_windows import RedisCounters

    fall_back = settings.limits_fallback == "local"
    return SharedCounters(
        RedisCounters(settings.limits_url.get_secret_value()), fall_back=fall_back, tell=metrics.limits_away
    )
