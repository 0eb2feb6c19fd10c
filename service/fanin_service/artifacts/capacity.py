"""The number of artifacts that one process writes at a time, and the memory that they take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from fanin_service.admission.errors import OverloadedError, TooMuchInFlightError
from fanin_service.artifacts.job import Job
from fanin_service.settings import Settings

MAX_BYTES, _SHARE = 256 << 20, 4
"""Maximum bytes of memory of all jobs, and the fraction of it that is for one client. A client may always have one job.
"""
RETRY_SECONDS = 10
"""Seconds after which a client may request an artifact again, while too many are being written."""


@dataclass(eq=False)
class Start:
    """A request that is about to start a job."""

    client: str
    id: str
    size: int = 0
    """Bytes of memory of the job; 0 until they are known."""


class Capacity:
    """Jobs, and requests that are about to start one. Only the event loop's thread uses it."""

    def __init__(self, settings: Settings, jobs: Mapping[str, Job]) -> None:
        """`jobs` are those that run, by the id of their artifact. The caller changes them."""
        self._settings, self._jobs = settings, jobs
        self._starting: list[Start] = []

    @contextmanager
    def starting(self, client: str, id: str) -> Iterator[Start]:
        """Count a request as a job until the end of the block. A job that runs for the artifact takes no more room.

        Raises:
            TooMuchInFlightError: too many artifacts are being written for this client.
            OverloadedError: too many artifacts are being written.
        """
        own, everyone = self._others(client, id)
        limit, total = self._settings.client_artifacts, self._settings.max_artifacts
        if len(own) >= limit:
            raise TooMuchInFlightError(f"for this client, {limit} artifacts are being written", RETRY_SECONDS)
        if len(everyone) >= total:
            raise OverloadedError(f"{total} artifacts are being written", RETRY_SECONDS)
        start = Start(client, id)
        self._starting.append(start)
        try:
            yield start
        finally:
            self._starting.remove(start)

    def reserve(self, start: Start, size: int) -> None:
        """Reserve memory for the job of a request.

        Raises:
            TooMuchInFlightError: the artifacts of this client would take too much.
            OverloadedError: all artifacts would take too much.
        """
        own, everyone = (sum(sizes.values()) for sizes in self._others(start.client, start.id))
        memory = f"their plans and files take memory, and this one needs {size} more bytes of it"
        if own and own + size > MAX_BYTES // _SHARE:
            raise TooMuchInFlightError(f"artifacts are being written for this client; {memory}", RETRY_SECONDS)
        if everyone and everyone + size > MAX_BYTES:
            raise OverloadedError(f"artifacts are being written; {memory}", RETRY_SECONDS)
        start.size = size

    def _others(self, client: str, id: str) -> tuple[dict[str, int], dict[str, int]]:
        """Return the bytes of the other artifacts of a client, and of all other artifacts, by their ids."""
        starting = [start for start in self._starting if start.id != id]
        jobs = [job for job in self._jobs.values() if job.id != id]
        everyone = {start.id: start.size for start in starting} | {job.id: job.size for job in jobs}
        own = {start.id for start in starting if start.client == client}
        own |= {job.id for job in jobs if client in {payer.client for payer in job.payers.copy().values()}}
        return {other: everyone[other] for other in own}, everyone
