"""Errors of artifacts."""

from __future__ import annotations

from fanin import RecipeError
from fanin_service.errors import LaterError, RequestError


class InvalidArtifactError(RecipeError):
    """A field of the request is invalid, or no artifact is possible with them."""


class UnknownArtifactError(RequestError):
    """The destination has no artifact with this id, or the service has no destination with this alias."""


class ArtifactStateError(RequestError):
    """The artifact is in a state in which it cannot be completed or cancelled."""


class DestinationUnavailableError(LaterError):
    """A destination cannot be reached, or refuses what is written."""

    def __init__(self, alias: str) -> None:
        super().__init__(f"the destination {alias} cannot be used now; the log of the service has the reason", 5)
