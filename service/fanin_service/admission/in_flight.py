"""The ledger: responses that this process has in flight, by client and in total.

It bounds the memory and work of one process. Limits across processes would not protect any of them. Only the event
loop's thread uses it, so it needs no lock.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from dataclasses import dataclass

from fanin import Fault
from fanin_service.admission.errors import OverloadedError, TooMuchInFlightError
from fanin_service.recipes.errors import LimitExceededError

_MEMORY = 0.9
"""Weight of earlier responses in the moving average of the duration of responses."""
_MAX_WAIT = 60


@dataclass(frozen=True, slots=True)
class Bounds:
    """Maximum load of a client or of all clients; None for no limit."""

    streams: int | None = None
    size: int | None = None
    """Bytes."""


@dataclass(slots=True)
class Load:
    """Responses in flight, of a client or of all clients."""

    streams: int = 0
    size: int = 0
    """Bytes that were admitted and are not yet sent or released."""

    def excess(self, bounds: Bounds, size: int) -> str | None:
        """Return why another response of `size` bytes would exceed the bounds; None if it would not."""
        if bounds.streams is not None and self.streams >= bounds.streams:
            return f"{self.streams} responses are in flight; the limit is {bounds.streams}"
        if bounds.size is not None and self.size + size > bounds.size:
            return f"{self.size} bytes are in flight, and {size} more would exceed the limit of {bounds.size}"
        return None


class Ledger:
    """Loads of all clients, none above its bounds."""

    def __init__(self, each: Bounds, total: Bounds) -> None:
        """`each` bounds every client, `total` all clients together."""
        self._each, self._total_bounds = each, total
        self.total = Load()
        self._clients: defaultdict[str, Load] = defaultdict(Load)
        self._mean_seconds = 1.0

    def load(self, client: str) -> Load:
        """Return the load of this client."""
        return self._clients.get(client, Load())

    def check(self, client: str, size: int) -> None:
        """Refuse a response of `size` bytes that would exceed a bound.

        Raises:
            LimitExceededError: it would exceed a bound even if nothing else were in flight.
            TooMuchInFlightError: the client has too much in flight.
            OverloadedError: all clients together have too much in flight.
        """
        for bound in (self._each.size, self._total_bounds.size):
            if bound is not None and size > bound:
                raise LimitExceededError([Fault("", f"{size} bytes in one response; the limit is {bound}")])
        # The client's own load first: 429 tells it to send fewer requests, 503 would blame the service.
        own = self.load(client)
        if excess := own.excess(self._each, size):
            raise TooMuchInFlightError(f"for this client, {excess}", self._wait(own))
        if excess := self.total.excess(self._total_bounds, size):
            raise OverloadedError(f"for all clients together, {excess}", self._wait(self.total))

    def take(self, client: str, size: int) -> Grant:
        """Admit a response of `size` bytes and return its grant.

        Raises:
            LimitExceededError: it would exceed a bound even if nothing else were in flight.
            TooMuchInFlightError: the client has too much in flight.
            OverloadedError: all clients together have too much in flight.
        """
        self.check(client, size)
        return Grant(self, client, size)

    def _wait(self, load: Load) -> int:
        """Return the estimated seconds until a response ends, from the mean duration of recent responses."""
        return max(1, min(_MAX_WAIT, math.ceil(self._mean_seconds / max(1, load.streams))))

    def _move(self, client: str, streams: int, size: int) -> None:
        for load in (self._clients[client], self.total):
            load.streams += streams
            load.size += size

    def _ended(self, client: str, seconds: float) -> None:
        # Remove idle clients. Otherwise every address that ever sent a request would stay in memory.
        if not self._clients[client].streams:
            del self._clients[client]
        self._mean_seconds = _MEMORY * self._mean_seconds + (1 - _MEMORY) * seconds


class Grant:
    """An admitted response. The owner must call `end` at least once."""

    def __init__(self, ledger: Ledger, client: str, size: int) -> None:
        """Record the response in the ledger. Call `Ledger.take`, which checks the bounds first."""
        self.unsent = size
        self._ledger, self._client, self._open, self._began = ledger, client, True, time.monotonic()
        ledger._move(client, 1, size)

    def grow(self, count: int) -> None:
        """Admit `count` more bytes for this response.

        Raises:
            LimitExceededError: `count` exceeds a bound even if nothing else were in flight.
            TooMuchInFlightError: the client has too much in flight.
            OverloadedError: all clients together have too much in flight.
        """
        self._ledger.check(self._client, count)
        self.unsent += count
        self._ledger._move(self._client, 0, count)

    def sent(self, count: int) -> None:
        """Release `count` bytes, which were handed to the connection."""
        if self._open:
            # More bytes than were admitted must not make the load negative: that would admit too much for all others.
            count = min(count, self.unsent)
            self.unsent -= count
            self._ledger._move(self._client, 0, -count)

    def end(self) -> None:
        """Release the response and its unsent bytes. Later calls do nothing. `unsent` is then the number to refund."""
        if self._open:
            self._open = False
            self._ledger._move(self._client, -1, -self.unsent)
            self._ledger._ended(self._client, time.monotonic() - self._began)
