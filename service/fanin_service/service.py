"""The service: what every request shares."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeVar, TypeVarTuple

from fastapi import Request

from fanin import FileLayout, RecipeError
from fanin_service.admission.middleware import Admission, whose
from fanin_service.backend.guard import GuardedBackend
from fanin_service.fair_executor import FairExecutor
from fanin_service.http import query
from fanin_service.http.bodies import JSON, read_body
from fanin_service.http.problems import NotReadyError, UnknownRecipeError
from fanin_service.models.models import Models
from fanin_service.recipes import limits
from fanin_service.recipes.digests import Manifests
from fanin_service.recipes.disk import RecipeStore
from fanin_service.recipes.limits import Checked
from fanin_service.recipes.memory import Registry, layout_bytes
from fanin_service.settings import Settings
from fanin_service.shared_cache import Kept
from fanin_service.telemetry.metrics import Metrics
from fanin_service.telemetry.request import current
from fanin_service.telemetry.tracing import NoTracing, Tracing, exporting

MODEL_READERS = 8
"""Threads that wait for the model store."""
LARGE_READERS = 1
"""Threads for large recipes. They run Python, which one thread at a time does: more would only delay the event loop."""
MATRIX_MAKERS = 2
"""Threads for parts of matrices, and so matrices in the making: each takes all CPUs, and memory."""

_log = logging.getLogger(__name__)

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
_RETRY_SECONDS = 5
_SHORT = 64 << 10
"""Bytes of a body that is looked up before it is read: a few of them may spell 100,000 tensors."""
SPELLING_BYTES, _PER_SPELLING = 1 << 20, 500
DESCRIPTION_BYTES = 32 << 20
"""Of descriptions that are remembered."""
QUERIES, QUERY_BYTES = 1024, 16 << 20
"""Bounds of the query strings whose layouts are kept."""


@dataclass(slots=True)
class Service:
    """One running service. Recipes have threads of their own: a large one must not hold up a stream."""

    settings: Settings
    backend: GuardedBackend
    registry: Registry[str]
    models: Models
    store: RecipeStore | None = None
    """Behind the registry, where there is one."""
    is_draining: bool = False
    """The process is told to end: it serves, and should be sent no more."""
    queries: Registry[bytes] = field(init=False)
    """Layouts by query string."""
    spellings: Kept[bytes, str] = field(init=False)
    """Digests of recipes by SHA-256 of the short bodies that spelled them."""
    descriptions: Kept[str, bytes] = field(init=False)
    """What recipes amount to, as JSON, by digest."""
    manifests: Manifests = field(init=False)
    metrics: Metrics = field(init=False)
    admission: Admission = field(init=False)
    tracing: Tracing = field(init=False)
    parsers: FairExecutor = field(init=False)
    large: FairExecutor = field(init=False)
    generators: FairExecutor = field(init=False)
    matrix_makers: FairExecutor = field(init=False)
    """Clients take turns at all of these."""

    def __post_init__(self) -> None:
        self.queries = Registry[bytes](max_recipes=QUERIES, max_bytes=QUERY_BYTES)
        self.spellings = Kept(max_bytes=SPELLING_BYTES)
        self.descriptions = Kept(max_bytes=DESCRIPTION_BYTES)
        self.manifests = Manifests(self.backend)
        self.metrics = Metrics(self.backend.name)
        self.admission = Admission(self.settings, self.metrics)
        self.tracing = exporting() if self.settings.traces else NoTracing()

    @contextmanager
    def threads(self) -> Iterator[None]:
        """The service's threads, as long as it runs: as many of each kind as there are CPUs for this process."""
        count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self.parsers = FairExecutor(count, "fanin-parse", whose)
        self.models.workers = self.large = FairExecutor(LARGE_READERS, "fanin-large", whose)
        self.generators = FairExecutor(count, "fanin-generate", whose)
        self.matrix_makers = FairExecutor(MATRIX_MAKERS, "fanin-matrix", whose)
        self.models.executor = model_readers = FairExecutor(MODEL_READERS, "fanin-models", whose)
        self.metrics.threads(count)
        try:
            yield
        finally:
            for executor in (self.parsers, self.large, self.generators, self.matrix_makers, model_readers):
                executor.shutdown(wait=False, cancel_futures=True)

    def makers(self, layout: FileLayout, start: int, stop: int) -> Executor:
        """The threads for bytes [start, stop) of a file.

        A matrix takes seconds, and its parts wait for it: in threads of their own they hold up no other tensor.
        """
        return self.matrix_makers if layout.has_matrix(start, stop) else self.generators

    @property
    def ready(self) -> bool:
        """The backend has passed its known-answer test, lately, and the service is to go on."""
        return self.backend.fault is None and not self.is_draining

    def drain(self) -> None:
        """Be ready no more."""
        self.is_draining = True
        self.metrics.ready(False)
        _log.info("told to stop: not ready any more")

    async def check_backend(self) -> None:
        """Find out whether the service is ready."""
        await in_thread(self.generators, self.backend.test)
        self.metrics.known_answer(self.backend.fault is None)
        self.metrics.ready(self.ready)
        if fault := self.backend.fault:
            # They may be of wrong bits.
            self.manifests.forget()
            _log.error("%s: no weights are served", fault)

    async def watch_backend(self) -> None:
        """Check the backend at every interval, and at once when it failed."""
        loop, failed = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            with suppress(RuntimeError):  # the service has stopped
                loop.call_soon_threadsafe(failed.set)

        self.backend.on_failure = wake
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(failed.wait(), self.settings.check_seconds)
            failed.clear()
            was_ready = self.ready
            await self.check_backend()
            if self.ready and not was_ready:
                _log.warning("the %s backend passes its known-answer test again", self.backend.name)

    async def layout_of_query(self, text: bytes) -> FileLayout:
        """The layout of the tensor that a query string spells.

        It is not registered: the query says it all, and a sweep over seeds would push out other recipes. One tensor
        is read in about the time that handing it to a thread takes, unless it has a table.

        Raises:
            RecipeError: it spells no tensor, or one that exceeds a limit.
        """
        layout = self.queries.get(text)
        if layout is None:
            with self.tracing.span("parse"):
                document = query.parse(text)
                if limits.laws_of(document) == 1:
                    layout = limits.layout_of(document, self.settings)
                else:
                    layout = await in_thread(self.parsers, limits.layout_of, document, self.settings)
            self.queries.add(text, layout, whose())
        current().recipe = layout.recipe.digest
        return layout

    async def register(self, request: Request) -> tuple[FileLayout, bool]:
        """Remember the recipe that this request's body spells: its layout, and whether it is new here.

        Raises:
            RecipeError: it is not a recipe, or exceeds a limit.
            RequestError: the body is not taken, or too much is under way.
        """
        text = await read_body(request, (JSON,), self.settings.max_recipe_bytes, self.admission.hold)
        key = hashlib.sha256(text).digest() if len(text) <= _SHORT else None
        known = self.registry.get(self.spellings.get(key) or "") if key and self.store is None else None
        if known is not None:
            self.admission.release()
            current().recipe = known.recipe.digest
            return known, False
        with self.tracing.span("parse"):
            found = await in_thread(self.parsers, self._read, text)
            if isinstance(found, Checked):
                # What it will take is held before it is made.
                self.admission.hold(limits.MAKING_BYTES * found.tensors)
                found = await in_thread(self.large, self._read_and_store, found)
        self.admission.release()
        layout, is_new, size = found
        current().recipe = layout.recipe.digest
        if key:
            self.spellings.add(key, layout.recipe.digest, _PER_SPELLING, whose())
        return layout, self._remember(layout, size) and is_new

    def _remember(self, layout: FileLayout, size: int) -> bool:
        is_new = self.registry.add(layout.recipe.digest, layout, whose(), size)
        self.metrics.recipes(len(self.registry))
        return is_new

    def _read(self, text: bytes) -> Checked | tuple[FileLayout, bool, int]:
        """As `_read_and_store`; of a large recipe only what it will cost."""
        checked = limits.check(text, self.settings)
        return checked if checked.is_large else self._read_and_store(checked)

    def _read_and_store(self, checked: Checked) -> tuple[FileLayout, bool, int]:
        """The layout, whether the store had no such recipe, and the bytes of memory that the layout takes."""
        layout = limits.layout_of(checked, self.settings)
        recipe = layout.recipe
        is_new = self.store is None or self.store.add(recipe.digest, recipe.canonical)
        return layout, is_new, layout_bytes(layout)

    async def layout(self, digest: str) -> FileLayout:
        """The layout of a registered recipe.

        Raises:
            UnknownRecipeError: it is not registered.
        """
        layout = self.registry.get(digest)
        if layout is None and self.store is not None:
            stored = await in_thread(self.parsers, self._stored, self.store, digest)
            if isinstance(stored, Checked):
                self.admission.hold(limits.MAKING_BYTES * stored.tensors)
                stored = await in_thread(self.large, self._made, stored)
                self.admission.release()
            if stored is not None:
                layout, size = stored
                self._remember(layout, size)
        if layout is None:
            raise UnknownRecipeError(
                "this digest is unknown, or was forgotten: POST the recipe to /v1/recipes, then repeat"
            )
        current().recipe = digest
        return layout

    def _stored(self, store: RecipeStore, digest: str) -> Checked | tuple[FileLayout, int] | None:
        """As `_made`, of what the store has; of a large recipe only what it will cost."""
        text = store.get(digest)
        try:
            checked = None if text is None else limits.check(text, self.settings)
        except RecipeError:
            return None
        return checked if checked is None or checked.is_large else self._made(checked)

    def _made(self, checked: Checked) -> tuple[FileLayout, int] | None:
        """A layout, and the bytes of memory that it takes."""
        try:
            layout = limits.layout_of(checked, self.settings)
        except RecipeError:
            # Another version of this service, or one with other limits, has put it there: a POST will tell why.
            return None
        return layout, layout_bytes(layout)

    def require_ready(self) -> None:
        """Before anything is generated.

        Raises:
            NotReadyError: the bits would be wrong, and caches would keep them for a year.
        """
        if fault := self.backend.fault:
            # Sooner than the next test may be due: behind one address there may be other replicas.
            raise NotReadyError(fault, min(self.settings.check_seconds, _RETRY_SECONDS))


async def in_thread(executor: Executor, function: Callable[[*Ts], T], *arguments: *Ts) -> T:
    """Run `function` there, without blocking the event loop."""
    return await asyncio.get_running_loop().run_in_executor(executor, function, *arguments)


def service_of(request: Request) -> Service:
    """The service a request came to. (A dependency of FastAPI's would cost a small request a tenth of its time.)"""
    service: Service = request.app.state.service
    return service
