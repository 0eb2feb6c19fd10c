"""Models: what requests ask of the model store, and what of it is remembered."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar, TypeVarTuple

from fanin import archive
from fanin_service.models import names
from fanin_service.models.content import Content, content_key
from fanin_service.models.names import is_model
from fanin_service.models.objects import ObjectsError
from fanin_service.models.revisions import MAIN, RULE, is_commit, read_commit
from fanin_service.models.snapshot import File, Snapshot
from fanin_service.models.store import ModelStore
from fanin_service.problems import ModelError, ModelsUnavailableError, UnknownModelError, UnknownRevisionError
from fanin_service.registry import Registry
from fanin_service.settings import Settings

_log = logging.getLogger(__name__)

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

MAX_BYTES = 256 << 20
"""Of contents that are remembered; the newest always stays."""
MAX_LAYOUTS, MAX_LAYOUT_BYTES = 10_000, 128 << 20
"""Of layouts of files that are remembered."""
FRESH_SECONDS = 60.0
"""How long a content is remembered without a look whether it is still kept: another replica may have deleted it."""


class Models:
    """The models of one service. Names are looked up at every request, so that all replicas see a put at once."""

    executor: Executor
    """The threads that read, write and parse, while the service runs."""

    def __init__(self, store: ModelStore, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._lock = threading.Lock()
        self._contents: OrderedDict[tuple[str, bytes], tuple[Content, float]] = OrderedDict()
        """By name and key of the content, with the time of the last look."""
        self._bytes = 0
        self._layouts = Registry[str](max_recipes=MAX_LAYOUTS, max_bytes=MAX_LAYOUT_BYTES)
        """By commit id and path."""

    async def names(self) -> list[str]:
        """The names of all models, sorted."""
        return await self._in_thread(self._store.names)

    async def put(self, name: str, content: bytes) -> tuple[Snapshot, bool]:
        """Let a name stand for what is in this archive: its `main`, and whether the name is new.

        Raises:
            ModelError, RecipeError: the name or something in the archive is wrong.
        """
        return await self._in_thread(self._put, name, content)

    async def delete(self, name: str) -> None:
        """Forget a model.

        Raises:
            UnknownModelError: there is none of this name.
        """
        await self._in_thread(self._delete, name)

    async def snapshot(self, name: str, revision: str = MAIN) -> Snapshot:
        """A revision of a model, by its name or its commit id.

        Raises:
            UnknownModelError, UnknownRevisionError: there is no such thing.
        """
        return await self._in_thread(self._snapshot, name, revision)

    async def modified(self, name: str, digest: str | None = None) -> int:
        """When the name was put last, or its content of this digest, in whole seconds since 1970; 0 if not known."""
        return int(await self._in_thread(self._store.modified, name, digest) or 0) if is_model(name) else 0

    async def file(self, snapshot: Snapshot, path: str) -> File:
        """A file of a revision.

        Raises:
            UnknownFileError: there is none at this path.
        """
        if not snapshot.is_weights(path):
            return File.given(await self._in_thread(snapshot.given, path))
        key = f"{snapshot.commit}/{path}"
        layout = self._layouts.get(key)
        if layout is None:
            layout = await self._in_thread(snapshot.layout, path)
            self._layouts.add(key, layout)
        return File.generated(layout)

    async def _in_thread(self, function: Callable[[*Ts], T], *arguments: *Ts) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self.executor, function, *arguments)
        except ObjectsError as error:
            _log.error("the model store cannot be reached: %s", error)
            raise ModelsUnavailableError(1) from error

    def _put(self, name: str, content: bytes) -> tuple[Snapshot, bool]:
        if not is_model(name):
            raise ModelError(f"{name!a}: {names.RULE}")
        try:
            files = archive.unpack(content, self._settings.max_model_files + 1)
        except ValueError as error:
            raise ModelError(str(error)) from None
        found = Content.put(files, self._settings)
        snapshot = Snapshot(found, found.main)
        is_new = self._store.put(name, found)
        self._remember(name, found)
        return snapshot, is_new

    def _delete(self, name: str) -> None:
        if not is_model(name) or not self._store.delete(name):
            raise _unknown(name)
        with self._lock:
            for key in [key for key in self._contents if key[0] == name]:
                self._bytes -= self._contents.pop(key)[0].size

    def _snapshot(self, name: str, text: str) -> Snapshot:
        if not is_model(name):
            raise _unknown(name)
        if is_commit(text):
            commit = read_commit(text)
            content = None if commit is None else self._content(name, commit[0])
            if commit is None or content is None:
                if self._store.main(name) is None:
                    raise _unknown(name)
                raise UnknownRevisionError(f"{name} has no commit {text}, or had it before its files were made anew")
            return Snapshot(content, commit[1])
        digest = self._store.main(name)
        content = None if digest is None else self._content(name, content_key(digest), digest)
        if content is None:
            raise _unknown(name)
        revision = content.main.named(text)
        if revision is None:
            raise UnknownRevisionError(f"{name} has no revision {text[:_SHOWN]!a}: {RULE}")
        return Snapshot(content, revision)

    def _content(self, name: str, key: bytes, digest: str | None = None) -> Content | None:
        """The content of this key, from memory or the store."""
        now = time.monotonic()
        with self._lock:
            known, seen = self._contents.get((name, key), (None, 0.0))
            if known is not None:
                self._contents.move_to_end((name, key))
                if now < seen + FRESH_SECONDS:
                    return known
        try:
            digest = digest or self._store.digest_of(name, key)
            if digest is None:
                return None
            content = self._store.get(name, digest)
        except ObjectsError:
            if known is None:
                raise
            return known
        if content is not None:
            # The one that is known has layouts with it.
            self._remember(name, content := known or content)
        return content

    def _remember(self, name: str, content: Content) -> None:
        with self._lock:
            before = self._contents.pop((name, content.key), None)
            self._bytes += content.size - (before[0].size if before else 0)
            self._contents[name, content.key] = content, time.monotonic()
            while self._bytes > MAX_BYTES and len(self._contents) > 1:
                _, (oldest, _) = self._contents.popitem(last=False)
                self._bytes -= oldest.size


_SHOWN = 80


def _unknown(name: str) -> UnknownModelError:
    return UnknownModelError(f"there is no model {name[:_SHOWN]!a}; PUT it to /v1/models/{{namespace}}/{{name}}")
