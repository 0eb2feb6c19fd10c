"""The ledger: what this process has under way, by party and in all. It bounds the memory and work of one process.

Used by the event loop's thread alone.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from dataclasses import dataclass

from fanin import Fault
from fanin_service.admission.errors import OverloadedError, TooMuchUnderWayError
from fanin_service.recipes.errors import LimitExceededError

_MEMORY = 0.9
"""Weight of what was seen before in the mean duration of answers."""
_MAX_WAIT = 60


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most that may be under way; None for no limit."""

    streams: int | None = None
    size: int | None = None
    """Bytes."""


@dataclass(slots=True)
class Load:
    """What is under way."""

    streams: int = 0
    size: int = 0
    """Bytes admitted and not yet given back."""

    def excess(self, bounds: Bounds, size: int) -> str | None:
        """What would be too much with another stream of `size` bytes."""
        if bounds.streams is not None and self.streams >= bounds.streams:
            return f"{self.streams} answers are under way, and {bounds.streams} may be"
        if bounds.size is not None and self.size + size > bounds.size:
            return f"{self.size} bytes are under way; with {size} more there would be over {bounds.size}"
        return None


class Ledger:
    """Loads of all parties, none above its bounds."""

    def __init__(self, each: Bounds, total: Bounds) -> None:
        """Bounds of each party, and of all together."""
        self._each, self._total_bounds = each, total
        self.total = Load()
        self._parties: defaultdict[str, Load] = defaultdict(Load)
        self._mean_seconds = 1.0

    def load(self, party: str) -> Load:
        """What this party has under way."""
        return self._parties.get(party, Load())

    def check(self, party: str, size: int) -> None:
        """Refuse what there is no room for.

        Raises:
            LimitExceededError: there never will be.
            TooMuchUnderWayError: the party has too much under way.
            OverloadedError: all together have.
        """
        for bound in (self._each.size, self._total_bounds.size):
            if bound is not None and size > bound:
                raise LimitExceededError([Fault("", f"{size} bytes in one answer; this service sends at most {bound}")])
        own = self.load(party)
        if excess := own.excess(self._each, size):
            raise TooMuchUnderWayError(f"of this client {excess}", self._wait(own))
        if excess := self.total.excess(self._total_bounds, size):
            raise OverloadedError(f"of all clients {excess}", self._wait(self.total))

    def take(self, party: str, size: int) -> Grant:
        """Admit an answer of `size` bytes.

        Raises:
            As `check` does.
        """
        self.check(party, size)
        return Grant(self, party, size)

    def _wait(self, load: Load) -> int:
        """Seconds until one of these answers has ended, by how long answers took of late: an estimate."""
        return max(1, min(_MAX_WAIT, math.ceil(self._mean_seconds / max(1, load.streams))))

    def _move(self, party: str, streams: int, size: int) -> None:
        for load in (self._parties[party], self.total):
            load.streams += streams
            load.size += size

    def _ended(self, party: str, seconds: float) -> None:
        if not self._parties[party].streams:
            del self._parties[party]
        self._mean_seconds = _MEMORY * self._mean_seconds + (1 - _MEMORY) * seconds


class Grant:
    """An answer that was admitted. It must be ended, once or more often."""

    def __init__(self, ledger: Ledger, party: str, size: int) -> None:
        """As `Ledger.take` does."""
        self.unsent = size
        self._ledger, self._party, self._open, self._began = ledger, party, True, time.monotonic()
        ledger._move(party, 1, size)

    def grow(self, count: int) -> None:
        """Admit so many bytes more.

        Raises:
            As `Ledger.check` does.
        """
        self._ledger.check(self._party, count)
        self.unsent += count
        self._ledger._move(self._party, 0, count)

    def sent(self, count: int) -> None:
        """So many bytes were handed to the connection."""
        if self._open:
            count = min(count, self.unsent)
            self.unsent -= count
            self._ledger._move(self._party, 0, -count)

    def end(self) -> None:
        """Give back what was taken; `unsent` stays as it is."""
        if self._open:
            self._open = False
            self._ledger._move(self._party, -1, -self.unsent)
            self._ledger._ended(self._party, time.monotonic() - self._began)
