"""Models: what requests ask of the model store, and what of it is remembered."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar, TypeVarTuple
from weakref import WeakKeyDictionary

from fanin import FileLayout, archive
from fanin_service.errors import PreconditionFailedError
from fanin_service.http.file import File
from fanin_service.models import names
from fanin_service.models.content import Content, content_key
from fanin_service.models.errors import (
    ModelError,
    ModelStoreFullError,
    ModelsUnavailableError,
    UnknownModelError,
    UnknownRevisionError,
)
from fanin_service.models.names import is_model
from fanin_service.models.objects import ObjectsError, ObjectsFullError
from fanin_service.models.revisions import MAIN, RULE, Revision, is_commit, read_commit
from fanin_service.models.snapshot import Described, Snapshot, generated
from fanin_service.models.store import ModelStore
from fanin_service.recipes.memory import layout_bytes
from fanin_service.settings import Settings
from fanin_service.shared_cache import Kept
from fanin_service.threads import Threads

_log = logging.getLogger(__name__)

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

Condition = Callable[[bool], bool]
"""Whether a name may be changed, told whether it stands for a model."""

MAX_BYTES = 256 << 20
"""Of contents that are remembered; the newest always stays."""
MAX_LAYOUTS, MAX_LAYOUT_BYTES = 10_000, 128 << 20
"""Of layouts of files that are remembered."""
MAX_DESCRIBED = 20_000
"""Of files that are remembered in short, of half a kilobyte each."""
MAX_LISTED_BYTES, _PER_LISTED, _PER_LISTING = 8 << 20, 600, 600
"""Of revisions whose files are all remembered in short."""
_CHANGES = 64
"""Changes of models that one process can make at a time."""
FRESH_SECONDS = 60.0
"""How long a content is remembered without a look whether it is still kept: another replica may have deleted it."""


_PER_BATCH, _PER_FILE = 5000, 20
"""Tensors in a batch, and to how many a file comes by itself."""
_SHOWN = 80


class Models:
    """The models of one service. Names are looked up at every request, so that all replicas see a put at once.

    `client` is whose request it is: clients take turns at the threads, and share the caches.
    """

    def __init__(self, store: ModelStore, settings: Settings, threads: Threads) -> None:
        self._store, self._settings, self._threads = store, settings, threads
        self._lock = threading.Lock()
        self._changing = tuple(threading.Lock() for _ in range(_CHANGES))
        """Locks for changes of models, one of them for each name."""
        self._contents = Kept[tuple[str, bytes], Content](max_bytes=MAX_BYTES)
        """By name and key of the content."""
        self._seen: WeakKeyDictionary[Content, float] = WeakKeyDictionary()
        """When the store was last asked whether it still has a content."""
        self._described: OrderedDict[tuple[str, str, str], Described] = OrderedDict()
        """By content, revision and path; used by the event loop's thread alone."""
        self._listed = Kept[tuple[str, str], Mapping[str, Described]](max_bytes=MAX_LISTED_BYTES)
        """Every file by path, by content and revision; used by the event loop's thread alone."""
        self._layouts = Kept[str, FileLayout](max_count=MAX_LAYOUTS, max_bytes=MAX_LAYOUT_BYTES)
        """By content, revision and path."""

    async def names(self, client: str) -> list[str]:
        """The names of all models, sorted."""
        return await self.in_thread(client, self._store.names)

    async def put(
        self, client: str, name: str, content: bytes, condition: Condition | None = None
    ) -> tuple[Snapshot, bool]:
        """Let a name stand for what is in this archive: its `main`, and whether the name is new.

        Raises:
            ModelError, RecipeError: the name or something in the archive is wrong.
            PreconditionFailedError: `condition` is not met.
        """
        if not is_model(name):
            raise ModelError(f"{name!a}: {names.RULE}")
        found, snapshot = await self.in_thread(client, _made, content, self._settings, is_large=True)
        is_new = await self.in_thread(client, self._put, client, name, found, condition)
        return snapshot, is_new

    async def delete(self, client: str, name: str, condition: Condition | None = None) -> None:
        """Forget a model.

        Raises:
            UnknownModelError: there is none of this name.
            PreconditionFailedError: `condition` is not met.
        """
        await self.in_thread(client, self._delete, name, condition)

    async def snapshot(self, client: str, name: str, revision: str = MAIN) -> Snapshot:
        """A revision of a model, by its name or its commit id.

        Raises:
            UnknownModelError, UnknownRevisionError: there is no such thing.
        """
        found = await self.in_thread(client, self._snapshot, client, name, revision)
        if isinstance(found, Snapshot):
            return found
        return await self.in_thread(client, self._revision, name, *found, is_large=True)

    async def modified(self, client: str, name: str, digest: str | None = None) -> int:
        """When the name was put last, or its content of this digest, in whole seconds since 1970; 0 if not known."""
        if not is_model(name):
            return 0
        return int(await self.in_thread(client, self._store.modified, name, digest) or 0)

    async def file(self, client: str, snapshot: Snapshot, path: str) -> File:
        """A file of a revision.

        Raises:
            UnknownFileError: there is none at this path.
        """
        if not snapshot.is_weights(path):
            return await self.in_thread(client, snapshot.file, path)
        # By the content's whole digest: who looks for it finds two contents with one commit id, in 2^40 tries.
        key = f"{snapshot.content.digest}/{snapshot.revision}/{path}"
        known = self._layouts.get(key)
        if known is not None:
            return generated(known)
        layout, size = await self.in_thread(client, _layout, snapshot, path, is_large=snapshot.content.is_large)
        self._layouts.add(key, layout, len(key) + size, client)
        return generated(layout)

    async def described(self, client: str, snapshot: Snapshot, paths: Sequence[str]) -> list[Described]:
        """These files of a revision in short, in the order of the paths; remembered, since it takes little memory.

        Raises:
            UnknownFileError: there is none at one of the paths.
        """
        content, revision = snapshot.content.digest, str(snapshot.revision)
        known = {path: self._described.get((content, revision, path)) for path in paths}
        missing = [path for path, found in known.items() if found is None]
        for batch in _batches(missing, snapshot):
            files = await self.in_thread(client, snapshot.described, batch, is_large=snapshot.content.is_large)
            for path, file in zip(batch, files, strict=True):
                known[path] = self._described[content, revision, path] = file
                if len(self._described) > MAX_DESCRIBED:
                    self._described.popitem(last=False)
        return [found for path in paths if (found := known[path]) is not None]

    async def listed(self, client: str, name: str, revision: str = MAIN) -> Mapping[str, Described]:
        """Every file of a revision in short, by path in order.

        Remembered, so that a listing of many large models reads none of their contents again.

        Raises:
            UnknownModelError, UnknownRevisionError: there is no such thing.
        """
        digest = await self.in_thread(client, self._store.main, name) if is_model(name) else None
        known = None if digest is None else self._listed.get((digest, revision))
        if known is None:
            snapshot = await self.snapshot(client, name, revision)
            files = await self.described(client, snapshot, snapshot.paths)
            known = dict(zip(snapshot.paths, files, strict=True))
            # By its own content: what the name stands for may have changed meanwhile.
            key = snapshot.content.digest, revision
            self._listed.add(key, known, _PER_LISTING + _PER_LISTED * len(known), client)
        return known

    async def in_thread(self, client: str, function: Callable[[*Ts], T], *arguments: *Ts, is_large: bool = False) -> T:
        """Run `function` in a thread of the models; `is_large` if it takes long.

        Raises:
            ModelsUnavailableError, ModelStoreFullError: the store failed.
        """
        executor = self._threads.large if is_large else self._threads.models
        try:
            return await executor.run(client, function, *arguments)
        except ObjectsFullError as error:
            _log.error("the model store has no space left: %s", error)
            raise ModelStoreFullError("the disk of the model store is full; the operator must make room") from error
        except ObjectsError as error:
            _log.error("the model store cannot be reached: %s", error)
            raise ModelsUnavailableError(1) from error

    def _put(self, client: str, name: str, content: Content, condition: Condition | None) -> bool:
        with self._change(name, condition):
            is_new = self._store.put(name, content)
            self._remember(client, name, content)
        return is_new

    @contextmanager
    def _change(self, name: str, condition: Condition | None) -> Iterator[None]:
        """Change a model if the condition is met. This process makes one change of a name at a time.

        Without the lock, a delete could remove the content that a put has just found in the store.
        """
        with self._changing[hash(name) % _CHANGES]:
            if condition and not condition(exists := self._store.main(name) is not None):
                raise PreconditionFailedError(f"there is {'a' if exists else 'no'} model {name}")
            yield

    def _delete(self, name: str, condition: Condition | None) -> None:
        if not is_model(name):
            raise _unknown(name)
        with self._change(name, condition):
            if not self._store.delete(name):
                raise _unknown(name)
            with self._lock:
                for key in [key for key in self._contents if key[0] == name]:
                    self._contents.pop(key)

    def _snapshot(self, client: str, name: str, text: str) -> Snapshot | tuple[Content, Revision]:
        """A revision; of a large content, what it is to be made of."""
        content, revision = self._found(client, name, text)
        return (content, revision) if content.is_large else self._revision(name, content, revision)

    def _found(self, client: str, name: str, text: str) -> tuple[Content, Revision]:
        if not is_model(name):
            raise _unknown(name)
        if is_commit(text):
            commit = read_commit(text)
            content = None if commit is None else self._content(client, name, commit[0])
            if commit is None or content is None:
                if self._store.main(name) is None:
                    raise _unknown(name)
                raise UnknownRevisionError(f"{name} has no commit {text}, or had it before its files were made anew")
            return content, commit[1]
        digest = self._store.main(name)
        content = None if digest is None else self._content(client, name, content_key(digest), digest)
        if content is None:
            raise _unknown(name)
        revision = content.main.named(text)
        if revision is None:
            raise UnknownRevisionError(f"{name} has no revision {text[:_SHOWN]!a}: {RULE}")
        return content, revision

    def _revision(self, name: str, content: Content, revision: Revision) -> Snapshot:
        """A revision; what it has added to its content is counted."""
        before = content.size
        try:
            return Snapshot(content, revision)
        finally:
            if (size := content.size) != before:
                with self._lock:
                    self._contents.resize((name, content.key), size)

    def _content(self, client: str, name: str, key: bytes, digest: str | None = None) -> Content | None:
        """The content of this key, from memory or the store."""
        now = time.monotonic()
        with self._lock:
            known = self._contents.get((name, key))
            if known is not None and now < self._seen[known] + FRESH_SECONDS:
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
            # The one that is known has layouts with it. It may be known since: several requests read it at a time.
            with self._lock:
                known = known or self._contents.get((name, key))
            self._remember(client, name, content := known or content)
        return content

    def _remember(self, client: str, name: str, content: Content) -> None:
        key = name, content.key
        with self._lock:
            if self._contents.get(key) is not content:
                self._contents.pop(key)
                self._contents.add(key, content, content.size, client)
            self._seen[content] = time.monotonic()


def _batches(paths: Sequence[str], snapshot: Snapshot) -> Iterator[list[str]]:
    """Paths that are looked at together: few enough that others get their turn between two batches."""
    batch: list[str] = []
    cost = 0
    for path in paths:
        batch.append(path)
        cost += _PER_FILE + snapshot.tensors_named_in(path)
        if cost >= _PER_BATCH:
            yield batch
            batch, cost = [], 0
    if batch:
        yield batch


def _made(archived: bytes, settings: Settings) -> tuple[Content, Snapshot]:
    """The content in an archive, and its `main`."""
    try:
        files = archive.unpack(archived, settings.max_model_files + 1)
    except ValueError as error:
        raise ModelError(str(error)) from None
    content = Content.put(files, settings)
    return content, Snapshot(content, content.main)


def _layout(snapshot: Snapshot, path: str) -> tuple[FileLayout, int]:
    """A layout, and the bytes of memory that it takes."""
    layout = snapshot.layout(path)
    return layout, layout_bytes(layout)


def _unknown(name: str) -> UnknownModelError:
    return UnknownModelError(f"there is no model {name[:_SHOWN]!a}; PUT it to /v1/models/{{namespace}}/{{name}}")
