"""Destinations: bytes under keys, each of which is created once and never replaced."""

from __future__ import annotations

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping

from fanin.errors import ArtifactError, ConflictError, DestinationError

_ATTEMPTS = 8
"""Attempts to create an object that another writer creates at the same time."""
_SECONDS = 0.2
"""Longest first pause between these attempts. Each further one may be twice as long."""
_SHOWN = 200
"""Bytes of a content that an error shows."""


class Destination(ABC):
    """The directory or the prefix of a bucket that one artifact is in. Any thread may use it.

    Keys are relative paths with `/`. Every method may raise OSError, of which `DestinationError` is a kind.
    """

    url: str
    """The directory, or the URL of the prefix."""

    @abstractmethod
    def create(
        self, key: str, chunks: Iterable[memoryview], size: int, metadata: Mapping[str, str] | None = None
    ) -> bool:
        """Create an object of `size` bytes; return False, and change nothing, if the key exists.

        The object appears with all its bytes or not at all. A destination may keep a chunk after it has taken the next
        one, so each is separate memory. It may return False for a key that does not exist, when another writer creates
        it at the same time: then the caller begins again. An exception of `chunks` is raised as it is, or as the cause
        of another one.

        Args:
            key: Key of the object.
            chunks: Its bytes. They are taken once, and not to the end if the key exists.
            size: Number of its bytes.
            metadata: Texts that a bucket stores with the object.
        """

    @abstractmethod
    def read(self, key: str, most: int | None = None) -> bytes | None:
        """Return the bytes of an object; None if there is none.

        Raises:
            ArtifactError: it has more than `most` bytes, and none was read.
        """

    @abstractmethod
    def range(self, key: str, start: int, stop: int) -> bytes:
        """Return bytes [start, stop) of an object, fewer if it ends before.

        Raises:
            FileNotFoundError: the object does not exist.
        """

    @abstractmethod
    def size(self, key: str) -> int | None:
        """Return the number of bytes of an object; None if there is none."""

    @abstractmethod
    def objects(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """Yield the key and the size of each object whose key begins with `prefix`, which is empty or ends with `/`."""

    @abstractmethod
    def sweep(self, keys: Iterable[str]) -> None:
        """Remove what dead writers of these objects, which exist, left unfinished. It never removes an object."""

    def check_size(self, key: str, size: int, most: int | None) -> None:
        """Check the size of an object before `read` reads it.

        Raises:
            ArtifactError: `size` is above `most`.
        """
        if most is not None and size > most:
            raise ArtifactError(f"{self.url}: {key} has {size} bytes; at most {most} are allowed")

    def claim(self, key: str, content: bytes) -> bytes:
        """Create an object with this content unless it exists; return the content that it has."""
        for _ in races(f"{self.url}: {key}"):
            if self.create(key, [memoryview(content)] if content else [], len(content)):
                return content
            if (found := self.read(key)) is not None:
                return found
        raise AssertionError

    def put(self, key: str, content: bytes) -> None:
        """Create an object with this content; do nothing if it exists with the same content.

        Raises:
            ConflictError: it exists with other content.
        """
        if (found := self.claim(key, content)) != content:
            raise ConflictError(
                f"{self.url}: {key} exists with {_shown(found)}; the artifact has {_shown(content)}."
                " Nothing was replaced"
            )


def races(what: str) -> Iterator[None]:
    """Yield before each attempt to create an object that another writer seems to create. The pauses become longer.

    Raises:
        DestinationError: the last attempt has failed too.
    """
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(random.uniform(0, _SECONDS * 2**attempt))  # nosec B311 (no secret)
        yield
    raise DestinationError(f"{what} cannot be created, and does not exist, in {_ATTEMPTS} attempts")


def _shown(content: bytes) -> str:
    """Return a short text about a content, for an error."""
    text = content[:_SHOWN].decode("utf-8", "backslashreplace")
    return f"{len(content)} bytes: {text}{'...' if len(content) > _SHOWN else ''}"
