"""A job: this process writes one artifact, until it is complete or a reason to stop appears."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from fanin.artifact import Manifest, Plan, Progress
from fanin.artifact.destinations.base import Destination
from fanin.artifact.engines import Engine
from fanin.artifact.finishing import finish
from fanin.artifact.plan import begin
from fanin.artifact.progress import Tally
from fanin.artifact.survey import survey
from fanin.artifact.writing import record_key, write
from fanin.errors import ArtifactError
from fanin_service.admission.admission import Usage
from fanin_service.admission.errors import QuotaExceededError
from fanin_service.artifacts.journal import Journal

LOOK_SECONDS = 1.0
"""Seconds between two looks at the journal, for example whether the artifact was cancelled."""

LEAVE_SECONDS = 60.0
"""Seconds after which a file that no client wants any more is left unfinished. A file can take days."""

Charge = Callable[[Usage, int], Coroutine[Any, Any, None]]
"""Charges a client for bytes that are generated for it."""


class JobStoppedError(Exception):
    """The service stops, so the job does."""


class JobEndedError(Exception):
    """The artifact has a state in which no process writes it."""


@dataclass(eq=False)
class Job:
    """The work on an artifact. `write` and `finish` run in a thread; everything else, in the event loop's."""

    id: str
    plan: Plan
    place: Destination
    """Destination of this artifact alone."""
    journal: Journal
    charge: Charge
    report: Callable[[int], None]
    """Is called with the bytes of the tensors in each file before it is written."""
    loop: asyncio.AbstractEventLoop
    size: int = 0
    """Bytes of memory of the plan and the files in it."""
    payers: dict[str, Usage] = field(default_factory=dict)
    """Clients that want the artifact, by their marks in the journal. The first one is charged. Change it with the lock:
    the event loop adds clients, and the thread of the job removes them."""
    left: int = 0
    """Bytes of tensors that are to be generated and were not charged."""
    is_joined: bool = False
    """A client has requested the artifact since the job was begun, or begun again."""
    is_draining: bool = False
    """Begin no file any more."""
    is_halted: bool = False
    """Leave also the files that are being written."""
    is_suspect: bool = False
    """The backend has failed, so that files that were written may be wrong."""
    looked: float = 0.0
    """Time of the last look at the journal, by the monotonic clock."""
    unwanted_since: float | None = None
    """Time of the look that first found no client that wants the artifact; None while one does."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def client(self) -> str | None:
        """The client that is charged; None if no client wants the artifact any more."""
        payers = list(self.payers.values())
        return payers[0].client if payers else None

    def join(self, mark: str, usage: Usage) -> None:
        """Add a client that wants the artifact. The journal must have its mark already."""
        with self._lock:
            self.payers[mark] = usage
            self.is_joined, self.unwanted_since = True, None

    def is_wanted(self) -> bool:
        """Return whether a client still wants the artifact, by its journal. Forget the others, unless none does.

        Waits for the destination.
        """
        before = self.payers.copy()
        state = self.journal.newest()
        wanting = state.clients if state is not None and state.state == "writing" else ()
        with self._lock:
            # A client that has joined meanwhile is in a newer state than the one that was read.
            left = {
                mark: usage for mark, usage in self.payers.items() if mark in wanting or usage is not before.get(mark)
            }
            if left:
                self.payers = left
            return bool(left)

    def write(self, engine: Engine) -> None:
        """Write what is missing of the artifact.

        Raises:
            JobStoppedError: the service stops.
            JobEndedError: the journal has another state.
            QuotaExceededError: no client has bytes left today.
            LimitsUnavailableError: the shared counters are unreachable.
            BackendError: the backend failed.
            ArtifactError: the destination has other content.
            OSError: the destination cannot be read or written.
        """
        begin(self.plan, self.place)
        found = survey(self.plan, self.place)
        missing = [*found.missing()]
        # Begin anywhere: replicas that write one artifact at the same time then rarely write the same file.
        first = random.randrange(max(len(missing), 1))  # nosec B311 (no secret)
        numbers = missing[first:] + missing[:first]
        tally = Tally(self.plan, (), self._check)  # for the check alone: the state is that of the destination
        engine.run(write, self.plan, self.place.url, self._items(numbers), backend=None, tally=tally)

    def finish(self) -> Manifest:
        """Complete the artifact.

        Raises:
            JobEndedError: the journal has another state.
            ArtifactError: the destination has other content.
            OSError: the destination cannot be read or written.
        """
        self.looked = 0.0
        self._look()
        return finish(self.plan, self.place)

    def _items(self, numbers: list[int]) -> Iterator[int]:
        """Yield the items to write, each after it was charged."""
        arrangement = self.plan.arrangement
        for number in numbers:
            if self.is_draining:
                raise JobStoppedError
            self._look()
            if self.place.size(record_key(arrangement.name(number))) is None:
                self._charge(arrangement.nbytes(number))
                yield number

    def _look(self, seconds: float = 0.0) -> None:
        """Read the journal, if the last look was a while ago.

        Raises:
            JobEndedError: no client of this job has wanted the artifact for this time.
        """
        now = time.monotonic()
        if now >= self.looked + LOOK_SECONDS:
            self.looked = now
            if self.is_wanted():
                self.unwanted_since = None
            elif self.unwanted_since is None:
                self.unwanted_since = now
        if self.unwanted_since is not None and now >= self.unwanted_since + seconds:
            # It has ended or was cancelled, or other replicas write it for their clients.
            raise JobEndedError

    def _charge(self, size: int) -> None:
        """Charge the first client that can pay.

        Raises:
            QuotaExceededError: none can.
        """
        while True:
            usage = next(iter(self.payers.copy().values()))
            try:
                asyncio.run_coroutine_threadsafe(self.charge(usage, size), self.loop).result()
                self.left = max(0, self.left - size)
                return self.report(size)
            except QuotaExceededError:
                with self._lock:
                    left = {other: each for other, each in self.payers.items() if each is not usage}
                    if not left:
                        raise
                    self.payers = left

    def _check(self, _: Progress) -> None:
        if self.is_halted:
            raise JobStoppedError
        # An error of the destination, which may pass, must not end a file that is half written.
        with suppress(OSError, ArtifactError):
            self._look(LEAVE_SECONDS)
