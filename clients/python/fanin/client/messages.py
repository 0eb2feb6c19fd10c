"""HTTP requests and responses as the client sees them, and the transport between them.

A transport has one method, `send`. Tests replace it by a function without a socket.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """The head of a response, and how to read its body."""

    status: int
    headers: Mapping[str, str]
    """Names are in lower case."""
    read: Callable[[], bytes]
    """Returns the next bytes of the body, `b""` at its end. Raises ConnectionLostError."""
    close: Callable[[], None] = lambda: None
    """Must be called once. If the body was not read to its end, it closes the connection."""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AsyncResponse:
    """As `Response`; reading waits in the event loop."""

    status: int
    headers: Mapping[str, str]
    read: Callable[[], Awaitable[bytes]]
    close: Callable[[], None] = lambda: None
    reason: str = ""


class Transport(Protocol):
    """Sends requests, and blocks the thread meanwhile. Safe to share among threads."""

    def send(self, request: Request) -> Response:
        """Send one request, follow no redirect, and return when the head of the response has arrived.

        Raises:
            UnreachableError: no connection was possible.
            ConnectionLostError: the connection ended before the head was complete.
            ServiceError: the request cannot be sent.
        """
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


class AsyncTransport(Protocol):
    """Sends requests, and waits in the event loop meanwhile."""

    async def send(self, request: Request) -> AsyncResponse:
        """As `Transport.send`."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...
