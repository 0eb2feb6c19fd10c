"""Errors that refuse a request. Each package defines its own; `http.problems` maps each to a response."""

from __future__ import annotations

import math
from collections.abc import Mapping


class RequestError(Exception):
    """A refused request. `headers` are set in the response."""

    def __init__(self, detail: str, headers: Mapping[str, str] | None = None) -> None:
        self.headers = dict(headers or {})
        super().__init__(detail)


class LaterError(RequestError):
    """A request that is refused now and may succeed later."""

    def __init__(self, detail: str, seconds: float) -> None:
        """The client should repeat the request after `seconds`."""
        super().__init__(detail, {"Retry-After": str(max(1, math.ceil(seconds)))})


class PreconditionFailedError(RequestError):
    """A condition of the request is false: If-Match, If-Unmodified-Since, or If-None-Match of a change."""


class RangeNotSatisfiableError(RequestError):
    """The requested range contains no byte of the file."""
