"""Errors of access: the client is unknown, or lacks a right."""

from __future__ import annotations

from fanin_service.errors import LaterError, RequestError


class UnauthenticatedError(RequestError):
    """The sender of the request cannot be identified."""

    def __init__(self, detail: str, error: str | None = None) -> None:
        """`error` is the error code of RFC 6750 section 3.1; None for a request without any key."""
        super().__init__(detail, {"WWW-Authenticate": _challenge(error=error)})


class ForbiddenError(RequestError):
    """The principal lacks a scope."""

    def __init__(self, detail: str, scope: str) -> None:
        """`scope` is the missing one."""
        super().__init__(detail, {"WWW-Authenticate": _challenge(error="insufficient_scope", scope=scope)})


class TokenUncheckedError(LaterError):
    """The keys that verify a token are unavailable."""

    def __init__(self, seconds: float) -> None:
        super().__init__("the keys of the identity provider are currently unavailable", seconds)


def _challenge(**attributes: str | None) -> str:
    """Return a value of WWW-Authenticate (RFC 6750 section 3)."""
    given = {"realm": "fanin", **attributes}
    return "Bearer " + ", ".join(f'{name}="{value}"' for name, value in given.items() if value is not None)
