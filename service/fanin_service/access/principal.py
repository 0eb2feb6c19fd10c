"""Principal: the sender of a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Principal:
    """Who sent a request."""

    id: str
    """Stable, and no two share one: `key:` and the key's id, or `jwt:` and the token's subject."""
    name: str
    """For people: the key's name, or the token's subject."""
    scopes: frozenset[str]
    bytes_per_day: int | None
    """Bytes of weights that may be fetched in a day; None for no such limit."""
    method: Literal["none", "key", "jwt"]
    """How that was found out."""


ANONYMOUS = Principal("anonymous", "anonymous", frozenset(), None, "none")
"""Any client: if access is open, and on public routes."""
