"""The service: the state that all requests share."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass, field

from fastapi import Request

from fanin import FileLayout
from fanin.backends import Backend
from fanin_service.admission.admission import Admission
from fanin_service.artifacts.artifacts import Artifacts
from fanin_service.backend.guard import GuardedBackend, NotReadyError, choose
from fanin_service.http import query
from fanin_service.http.ranges import ByteRange
from fanin_service.http.streaming import ChunkPool
from fanin_service.models.loading import open_store
from fanin_service.models.models import Models
from fanin_service.recipe_reader import RecipeReader
from fanin_service.recipes.digests import Manifests
from fanin_service.settings import Settings
from fanin_service.shared_cache import Kept
from fanin_service.telemetry.metrics import Metrics
from fanin_service.telemetry.tracing import NoTracing, Tracing, exporting
from fanin_service.threads import Threads

_log = logging.getLogger(__name__)

DESCRIPTION_BYTES = 32 << 20
"""Maximum bytes of cached descriptions."""
SMALL_BODIES_BYTES, _PER_BODY = 8 << 20, 500
"""Maximum bytes of cached small bodies, and bytes that one takes besides its content. More would leave the CPU's cache.
"""
PROMPT_TENSORS = 16
"""Maximum number of tensors in a response that is generated in the event loop: each takes some microseconds."""
_RETRY_SECONDS = 5


def _bodies() -> Kept[tuple[str, int, int], memoryview]:
    return Kept(max_bytes=SMALL_BODIES_BYTES)


@dataclass(slots=True)
class Service:
    """One running service."""

    settings: Settings
    backend: GuardedBackend
    threads: Threads
    metrics: Metrics
    tracing: Tracing
    admission: Admission
    recipes: RecipeReader
    models: Models
    manifests: Manifests
    chunks: ChunkPool
    artifacts: Artifacts
    descriptions: Kept[str, bytes] = field(default_factory=lambda: Kept(max_bytes=DESCRIPTION_BYTES))
    """Descriptions of recipes as JSON, by digest."""
    small_bodies: Kept[tuple[str, int, int], memoryview] = field(default_factory=_bodies)
    """Small parts of files, by digest of the recipe, start and stop."""
    is_draining: bool = False
    """The process has received a signal to stop. It still serves requests, but load balancers should send it no more.
    """

    @classmethod
    def start(cls, settings: Settings, backend: Backend | None = None) -> Service:
        """Return a service with these settings. `backend` replaces the one that they name.

        Raises:
            BackendError: the backend of the settings is unknown, unusable here or generates wrong bits.
            SettingsError: the directory of models or a destination of artifacts cannot be used.
        """
        guarded = GuardedBackend(backend or choose(settings), settings.check_seconds)
        threads, metrics = Threads.start(settings), Metrics(guarded.name)
        metrics.threads(threads.count)
        tracing = exporting() if settings.traces else NoTracing()
        admission = Admission(settings, metrics.limits_away)
        query.prepare()
        service = cls(
            settings,
            guarded,
            threads,
            metrics,
            tracing,
            admission,
            recipes=RecipeReader.of(settings, threads, admission, metrics, tracing),
            models=Models(open_store(settings), settings, threads, admission.count_more),
            manifests=Manifests(guarded),
            chunks=ChunkPool(guarded, metrics.generated),
            artifacts=Artifacts(settings, threads, admission, guarded, metrics),
        )
        service.artifacts.check_backend = service.check_backend
        return service

    async def stop(self) -> None:
        """Stop writing artifacts, finish pending refunds and send the remaining traces."""
        await self.artifacts.close()
        await self.admission.close()
        self.tracing.close()

    @property
    def ready(self) -> bool:
        """True if the backend has passed its known-answer test recently and the process has no signal to stop."""
        return self.backend.fault is None and not self.is_draining

    def drain(self) -> None:
        """Report the service as not ready from now on."""
        self.is_draining = True
        self.metrics.ready(False)
        self.artifacts.drain()
        _log.info("stopping: no longer ready")

    async def check_backend(self) -> None:
        """Test the backend, and record in the metrics whether the service is ready.

        If it fails, discard what it has generated, and complete no artifact that is being written.
        """
        fault = await self.threads.generators.run("", self.backend.test)
        if fault:
            self._forget()
            self.artifacts.suspect()
        self.metrics.known_answer(fault is None)
        self.metrics.ready(self.ready)
        if fault := self.backend.fault or fault:
            _log.error("%s: no weights are served", fault)

    def _forget(self) -> None:
        """Discard what may have come from wrong bits: digests and bodies."""
        self.manifests.forget()
        self.small_bodies = _bodies()

    async def watch_backend(self) -> None:
        """Test the backend at every interval, and at once after it has failed."""
        loop, failed = asyncio.get_running_loop(), asyncio.Event()

        def note_failure() -> None:
            self._forget()  # here, since a test that runs now may pass before `check_backend` sees the fault
            failed.set()

        def wake() -> None:
            with suppress(RuntimeError):  # the service has stopped
                loop.call_soon_threadsafe(note_failure)

        self.backend.on_failure = wake
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(failed.wait(), self.settings.check_seconds)
            failed.clear()
            was_ready = self.ready
            await self.check_backend()
            if self.ready and not was_ready:
                _log.warning("the %s backend passes its known-answer test again", self.backend.name)

    def require_ready(self) -> None:
        """Refuse to generate unless the backend is trusted.

        Raises:
            NotReadyError: the bits might be wrong, and caches would keep them for a year.
        """
        if fault := self.backend.fault:
            # Retry before the next test may be due: other replicas may serve the same address.
            raise NotReadyError(fault, min(self.settings.check_seconds, _RETRY_SECONDS))

    def is_prompt(self, layout: FileLayout, part: ByteRange) -> bool:
        """Return whether generating this part takes less time than handing it to a thread."""
        start, stop = part.start, part.stop
        return (
            stop - start <= self.backend.prompt_bytes
            and not layout.has_matrix(start, stop)
            and not layout.has_composed(start, stop)
            and layout.tensors_in(start, stop) <= PROMPT_TENSORS
        )

    def small_body(self, client: str, layout: FileLayout, part: ByteRange) -> memoryview:
        """Return a small, prompt part of a file, from memory or generated here.

        The backend must be trusted: see `require_ready`.
        """
        key = layout.recipe.digest, part.start, part.stop
        body = self.small_bodies.get(key)
        if body is None:
            body = self.chunks.generate_small(layout, part.start, part.stop)
            self.small_bodies.add(key, body, len(body) + _PER_BODY, client)
        return body

    def generate(self, client: str, layout: FileLayout, start: int, stop: int) -> asyncio.Future[memoryview]:
        """Generate bytes [start, stop) of a file, at most one chunk, in a thread. Return a future of them."""
        return self.threads.makers(layout, start, stop).run(client, self.chunks.generate, layout, start, stop)


def service_of(request: Request) -> Service:
    """Return the service that received a request.

    It is not a dependency of FastAPI, since resolving one takes a tenth of the time of a small request.
    """
    service: Service = request.app.state.service
    return service
