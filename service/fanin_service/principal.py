"""Principal: who sent a request, and what they may do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal


class Right(StrEnum):
    """What a key or a token may allow: an OAuth scope."""

    WEIGHTS_READ = "weights:read"
    """Make and fetch weights, by recipe, query or digest."""
    RECIPES_WRITE = "recipes:write"
    """Register recipes; `weights:read` allows this, too."""
    RECIPES_READ = "recipes:read"
    """Read registered recipes, the catalogue of schemes and the description of the API."""
    MODELS_READ = "models:read"
    """Find named models, and read what they are and which files they have."""
    MODELS_WRITE = "models:write"
    """Put and delete named models."""
    METRICS_READ = "metrics:read"
    """Read the metrics."""


def sufficient(right: Right) -> tuple[Right, ...]:
    """The scopes of which each one allows what needs `right`.

    A client that reads weights registers their recipe first, and `POST /v1/weights` registers it anyway: reading needs
    no scope for writing.
    """
    return (right, Right.WEIGHTS_READ) if right is Right.RECIPES_WRITE else (right,)


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
"""Whoever: where access is open, and on the routes that are public."""
KEY = "fanin.principal"
"""Its place in the ASGI scope."""


def principal_of(scope: Mapping[str, Any]) -> Principal:
    """Who sent the request of this ASGI scope; `ANONYMOUS` where that was not asked, or could not be told."""
    principal: Principal = scope.get(KEY, ANONYMOUS)
    return principal
