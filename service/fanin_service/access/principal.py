"""Principal: the sender of a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Principal:
    """The sender of a request."""

    id: str
    """Stable and unique: `key:` with the key's id, or `jwt:` with the token's subject."""
    name: str
    """Name for people: the key's name, or the token's subject."""
    scopes: frozenset[str]
    bytes_per_day: int | None
    """Maximum bytes of weights per day; None for the default of the settings."""
    method: Literal["none", "key", "jwt"]
    """The way in which the client proved its identity."""


ANONYMOUS = Principal("anonymous", "anonymous", frozenset(), None, "none")
"""The principal of every client if access is open, and of all requests to public routes."""
