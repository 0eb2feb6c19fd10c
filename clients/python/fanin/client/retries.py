"""Retries: the only module that decides when a request is repeated, and for how long."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from fanin.errors import BusyError, ConnectionLostError, ServiceError, UnavailableError, UnreachableError

PENDING = "urn:fanin:problem:digests-pending"
"""Type of the problem that a service reports while it computes digests."""
UNKNOWN = 404
"""Status of a recipe that the service does not have: another replica may have registered it, or it was evicted."""
BACKOFF_LIMIT = 30.0
"""Longest wait between two attempts, in seconds, unless the service asks for a longer one."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Retries:
    """The limits of a client's retries.

    No attempt begins later than `patience` seconds after the call or the last byte of a file. An attempt registers the
    recipe and requests its file at most; each request may wait `timeout` seconds for the connection and as long for the
    response. A call to a service that sends nothing thus ends within `patience + 4 * timeout` seconds.
    """

    attempts: int = 5
    """Further attempts after one without progress."""
    backoff: float = 0.2
    """Seconds before the first further attempt, doubled for each next one, plus up to 50 % at random."""
    patience: float = 120.0
    """Seconds without progress after which no attempt begins. A longer `Retry-After` ends the call at once."""
    is_replaceable: bool = False
    """True if the caller can do without the service: then a service that cannot be reached is not tried again."""

    async def run(
        self,
        attempt: Callable[[Progress], Awaitable[T]],
        sleep: Callable[[float], Awaitable[None]],
        register: Callable[[], Awaitable[object]] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> T:
        """Return what `attempt` returns; repeat it after errors that may pass.

        Before an attempt, `register` sends the recipe again if the service does not have it, or if it hung up: a proxy
        that assembles a file from slices cannot pass on the 404 of a later one.

        Raises:
            ServiceError: the last one, if another attempt would not help.
        """
        progress = Progress(self, now)
        is_register_due = False
        while True:
            try:
                if is_register_due and register is not None:
                    progress.registrations += 1
                    await register()
                    is_register_due = False
                return await attempt(progress)
            except ServiceError as error:
                # An error of the registration itself is decided in the same way.
                wait, is_recipe_missing = progress.decide(error, can_register=register is not None)
                is_register_due = is_register_due or is_recipe_missing
            await sleep(wait)


class Progress:
    """The progress of one call, and its failures since."""

    def __init__(self, retries: Retries, now: Callable[[], float]) -> None:
        self._retries, self._now = retries, now
        self._failures = 0
        self._stalls = 0
        """Failures in a row without a byte."""
        self._since = now()
        self._has_moved = False
        self._detail: object = None
        self.registrations = 0
        """Number of times that the recipe was sent."""

    def made(self) -> None:
        """Note that bytes arrived."""
        self._failures = 0
        self._has_moved = True
        self._since = self._now()

    def decide(self, error: ServiceError, *, can_register: bool) -> tuple[float, bool]:
        """Return how many seconds to wait, and whether to register the recipe before the next attempt.

        Raises:
            ServiceError: `error`, if another attempt would not help.
        """
        policy = self._retries
        if error.problem.get("type") == PENDING and error.problem.get("detail") != self._detail:
            self._detail = error.problem.get("detail")
            self.made()
            return self._wait(error, 1), False
        is_first = not self._failures and not self._has_moved
        self._stalls = 0 if self._has_moved else self._stalls + 1
        self._has_moved = False
        self._failures += 1
        if error.status == UNKNOWN and can_register:
            # The first registration is part of the protocol, not a failure.
            if self.registrations == 0:
                self._failures -= 1
            elif self._failures > policy.attempts:
                raise error
            return 0.0, True
        if not isinstance(error, UnavailableError):
            raise error
        if isinstance(error, UnreachableError) and policy.is_replaceable and is_first:
            raise error
        is_over = self._failures > policy.attempts
        is_hung_up = isinstance(error, ConnectionLostError) and can_register and not self.registrations
        if is_over and not (is_hung_up and self._stalls):
            raise error
        return self._wait(error, self._failures), is_hung_up and (self._stalls > 1 or is_over)

    def _wait(self, error: ServiceError, failures: int) -> float:
        """Return the seconds until the next attempt.

        Raises:
            ServiceError: `error`, if it would begin too late.
        """
        policy = self._retries
        wait = error.retry_after if isinstance(error, BusyError) else None
        if wait is None:
            # A float64 ends at 2^1024.
            growth = 2.0 ** min(failures - 1, 1000)
            wait = min(policy.backoff * growth, BACKOFF_LIMIT) * (1 + random.random() / 2)
        if self._now() + wait - self._since > policy.patience:
            raise error
        return wait
