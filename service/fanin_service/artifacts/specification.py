"""The specification of an artifact, and the id that follows from it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import rfc8785

from fanin import Recipe


@dataclass(frozen=True)
class Specification:
    """An artifact, as a client describes it."""

    destination: str
    """Alias of the destination."""
    recipe: Recipe
    format: str
    shard_bytes: int | None
    """Maximum bytes of a file; None for a format with one file."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Other files of the artifact, by path, such as config.json."""
    literals: bytes | None = None
    """A safetensors file with the tensors that the recipe does not describe; None if there are none."""

    @cached_property
    def id(self) -> str:
        """SHA-256 of all of it, in hexadecimal. Requests for equal artifacts have equal ids."""
        document: dict[str, Any] = {
            "version": 1,
            "destination": self.destination,
            "recipe": self.recipe.digest,
            "format": self.format,
            "shard_bytes": self.shard_bytes,
            "files": {path: _sha256(content) for path, content in self.files.items()},
            "literals": None if self.literals is None else _sha256(self.literals),
        }
        return hashlib.sha256(rfc8785.dumps(document)).hexdigest()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
