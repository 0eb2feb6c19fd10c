"""Models: the operations of requests on the model store, with caches.

The module is long because its operations share the caches and their locks.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar, TypeVarTuple
from weakref import WeakKeyDictionary

from fanin import FileLayout
from fanin.file import archive
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
"""Returns whether a name may be changed, given whether it has a model."""

MAX_BYTES = 256 << 20
"""Maximum bytes of cached contents; the newest always stays."""
MAX_LAYOUTS, MAX_LAYOUT_BYTES = 10_000, 128 << 20
"""Maximum number and bytes of cached layouts of files."""
MAX_DESCRIBED = 20_000
"""Maximum number of cached short descriptions of files, of half a kilobyte each."""
MAX_LISTED_BYTES, _PER_LISTED, _PER_LISTING = 8 << 20, 600, 600
"""Maximum bytes of cached lists of files of revisions, and estimated bytes of a file in a list and of a list."""
_CHANGES = 64
"""Number of locks, and so of changes of models that one process can make at a time."""
FRESH_SECONDS = 60.0
"""Seconds for which a content is cached without a check whether the store still has it. Another replica may delete it.
"""


_PER_BATCH, _PER_FILE = 5000, 20
"""Tensors in a batch, and the number of tensors whose cost equals that of a file."""
_SHOWN = 80


Charge = Callable[[str, int], Coroutine[Any, Any, object]]


class Models:
    """The models of one service. Names are looked up in every request, so that all replicas see an upload at once.

    `client` is the client of the request: clients take turns at the threads, and share the caches.
    """

    def __init__(self, store: ModelStore, settings: Settings, threads: Threads, charge: Charge) -> None:
        """`charge` counts a request of a client as this many more."""
        self._charge = charge
        self._store, self._settings, self._threads = store, settings, threads
        self._lock = threading.Lock()
        self._changing = tuple(threading.Lock() for _ in range(_CHANGES))
        """Locks for changes of models. Each name belongs to one of them."""
        self._contents = Kept[tuple[str, bytes], Content](max_bytes=MAX_BYTES)
        """Contents by name and key."""
        self._seen: WeakKeyDictionary[Content, float] = WeakKeyDictionary()
        """Time of the last check whether the store has a content, by the monotonic clock."""
        self._described: OrderedDict[tuple[str, str, str], Described] = OrderedDict()
        """Short descriptions by content, revision and path. Only the event loop's thread uses them."""
        self._listed = Kept[tuple[str, str], Mapping[str, Described]](max_bytes=MAX_LISTED_BYTES)
        """Lists of files by content and revision. Each has the descriptions by path. Only the event loop's thread uses
        them."""
        self._layouts = Kept[str, FileLayout](max_count=MAX_LAYOUTS, max_bytes=MAX_LAYOUT_BYTES)
        """Layouts by content, revision and path."""

    async def names(self, client: str) -> list[str]:
        """Return the names of all models, sorted."""
        return await self.in_thread(client, self._store.names)

    async def has(self, client: str, name: str) -> bool:
        """Return whether a model has this name, listed by `names` or not.

        Raises:
            ModelsUnavailableError: the store is unreachable.
        """
        return is_model(name) and await self.in_thread(client, self._store.main, name) is not None

    async def put(
        self, client: str, name: str, content: bytes, condition: Condition | None = None
    ) -> tuple[Snapshot, bool]:
        """Store the content of this archive under a name. Return its revision `main`, and whether the name is new.

        Raises:
            ModelError: the name or a file in the archive is invalid, or the store has reached its limit.
            RecipeError: the recipe is invalid.
            PreconditionFailedError: `condition` is not met.
            UploadsRefusedError: the name belongs to the catalogue.
            ModelsUnavailableError: the store is unreachable.
            ModelStoreFullError: the store's disk is full.
        """
        if fault := names.new_fault(name):
            raise ModelError(f"{name!a}: {fault}")
        found, snapshot = await self.in_thread(client, _made, content, self._settings, is_large=True)
        is_new = await self.in_thread(client, self._put, client, name, found, condition)
        return snapshot, is_new

    async def delete(self, client: str, name: str, condition: Condition | None = None) -> None:
        """Delete a model.

        Raises:
            UnknownModelError: no model has this name.
            PreconditionFailedError: `condition` is not met.
            UploadsRefusedError: the name belongs to the catalogue.
            ModelsUnavailableError: the store is unreachable.
        """
        await self.in_thread(client, self._delete, name, condition)

    async def snapshot(self, client: str, name: str, revision: str = MAIN) -> Snapshot:
        """Return a revision of a model, by the revision's name or commit id.

        Raises:
            UnknownModelError: no model has this name.
            UnknownRevisionError: the model has no such revision.
            ModelsUnavailableError: the store is unreachable.
        """
        found = await self.in_thread(client, self._snapshot, client, name, revision)
        if isinstance(found, Snapshot):
            return found
        return await self.in_thread(client, self._revision, name, *found, is_large=True)

    async def modified(self, client: str, name: str, digest: str | None = None) -> int:
        """Return the time of the last upload under the name, or of its content with this digest.

        The time is in seconds since 1970; 0 if it is unknown.
        """
        if not is_model(name):
            return 0
        return int(await self.in_thread(client, self._store.modified, name, digest) or 0)

    async def file(self, client: str, snapshot: Snapshot, path: str) -> File:
        """Return a file of a revision.

        Raises:
            UnknownFileError: the revision has no file with this path.
        """
        if not snapshot.is_weights(path):
            return await self.in_thread(client, snapshot.file, path)
        # The key has the complete digest: a client that searches for them finds two contents with one commit id in 2^40
        # tries.
        key = f"{snapshot.content.digest}/{snapshot.revision}/{path}"
        known = self._layouts.get(key)
        if known is not None:
            return generated(known)
        layout, size = await self.in_thread(client, _layout, snapshot, path, is_large=snapshot.content.is_large)
        self._layouts.add(key, layout, len(key) + size, client)
        return generated(layout)

    async def described(self, client: str, snapshot: Snapshot, paths: Sequence[str]) -> list[Described]:
        """Return short descriptions of these files of a revision, in the order of the paths. They are cached.

        Raises:
            UnknownFileError: the revision has no file with one of the paths.
            TooManyRequestsError: large models have used up the client's requests of this minute.
        """
        content, revision = snapshot.content.digest, str(snapshot.revision)
        known = {path: self._described.get((content, revision, path)) for path in paths}
        missing = [path for path, found in known.items() if found is None]
        batches = [*_batches(missing, snapshot)]
        if len(batches) > 1:
            # A batch takes about as long as 50 ms.
            await self._charge(client, len(batches))
        for batch in batches:
            files = await self.in_thread(client, snapshot.described, batch, is_large=snapshot.content.is_large)
            for path, file in zip(batch, files, strict=True):
                known[path] = self._described[content, revision, path] = file
                if len(self._described) > MAX_DESCRIBED:
                    self._described.popitem(last=False)
        return [found for path in paths if (found := known[path]) is not None]

    async def listed(self, client: str, name: str, revision: str = MAIN) -> Mapping[str, Described]:
        """Return the short description of every file of a revision, by path in order.

        The result is cached, so that a list of many large models does not read all their contents again.

        Raises:
            UnknownModelError: no model has this name.
            UnknownRevisionError: the model has no such revision.
            ModelsUnavailableError: the store is unreachable.
        """
        digest = await self.in_thread(client, self._store.main, name) if is_model(name) else None
        known = None if digest is None else self._listed.get((digest, revision))
        if known is None:
            snapshot = await self.snapshot(client, name, revision)
            files = await self.described(client, snapshot, snapshot.paths)
            known = dict(zip(snapshot.paths, files, strict=True))
            # Use the digest of the snapshot: another content may have been uploaded under the name meanwhile.
            key = snapshot.content.digest, revision
            self._listed.add(key, known, _PER_LISTING + _PER_LISTED * len(known), client)
        return known

    async def in_thread(self, client: str, function: Callable[[*Ts], T], *arguments: *Ts, is_large: bool = False) -> T:
        """Run `function` in a thread for models; with `is_large`, in the one for long calls.

        Raises:
            ModelsUnavailableError: the store is unreachable.
            ModelStoreFullError: the store's disk is full.
        """
        executor = self._threads.large if is_large else self._threads.models
        try:
            return await executor.run(client, function, *arguments)
        except ObjectsFullError as error:
            _log.error("the model store has no space left: %s", error)
            raise ModelStoreFullError("the disk of the model store is full; the operator must free space") from error
        except ObjectsError as error:
            _log.error("the model store cannot be reached: %s", error)
            raise ModelsUnavailableError(1) from error

    def _put(self, client: str, name: str, content: Content, condition: Condition | None) -> bool:
        with self._change(name):
            is_new = self._store.put(name, content, partial(_check, name, condition))
            self._remember(client, name, content)
        return is_new

    def _change(self, name: str) -> threading.Lock:
        """Return the lock for changes of a model by this process. Without it, each would be tried again and again."""
        return self._changing[hash(name) % _CHANGES]

    def _delete(self, name: str, condition: Condition | None) -> None:
        if not is_model(name):
            raise self._unknown(name)
        with self._change(name):
            _check(name, condition, self._store.main(name) is not None)
            if not self._store.delete(name):
                raise self._unknown(name)
            with self._lock:
                for key in [key for key in self._contents if key[0] == name]:
                    self._contents.pop(key)

    def _unknown(self, name: str) -> UnknownModelError:
        return UnknownModelError(f"no model has the name {name[:_SHOWN]!a}; {self._store.advice(name)}")

    def _snapshot(self, client: str, name: str, text: str) -> Snapshot | tuple[Content, Revision]:
        """Return a revision. If the content is large, return what the revision is created from."""
        content, revision = self._found(client, name, text)
        return (content, revision) if content.is_large else self._revision(name, content, revision)

    def _found(self, client: str, name: str, text: str) -> tuple[Content, Revision]:
        if not is_model(name):
            raise self._unknown(name)
        if is_commit(text):
            commit = read_commit(text)
            content = None if commit is None else self._content(client, name, commit[0])
            if commit is None or content is None:
                if self._store.main(name) is None:
                    raise self._unknown(name)
                raise UnknownRevisionError(f"{name} has no commit {text}, or had it before its files were replaced")
            return content, commit[1]
        digest = self._store.main(name)
        content = None if digest is None else self._content(client, name, content_key(digest), digest)
        if content is None:
            raise self._unknown(name)
        revision = content.main.named(text)
        if revision is None:
            raise UnknownRevisionError(f"{name} has no revision {text[:_SHOWN]!a}: {RULE}")
        return content, revision

    def _revision(self, name: str, content: Content, revision: Revision) -> Snapshot:
        """Return a revision. Update the cached size of its content, which may have grown."""
        before = content.size
        try:
            return Snapshot(content, revision)
        finally:
            if (size := content.size) != before:
                with self._lock:
                    self._contents.resize((name, content.key), size)

    def _content(self, client: str, name: str, key: bytes, digest: str | None = None) -> Content | None:
        """Return the content with this key, from memory or the store; None if it does not exist."""
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
            # Prefer the cached object, which has layouts. Several requests may read a content at the same time, so look
            # again.
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


def _check(name: str, condition: Condition | None, exists: bool) -> None:
    """Check the condition for a change of a model.

    Raises:
        PreconditionFailedError: it is not met.
    """
    if condition and not condition(exists):
        raise PreconditionFailedError(f"there is {'a' if exists else 'no'} model {name}")


def _batches(paths: Sequence[str], snapshot: Snapshot) -> Iterator[list[str]]:
    """Yield batches of paths, small enough that other requests get their turn between two batches."""
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
    """Return the content in an archive, and its revision `main`."""
    try:
        files = archive.unpack(archived, settings.max_model_files + 1)
    except ValueError as error:
        raise ModelError(str(error)) from None
    content = Content.put(files, settings)
    return content, Snapshot(content, content.main)


def _layout(snapshot: Snapshot, path: str) -> tuple[FileLayout, int]:
    """Return a layout, and the bytes of memory that it takes."""
    layout = snapshot.layout(path)
    return layout, layout_bytes(layout)
