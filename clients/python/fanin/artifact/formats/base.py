"""The interface of a format: the items of an artifact, their content, and the object that makes it complete."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from fanin.backends import Backend
from fanin.errors import MismatchError
from fanin.file.disk import CHUNK, mismatch
from fanin.file.layout import FileLayout
from fanin.file.plan import read_into
from fanin.recipe import Recipe

TIED = "tied"
"""Option with other names of tensors: a JSON object with the name of the tensor by each other name."""


@dataclass(frozen=True)
class Given:
    """A caller's request to a format."""

    recipe: Recipe
    shard_bytes: int
    """Maximum bytes of tensors in an object, unless one tensor is larger."""
    has_literals: bool = False
    """True if there is a file of literals, which are tensors with given values."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further parameters of the format, as JSON values."""


class Content(ABC):
    """The bytes of one object. They are generated each time they are requested."""

    size: int
    """Number of bytes."""
    digest: str
    """SHA-256 of the recipe of its tensors, in hexadecimal."""
    head: bytes
    """Its first bytes. Objects with other tensors or values begin with other bytes."""

    @abstractmethod
    def chunks(self, backend: Backend) -> Iterator[memoryview]:
        """Generate the bytes, in chunks of at most 8 MiB. Each chunk is separate memory."""

    @abstractmethod
    def mismatch(self, start: int, found: bytes, wanted: memoryview) -> MismatchError:
        """Return the error that names the first difference between two versions of bytes from `start` on."""


class LayoutContent(Content):
    """A safetensors file with its recipe in the header."""

    def __init__(self, layout: FileLayout) -> None:
        self.layout = layout
        self.size = layout.size
        self.digest = layout.recipe.digest
        self.head = layout.header

    def chunks(self, backend: Backend) -> Iterator[memoryview]:
        for start in range(0, self.size, CHUNK):
            # Not one buffer for all: an upload still reads the chunks before. A bytearray, which boto3 sends as it is.
            chunk = memoryview(bytearray(min(CHUNK, self.size - start)))
            read_into(self.layout, start, chunk, backend)
            yield chunk
            del chunk

    def mismatch(self, start: int, found: bytes, wanted: memoryview) -> MismatchError:
        return mismatch(self.layout, start, found, wanted)


class Arrangement(ABC):
    """The items of one artifact. It has no Python object for an item until the item is requested."""

    NAME: ClassVar[str]
    """Name of the format."""
    OPTIONS: ClassVar[tuple[str, ...]] = ()
    """Names of the options that the format has."""
    _OF_TENSORS: ClassVar[tuple[str, ...]]
    """Attributes whose memory grows with the number of tensors, and which names and sizes of items do not need."""
    literals_path: str | None = None
    """Path of the file of literals; None if the format has none."""

    @abstractmethod
    def __init__(self, given: Given) -> None:
        """Arrange the tensors of a recipe.

        Raises:
            ValueError: the format cannot have what is given.
        """

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of items."""

    @abstractmethod
    def name(self, number: int) -> str:
        """Return the key of an item's object. Two items have different names."""

    @abstractmethod
    def number(self, name: str) -> int | None:
        """Return the number of the item with this name; None if there is none."""

    def is_own(self, path: str) -> bool:
        """Return whether a given file cannot have this path: readers would take it for one of the format."""
        return self.number(path) is not None or path == self.commit_path

    @abstractmethod
    def nbytes(self, number: int) -> int:
        """Return the bytes of the tensors of an item."""

    @abstractmethod
    def total(self) -> int:
        """Return the bytes of the tensors of all items."""

    @abstractmethod
    def content(self, number: int) -> Content:
        """Return the content of an item."""

    def literals(self, content: bytes) -> bytes:
        """Return the file at `literals_path`; `content` is a safetensors file of the literals.

        Raises:
            FileError, ValueError: the format cannot have them.
        """
        return content

    def outline(self) -> Self:
        """Return the names and sizes of the items alone, in a few bytes for each. It has no contents."""
        found = copy(self)
        for attribute in self._OF_TENSORS:
            delattr(found, attribute)
        return found

    @property
    def commit_path(self) -> str | None:
        """Path of the object that completes the artifact; None if the manifest does."""
        return None

    def commit(self, read: Callable[[str], bytes]) -> bytes:  # noqa: ARG002 (for formats with an index)
        """Return the content of the object at `commit_path`, nothing if the manifest completes the artifact.

        Args:
            read: Returns the bytes of a given file by its path.
        """
        return b""
