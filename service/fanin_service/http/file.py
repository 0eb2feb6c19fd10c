"""Files that routes serve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fanin import FileLayout


@dataclass(frozen=True, slots=True)
class File:
    """A file: its bytes, or the layout from which they are generated."""

    body: bytes | FileLayout
    tag: str
    """Strong entity tag without its quotes. Different bytes must have different tags."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers of every response with content, besides those that follow from the file."""
    kept: tuple[str, ...] = ()
    """Names of those headers that a 304 response includes besides the usual ones."""
    modified: int | None = None
    """Date of the last change in seconds since 1970; None if there is none."""
    is_made: bool = False
    """True if the bytes exist only for one request. They then count as memory of that request."""
    has_weights: bool = False
    """True if these bytes are weights, which count as those that are generated."""

    @property
    def size(self) -> int:
        """Size of the file in bytes."""
        return len(self.body) if isinstance(self.body, bytes) else self.body.size

    @property
    def etag(self) -> str:
        """The entity tag in the form of header fields (RFC 9110 section 8.8.3)."""
        return f'"{self.tag}"'
