"""The exchange: what is known of the request at hand and of its answer. Whoever learns something notes it here."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal

from fanin_service.http.ranges import ByteRange

KEY = "fanin.exchange"
"""Where an ASGI scope has its exchange."""

_WITHOUT_BODY = (204, 304)

Ending = Literal["client left", "stalled", "drained", "failed"]
"""Why an answer ended before its last byte: the client closed the connection, or took no byte for too long; this server
stops; or it failed."""


@dataclass(slots=True)
class Exchange:
    """One request and its answer, as far as they have got."""

    method: str
    request_id: str
    trace_id: str | None
    """Of W3C Trace Context, 32 hexadecimal digits."""
    address: str | None
    """Of the client."""
    started: float = field(default_factory=time.perf_counter)
    route: str | None = None
    """Template of the path, `/v1/recipes/{digest}`; none where no route matches."""
    client: str | None = None
    """Name of the principal."""
    recipe: str | None = None
    """Digest."""
    part: ByteRange | None = None
    """Bytes of the recipe's file that the answer streams."""
    problem: str | None = None
    """Last part of the type of the problem that is the answer."""
    status: int | None = None
    promised_bytes: int = 0
    sent_bytes: int = 0
    """Of the body, handed to the connection."""
    first_byte_seconds: float | None = None
    """From the request's head to the first byte of the answer's body."""
    seconds: float = 0.0
    stalled: bool = False
    """The connection was cut since the client took nothing."""
    ended: Ending | None = None

    @property
    def complete(self) -> bool:
        """The whole answer was sent."""
        if self.status is None:
            return False
        return self.method == "HEAD" or self.status in _WITHOUT_BODY or self.sent_bytes >= self.promised_bytes


_current: ContextVar[Exchange] = ContextVar("exchange")


def begin(exchange: Exchange) -> None:
    """Make it the one at hand in this task, for good: the server logs what went wrong after the application returned,
    and every request has a task of its own.
    """
    _current.set(exchange)


def at_hand() -> Exchange | None:
    """The exchange of this task, if it serves a request."""
    return _current.get(None)


def current() -> Exchange:
    """The exchange of this task, which serves a request."""
    return _current.get()


def exchange_of(scope: Mapping[str, Any]) -> Exchange | None:
    """The exchange that this ASGI scope belongs to, once it has begun."""
    return scope.get(KEY)
