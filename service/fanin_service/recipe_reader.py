"""Recipes of requests: read from bodies, queries and digests, checked against the limits, and registered."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import partial

from fastapi import Request

from fanin import FileLayout, RecipeError
from fanin_service.admission.admission import Admission
from fanin_service.context import RequestContext
from fanin_service.http import query
from fanin_service.http.bodies import JSON, read_body
from fanin_service.recipes import limits
from fanin_service.recipes.disk import RecipeStore
from fanin_service.recipes.errors import UnknownRecipeError
from fanin_service.recipes.limits import Checked
from fanin_service.recipes.memory import layout_bytes
from fanin_service.settings import Settings
from fanin_service.shared_cache import Kept
from fanin_service.telemetry.metrics import Metrics
from fanin_service.telemetry.tracing import Tracing
from fanin_service.threads import Threads

SPELLING_BYTES, _PER_SPELLING = 1 << 20, 500
"""Maximum bytes of cached digests of bodies, and bytes that one takes."""
_MAX_SPELLING = 64 << 10
"""Maximum bytes of a body that is looked up before it is read: even a short one can describe 100,000 tensors."""
QUERIES, QUERY_BYTES = 1024, 16 << 20
"""Maximum number and bytes of layouts that are cached by query string."""


@dataclass(slots=True)
class RecipeReader:
    """Layouts of recipes, cached in memory and, if there is a store, on disk."""

    settings: Settings
    threads: Threads
    admission: Admission
    metrics: Metrics
    tracing: Tracing
    registry: Kept[str, FileLayout]
    """Layouts of registered recipes by digest. Any may be discarded: clients then send the recipe again."""
    store: RecipeStore | None
    """The store on disk behind the registry, if there is one."""
    queries: Kept[bytes, FileLayout] = field(default_factory=lambda: Kept(max_count=QUERIES, max_bytes=QUERY_BYTES))
    """Layouts by query string."""
    spellings: Kept[bytes, str] = field(default_factory=lambda: Kept(max_bytes=SPELLING_BYTES))
    """Digests of recipes, by SHA-256 of the short bodies that express them."""

    @classmethod
    def of(
        cls, settings: Settings, threads: Threads, admission: Admission, metrics: Metrics, tracing: Tracing
    ) -> RecipeReader:
        """Return a reader with the registry and the store that the settings describe."""
        registry = Kept[str, FileLayout](max_count=settings.registry_recipes, max_bytes=settings.registry_bytes)
        store = None
        if settings.recipe_store:
            bounds = {"max_recipes": settings.recipe_store_recipes, "max_bytes": settings.recipe_store_bytes}
            store = RecipeStore(settings.recipe_store, **bounds)
        return cls(settings, threads, admission, metrics, tracing, registry, store)

    async def of_query(self, context: RequestContext) -> FileLayout:
        """Return the layout of the tensor that the request's query describes.

        It is not registered. The query has all information, and a sweep over seeds would push other recipes out of the
        registry. Reading one tensor takes about as long as handing it to a thread, unless it has a table.

        Raises:
            RecipeError: the query describes no tensor.
            LimitExceededError: the tensor exceeds a limit.
            TooManyRequestsError: the client has read too many large recipes in this minute.
        """
        layout = self.queries.get(context.query)
        if layout is None:
            with self.tracing.span("parse"):
                checked = limits.check(query.parse(context.query), self.settings)
                if checked.distributions == 1:
                    layout = limits.layout_of(checked, self.settings)
                else:
                    await self.admission.count_work(context.usage, checked.work)
                    executor = self.threads.large if checked.is_large else self.threads.parsers
                    layout = await executor.run(context.client, limits.layout_of, checked, self.settings)
            size = len(context.query) + layout_bytes(layout)
            self.queries.add(context.query, layout, size, context.client)
        context.recipe = layout.recipe.digest
        return layout

    async def of_body(self, context: RequestContext, request: Request) -> tuple[FileLayout, bool]:
        """Register the recipe in the request's body. Return its layout, and whether it is new here.

        Raises:
            RecipeError: the body is not a recipe.
            LimitExceededError: the recipe exceeds a limit.
            RequestError: the body is not accepted, or too much is in flight.
        """
        hold = partial(self.admission.hold, context.usage)
        text = await read_body(request, (JSON,), self.settings.max_recipe_bytes, hold)
        return await self.of_text(context, text)

    async def of_text(self, context: RequestContext, text: bytes) -> tuple[FileLayout, bool]:
        """Register the recipe in this JSON. Return its layout, and whether it is new here.

        The memory that is held for the request is released: the text must not be needed any more.

        Raises:
            RecipeError: the text is not a recipe.
            LimitExceededError: the recipe exceeds a limit.
            RequestError: too much is in flight.
        """
        admission, usage, client = self.admission, context.usage, context.client
        key = hashlib.sha256(text).digest() if len(text) <= _MAX_SPELLING else None
        known = self.registry.get(self.spellings.get(key) or "") if key else None
        if known is not None:
            admission.release(usage)
            recipe = known.recipe
            context.recipe = recipe.digest
            if self.store is not None:
                # The store may have deleted the recipe, and it is the only place where other processes find it.
                await self.threads.parsers.run(client, self.store.add, recipe.digest, recipe.canonical)
            return known, False
        with self.tracing.span("parse"):
            found = await self.threads.parsers.run(client, self._read, text)
            if isinstance(found, Checked):
                # Reserve the memory before the recipe is read: a refusal afterwards would not protect the process.
                admission.hold(usage, limits.MAKING_BYTES * found.tensors)
                await admission.count_work(usage, found.work)
                found = await self.threads.large.run(client, self._read_and_store, found)
        admission.release(usage)
        layout, is_new, size = found
        context.recipe = layout.recipe.digest
        if key:
            self.spellings.add(key, layout.recipe.digest, _PER_SPELLING, client)
        return layout, self._remember(client, layout, size) and is_new

    async def of_digest(self, context: RequestContext, digest: str) -> FileLayout:
        """Return the layout of a registered recipe.

        Raises:
            UnknownRecipeError: the recipe is not registered.
        """
        layout = self.registry.get(digest)
        if layout is None and self.store is not None:
            layout = await self._of_store(context, self.store, digest)
        if layout is None:
            raise UnknownRecipeError(
                "this digest is not registered, or no longer: POST the recipe to /v1/recipes, then repeat the request"
            )
        context.recipe = digest
        return layout

    async def _of_store(self, context: RequestContext, store: RecipeStore, digest: str) -> FileLayout | None:
        stored = await self.threads.parsers.run(context.client, self._stored, store, digest)
        if isinstance(stored, Checked):
            self.admission.hold(context.usage, limits.MAKING_BYTES * stored.tensors)
            await self.admission.count_work(context.usage, stored.work)
            stored = await self.threads.large.run(context.client, self._made, stored)
            self.admission.release(context.usage)
        if stored is None:
            return None
        layout, size = stored
        self._remember(context.client, layout, size)
        return layout

    def _remember(self, client: str, layout: FileLayout, size: int) -> bool:
        is_new = self.registry.add(layout.recipe.digest, layout, size, client)
        self.metrics.recipes(len(self.registry))
        return is_new

    def _read(self, text: bytes) -> Checked | tuple[FileLayout, bool, int]:
        """Read and store a small recipe; return only the cost of a large one, which runs in another thread."""
        checked = limits.check(text, self.settings)
        return checked if checked.is_large else self._read_and_store(checked)

    def _read_and_store(self, checked: Checked) -> tuple[FileLayout, bool, int]:
        """Return the layout, whether the recipe is new in the store, and the bytes of memory that the layout takes."""
        layout = limits.layout_of(checked, self.settings)
        recipe = layout.recipe
        is_new = self.store is None or self.store.add(recipe.digest, recipe.canonical)
        return layout, is_new, layout_bytes(layout)

    def _stored(self, store: RecipeStore, digest: str) -> Checked | tuple[FileLayout, int] | None:
        """Return the layout of a stored recipe and its bytes of memory; of a large recipe only its cost.

        None if the store has no such recipe, or one that is not accepted here.
        """
        text = store.get(digest)
        try:
            checked = None if text is None else limits.check(text, self.settings)
        except RecipeError:
            return None
        return checked if checked is None or checked.is_large else self._made(checked)

    def _made(self, checked: Checked) -> tuple[FileLayout, int] | None:
        """Return a layout and the bytes of memory that it takes; None if the recipe is not accepted."""
        try:
            layout = limits.layout_of(checked, self.settings)
        except RecipeError:
            # Another version of this service, or one with other limits, has stored the recipe. The client must POST it,
            # and the response to that gives the reason.
            return None
        return layout, layout_bytes(layout)
