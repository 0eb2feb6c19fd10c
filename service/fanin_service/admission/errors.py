"""Errors of admission: a limit of the client or of the service is reached."""

from __future__ import annotations

from fanin_service.errors import LaterError


class TooManyFailedLoginsError(LaterError):
    """An address has sent too many invalid keys."""


class TooManyRequestsError(LaterError):
    """A client has sent too many requests."""


class TooMuchInFlightError(LaterError):
    """A client has too many responses, or bytes of them, in flight."""


class QuotaExceededError(LaterError):
    """A client has used its bytes of the day."""


class OverloadedError(LaterError):
    """All clients together have too much in flight."""


class LimitsUnavailableError(LaterError):
    """The counts of a client are unreachable."""
