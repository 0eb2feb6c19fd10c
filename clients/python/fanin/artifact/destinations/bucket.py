"""A prefix of a bucket of Google Cloud Storage, or of a container of Azure, as the destination of an artifact."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    InvalidPathError,
    NotSupportedError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import from_url

from fanin.artifact.destinations.base import Destination
from fanin.artifact.destinations.budget import Budget
from fanin.artifact.destinations.pieces import part_bytes, pieces
from fanin.errors import DestinationError
from fanin.file.disk import CHUNK

PARTIAL = ".fanin/partial/"
"""Prefix of objects that are copied to their keys when they are complete."""
MOST_PARTS = 10_000
BUDGET = 12 * CHUNK
"""Bytes of parts that all uploads of a destination have in memory."""
_AT_ONCE = 4
"""Parts of an object that are sent at the same time."""
_STALE = timedelta(days=1)
"""Age of an object below `PARTIAL` whose writer has died."""
_CONNECT, _READ, _RETRY = timedelta(seconds=10), timedelta(seconds=60), timedelta(minutes=3)
_COPY, _POLL = 600.0, 0.2
"""Longest time for a copy within the store, and between two looks at it, in seconds."""
_PERMANENT = (InvalidPathError, NotSupportedError, PermissionDeniedError, UnauthenticatedError)


class Bucket(Destination):
    """Objects below a prefix. The environment gives account and credentials: GOOGLE_*, AZURE_*.

    A large object is uploaded in parts below another key, since these stores take no condition for parts. The store
    then copies it to its key, which fails if that exists.
    """

    def __init__(self, url: str) -> None:
        """`url` is gs://bucket/prefix or az://container/prefix.

        Raises:
            DestinationError: the URL or the configuration in the environment is wrong.
        """
        self.url = url.rstrip("/")
        with self._errors():
            self._store = from_url(
                self.url,
                client_options={"connect_timeout": _CONNECT, "timeout": _READ, "allow_http": True},
                retry_config={"max_retries": 6, "retry_timeout": _RETRY},
            )
        self._budget = Budget(BUDGET)

    def create(
        self, key: str, chunks: Iterable[memoryview], size: int, metadata: Mapping[str, str] | None = None
    ) -> bool:
        # Azure takes identifiers alone as names of metadata.
        separator = "_" if self.url.startswith("az://") else "-"
        attributes = {name.replace("-", separator): text for name, text in (metadata or {}).items()}
        if size <= CHUNK:
            content = b"".join(chunks)
            return self._only_once(
                lambda: obstore.put(
                    self._store, key, content, attributes=attributes, mode="create", use_multipart=False
                )
            )
        partial = PARTIAL + uuid.uuid4().hex
        length = part_bytes(size, MOST_PARTS)
        try:
            # The parts in flight, one that is generated, and one that obstore assembles.
            with self._budget.held((_AT_ONCE + 2) * length), self._errors():
                obstore.put(
                    self._store,
                    partial,
                    pieces(chunks, length),
                    attributes=attributes,
                    chunk_size=length,
                    max_concurrency=_AT_ONCE,
                )
            created = self._only_once(lambda: obstore.copy(self._store, partial, key, overwrite=False))
            if created:
                self._wait(key, size)
            return created
        finally:
            self._delete(partial)

    def read(self, key: str, most: int | None = None) -> bytes | None:
        with self._errors(), suppress(FileNotFoundError):
            found = obstore.get(self._store, key)
            self.check_size(key, found.meta["size"], most)
            return found.bytes().to_bytes()
        return None

    def range(self, key: str, start: int, stop: int) -> bytes:
        if start >= stop:
            return b""
        with self._errors():
            return obstore.get_range(self._store, key, start=start, end=stop).to_bytes()

    def size(self, key: str) -> int | None:
        with self._errors(), suppress(FileNotFoundError):
            return obstore.head(self._store, key)["size"]
        return None

    def objects(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        with self._errors():
            for page in obstore.list(self._store, prefix=prefix or None):
                for found in page:
                    if not found["path"].startswith(PARTIAL):
                        yield found["path"], found["size"]

    def sweep(self, keys: Iterable[str]) -> None:  # noqa: ARG002 (unfinished objects have keys of another kind)
        latest = datetime.now(UTC) - _STALE
        with suppress(DestinationError), self._errors():
            for page in obstore.list(self._store, prefix=PARTIAL):
                for found in page:
                    if found["last_modified"] < latest:
                        self._delete(found["path"])

    def _wait(self, key: str, size: int) -> None:
        """Wait until a copy is complete: Azure may return before, and the object then has no bytes.

        Raises:
            DestinationError: it takes too long.
        """
        deadline = time.monotonic() + _COPY
        while self.size(key) != size:
            if time.monotonic() > deadline:
                raise DestinationError(f"{self.url}: the store has not copied {key} within {_COPY:g} seconds")
            time.sleep(_POLL)

    def _delete(self, partial: str) -> None:
        with suppress(DestinationError, FileNotFoundError), self._errors():
            obstore.delete(self._store, partial)

    def _only_once(self, request: Callable[[], object]) -> bool:
        """Send a conditional request; return whether the object was created by it."""
        try:
            with self._errors():
                request()
        except DestinationError as error:
            if isinstance(error.__cause__, AlreadyExistsError | PreconditionError):
                return False
            raise
        return True

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Raise errors of obstore as DestinationError, in one line: its other lines are internal details."""
        try:
            yield
        except BaseError as error:
            text = str(error).partition("\n")[0]
            raise DestinationError(f"{self.url}: {text}", may_pass=not isinstance(error, _PERMANENT)) from error
