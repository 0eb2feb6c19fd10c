"""Artifacts: the operations of requests on them, and the jobs of this process.

The state of an artifact is in its destination. So any replica can return it, and a restart loses nothing: the same
request resumes where the process ended.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Coroutine
from typing import Any

from fanin import BackendError, Fault
from fanin.artifact import Plan
from fanin.artifact.plan import SHARD_BYTES
from fanin.errors import FaninError, MissingPackageError, shown
from fanin_service.admission.admission import Admission, Usage
from fanin_service.artifacts.capacity import Capacity
from fanin_service.artifacts.engine import FairThreads
from fanin_service.artifacts.errors import ArtifactStateError, InvalidArtifactError, UnknownArtifactError
from fanin_service.artifacts.found import Found, read
from fanin_service.artifacts.job import Job
from fanin_service.artifacts.journal import Facts, Journal, State, mark_of
from fanin_service.artifacts.looks import Looks
from fanin_service.artifacts.opening import open_cluster, open_destinations, place_of
from fanin_service.artifacts.outcome import COMPLETE, SPOILED, Outcome, outcome_of
from fanin_service.artifacts.outlines import Outlines
from fanin_service.artifacts.reach import Reach, reason
from fanin_service.artifacts.specification import Specification
from fanin_service.backend.guard import GuardedBackend, NotReadyError
from fanin_service.recipes.memory import recipe_bytes
from fanin_service.settings import Settings
from fanin_service.telemetry.metrics import Metrics
from fanin_service.threads import Threads

_PER_TENSOR = 32
"""Bytes of a tensor in a plan, besides those in its recipe."""
_ID = re.compile("[0-9a-f]{64}")
_log = logging.getLogger(__name__)


class Artifacts:
    """The artifacts of one service. Only the event loop's thread uses it."""

    def __init__(
        self, settings: Settings, threads: Threads, admission: Admission, backend: GuardedBackend, metrics: Metrics
    ) -> None:
        """
        Raises:
            SettingsError: a destination or the cluster cannot be used.
        """
        self._settings, self._threads, self._admission = settings, threads, admission
        self._backend, self._metrics = backend, metrics
        self._roots = open_destinations(settings)
        """Destinations with all their artifacts, by alias."""
        self._reach = {alias: Reach(alias, threads.destinations[alias]) for alias in self._roots}
        self._cluster = open_cluster(settings)
        self._jobs: dict[str, Job] = {}
        """Jobs by the id of their artifact."""
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._capacity = Capacity(settings, self._jobs)
        self._outlines = Outlines()
        self._looks = Looks[Found | None]()
        self.check_backend: Callable[[], Coroutine[Any, Any, None]]
        """Tests the backend, and calls `suspect` if it fails. The service sets it."""
        self._is_draining = False

    def check_alias(self, alias: str) -> None:
        """Check that a destination has this alias.

        Raises:
            InvalidArtifactError: none has.
        """
        if alias not in self._roots:
            known = ", ".join(sorted(self._roots)) or "none"
            detail = f"no destination has this alias; this service has: {known}"
            raise InvalidArtifactError([Fault("/destination", detail, shown(alias))])

    async def find(self, client: str, alias: str, id: str) -> Found:
        """Return the state of an artifact, from its destination.

        Raises:
            UnknownArtifactError: the service has no such destination, or that no such artifact.
            DestinationUnavailableError: the destination cannot be read.
            ArtifactError: its objects of the artifact are damaged.
        """
        found = await self._find(client, alias, id) if alias in self._roots and _ID.fullmatch(id) else None
        if found is None:
            raise UnknownArtifactError("no artifact with this id was requested for this destination")
        return found

    async def _find(self, client: str, alias: str, id: str) -> Found | None:
        reach, root = self._reach[alias], self._roots[alias]
        arguments = client, root, alias, id, self._outlines, reach.reading
        return await self._looks.at((alias, id), lambda: reach.call(client, read, *arguments))

    async def make(self, usage: Usage, owner: str, specification: Specification) -> Found:
        """Begin to write an artifact, or resume, unless it is complete. Return its state.

        `usage` is that of the request; its client is charged. `owner` is the client that may cancel. A destination must
        have the alias of the specification.

        Raises:
            InvalidArtifactError: the artifact is not possible.
            ArtifactStateError: the artifact cannot be completed.
            TooMuchInFlightError: too many artifacts are being written for this client.
            OverloadedError: too many artifacts are being written.
            LimitExceededError: the artifact has more bytes than the client gets in a day.
            QuotaExceededError: the artifact has more bytes than the client has left today.
            LimitsUnavailableError: the shared counters are unreachable.
            DestinationUnavailableError: the destination cannot be read or written.
            NotReadyError: the service is stopping.
        """
        client, alias, id = usage.client, specification.destination, specification.id
        found = await self._find(client, alias, id)
        if found is not None and found.state == "complete":
            return found
        if self._is_draining:
            raise NotReadyError("the service is stopping")
        with self._capacity.starting(client, id) as start:
            if (same := self._jobs.get(id)) is not None:
                plan, size = same.plan, same.size
            else:
                plan, size = await self._threads.large.run(client, _planned, specification)
            self._capacity.reserve(start, size)
            left = plan.nbytes - (0 if found is None else found.bytes_done)
            others = sum(job.left for job in self._jobs.values() if job.id != id and job.client == client)
            await self._admission.afford(usage, left, others)
            mark = mark_of(id, owner)
            facts = Facts(
                recipe=specification.recipe.digest,
                format=specification.format,
                shard_bytes=specification.shard_bytes,
                items=len(plan),
                bytes=plan.nbytes,
            )
            first = State(facts=facts, state="stopped")
            journal = Journal(self._roots[alias], id)
            await self._reach[alias].call(client, journal.update, lambda state: state.ordered(mark), first)
            if self._is_draining:
                raise NotReadyError("the service is stopping")
            payer = Usage(client=client, bytes_per_day=usage.bytes_per_day)
            if (job := self._jobs.get(id)) is not None:
                job.join(mark, payer)
            else:
                place, loop = place_of(self._roots[alias], id), asyncio.get_running_loop()
                self._outlines.learn(client, place, plan)
                charge, report = self._admission.charge, self._metrics.artifact_file_begins
                job = self._jobs[id] = Job(id, plan, place, journal, charge, report, loop, size, {mark: payer}, left)
                self._tasks[id] = asyncio.create_task(self._run(alias, job))
        return await self.find(client, alias, id)

    async def cancel(self, client: str, owner: str, alias: str, id: str) -> Found:
        """Cancel an artifact for a client. Others that requested it get it. Its files remain.

        Raises:
            UnknownArtifactError: the service has no such destination, or that no such artifact.
            ArtifactStateError: the artifact is complete.
            DestinationUnavailableError: the destination cannot be read or written.
        """
        found = await self.find(client, alias, id)
        if found.state == "complete":
            raise ArtifactStateError("this artifact is complete; the service deletes nothing")
        mark, journal = mark_of(id, owner), Journal(self._roots[alias], id)
        await self._reach[alias].call(client, journal.update, lambda state: state.cancelled(mark))
        if (job := self._jobs.get(id)) is not None:
            job.looked = 0.0
        return await self.find(client, alias, id)

    def drain(self) -> None:
        """Begin no file any more: those that are being written end."""
        self._is_draining = True
        for job in self._jobs.values():
            job.is_draining = True

    def halt(self) -> None:
        """Leave also the files that are being written. Safe in a signal handler."""
        for job in [*self._jobs.values()]:
            job.is_draining = job.is_halted = True

    async def close(self) -> None:
        """Stop all jobs. Files that are being written get the time that responses have to end."""
        self.drain()
        for seconds in (self._settings.shutdown_seconds, None):
            if tasks := [*self._tasks.values()]:
                await asyncio.wait(tasks, timeout=seconds)
            self.halt()
        if self._cluster is not None:
            await self._threads.drivers.run("", self._cluster.close)

    def suspect(self) -> None:
        """Complete none of the artifacts being written: the backend has failed, so their bytes may be wrong."""
        for job in self._jobs.values():
            job.is_suspect = True

    async def _run(self, alias: str, job: Job) -> None:
        """Write an artifact, and record in its journal how that ended."""
        client = next(iter(job.payers.values())).client
        self._metrics.artifact_begins()
        _log.info("artifact %s: writing %d bytes in %d files in %s", job.id, job.plan.nbytes, len(job.plan), alias)
        is_wanted, outcome, marks = True, None, set[str]()
        try:
            while is_wanted:
                # Without the clients that join during this round: they get another round.
                marks |= job.payers.keys()
                outcome = await self._outcome(alias, job, client)
                _log.info("artifact %s: %s%s", job.id, outcome.state, f", {outcome.problem}" if outcome.problem else "")
                await self._threads.drivers.run(client, outcome.record, job.journal, marks)
                # A client may have requested it again while files of the ended job were still being written, or may do
                # so during this look.
                is_wanted = False
                while job.is_joined and not is_wanted:
                    job.is_joined = False
                    is_wanted = await self._threads.drivers.run(client, job.is_wanted)
        except Exception as error:
            _log.error("artifact %s: its state was not recorded: %s", job.id, reason(error))
        finally:
            del self._jobs[job.id], self._tasks[job.id]
            self._metrics.artifact_ends("failed" if outcome is None else outcome.state)

    async def _outcome(self, alias: str, job: Job, client: str) -> Outcome:
        """Write an artifact, complete it if nothing prevents that, and return how it ended."""
        writers, count = self._threads.writers, self._settings.artifact_threads
        error: Exception | None = None
        try:
            engine = self._cluster or FairThreads(writers, count, self._backend, client, job.place)
            await self._threads.drivers.run(client, job.write, engine)
        except Exception as found:
            error = found
        is_suspicious = error is None or isinstance(error, BackendError) or self._backend.fault is not None
        if self._cluster is None and is_suspicious:
            # A backend that fails the test now may have generated wrong bits before.
            await self.check_backend()
            job.is_suspect = job.is_suspect or self._backend.fault is not None
        if job.is_suspect:
            return SPOILED
        if error is None:
            try:
                await self._threads.drivers.run(client, job.finish)
            except Exception as found:
                error = found
        return COMPLETE if error is None else outcome_of(error, job.id, alias)


def _planned(specification: Specification) -> tuple[Plan, int]:
    """Return the plan of an artifact, and the bytes of memory that it takes. Takes seconds for the largest recipes.

    Raises:
        InvalidArtifactError: the artifact is not possible.
    """
    try:
        plan = Plan.of(
            specification.recipe,
            format=specification.format,
            shard_bytes=specification.shard_bytes or SHARD_BYTES,
            files=specification.files,
            literals=specification.literals,
        )
    except MissingPackageError as error:
        raise InvalidArtifactError([Fault("/format", str(error), specification.format)]) from None
    except (ValueError, FaninError) as error:
        raise InvalidArtifactError([Fault("", str(error))]) from None
    recipe = plan.recipe
    texts = len(recipe.canonical) + sum(size for size, _ in plan.digests.values())
    return plan, texts + recipe_bytes(recipe) + _PER_TENSOR * len(recipe.tensors)
