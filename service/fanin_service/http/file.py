"""Files as routes serve them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fanin import FileLayout


@dataclass(frozen=True, slots=True)
class File:
    """A file: its bytes, or the layout that they are generated from."""

    body: bytes | FileLayout
    tag: str
    """Strong entity tag without its quotes: another one for any other bytes."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers of every response with content, besides those that follow from the file."""
    kept: tuple[str, ...] = ()
    """Names of those headers that a response 304 has besides the usual."""
    modified: int | None = None
    """Date of the last change in seconds since 1970, if it has one."""
    is_made: bool = False
    """The bytes exist for one request only, so they count as memory of that request."""

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return len(self.body) if isinstance(self.body, bytes) else self.body.size

    @property
    def etag(self) -> str:
        """The entity tag as header fields have it (RFC 9110 section 8.8.3)."""
        return f'"{self.tag}"'
