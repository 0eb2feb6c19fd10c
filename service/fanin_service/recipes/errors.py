"""Errors of recipes: too large for this service, not registered, or without digests yet."""

from __future__ import annotations

from fanin import RecipeError
from fanin_service.errors import RequestError


class LimitExceededError(RecipeError):
    """A valid recipe that exceeds a limit of this service."""


class UnknownRecipeError(RequestError):
    """The digest is not registered."""


class DigestsPendingError(RequestError):
    """The digests are still being computed."""
