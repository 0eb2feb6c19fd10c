"""Recipes of requests: read from bodies, queries and digests, within the limits, and registered."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

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
"""Bytes of cached digests of bodies, and of each."""
_MAX_SPELLING = 64 << 10
"""Bytes of a body that is looked up before it is read: a few of them may spell 100,000 tensors."""
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
    """Layouts of registered recipes by digest. Any may be lost: clients then send the recipe again."""
    store: RecipeStore | None
    """Behind the registry, if there is one."""
    queries: Kept[bytes, FileLayout] = field(default_factory=lambda: Kept(max_count=QUERIES, max_bytes=QUERY_BYTES))
    """Layouts by query string."""
    spellings: Kept[bytes, str] = field(default_factory=lambda: Kept(max_bytes=SPELLING_BYTES))
    """Digests of recipes by SHA-256 of the short bodies that spelled them."""

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
        """Return the layout of the tensor that the request's query spells.

        It is not registered: the query says it all, and a sweep over seeds would push out other recipes. One tensor
        is read in about the time that handing it to a thread takes, unless it has a table.

        Raises:
            RecipeError: the query spells no tensor, or one that exceeds a limit.
        """
        layout = self.queries.get(context.query)
        if layout is None:
            with self.tracing.span("parse"):
                document = query.parse(context.query)
                if limits.laws_of(document) == 1:
                    layout = limits.layout_of(document, self.settings)
                else:
                    layout = await self.threads.parsers.run(context.client, limits.layout_of, document, self.settings)
            size = len(context.query) + layout_bytes(layout)
            self.queries.add(context.query, layout, size, context.client)
        context.recipe = layout.recipe.digest
        return layout

    async def of_body(self, context: RequestContext, request: Request) -> tuple[FileLayout, bool]:
        """Register the recipe that the request's body spells; return its layout, and whether it is new here.

        Raises:
            RecipeError: it is not a recipe, or exceeds a limit.
            RequestError: the body is not accepted, or too much is in flight.
        """
        admission, usage, client = self.admission, context.usage, context.client
        text = await read_body(
            request, (JSON,), self.settings.max_recipe_bytes, lambda count: admission.hold(usage, count)
        )
        key = hashlib.sha256(text).digest() if len(text) <= _MAX_SPELLING else None
        known = self.registry.get(self.spellings.get(key) or "") if key else None
        if known is not None:
            admission.release(usage)
            recipe = known.recipe
            context.recipe = recipe.digest
            if self.store is not None:
                # The store may have deleted it, and other processes have it from there alone.
                await self.threads.parsers.run(client, self.store.add, recipe.digest, recipe.canonical)
            return known, False
        with self.tracing.span("parse"):
            found = await self.threads.parsers.run(client, self._read, text)
            if isinstance(found, Checked):
                # Its memory is held before it is read.
                admission.hold(usage, limits.MAKING_BYTES * found.tensors)
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
            UnknownRecipeError: it is not registered.
        """
        layout = self.registry.get(digest)
        if layout is None and self.store is not None:
            layout = await self._of_store(context, self.store, digest)
        if layout is None:
            raise UnknownRecipeError(
                "this digest is unknown, or was forgotten: POST the recipe to /v1/recipes, then repeat"
            )
        context.recipe = digest
        return layout

    async def _of_store(self, context: RequestContext, store: RecipeStore, digest: str) -> FileLayout | None:
        stored = await self.threads.parsers.run(context.client, self._stored, store, digest)
        if isinstance(stored, Checked):
            self.admission.hold(context.usage, limits.MAKING_BYTES * stored.tensors)
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
        """As `_read_and_store`; of a large recipe only what it will cost."""
        checked = limits.check(text, self.settings)
        return checked if checked.is_large else self._read_and_store(checked)

    def _read_and_store(self, checked: Checked) -> tuple[FileLayout, bool, int]:
        """Return the layout, whether the store had no such recipe, and the bytes of memory that the layout takes."""
        layout = limits.layout_of(checked, self.settings)
        recipe = layout.recipe
        is_new = self.store is None or self.store.add(recipe.digest, recipe.canonical)
        return layout, is_new, layout_bytes(layout)

    def _stored(self, store: RecipeStore, digest: str) -> Checked | tuple[FileLayout, int] | None:
        """As `_made`, of a recipe in the store; of a large one only what it will cost."""
        text = store.get(digest)
        try:
            checked = None if text is None else limits.check(text, self.settings)
        except RecipeError:
            return None
        return checked if checked is None or checked.is_large else self._made(checked)

    def _made(self, checked: Checked) -> tuple[FileLayout, int] | None:
        """Return a layout and the bytes of memory that it takes."""
        try:
            layout = limits.layout_of(checked, self.settings)
        except RecipeError:
            # Another version of this service, or one with other limits, has stored it: a POST will tell why.
            return None
        return layout, layout_bytes(layout)
