"""The HTTP protocol of the server, with a limit that uvicorn's own has not."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from fanin_service.exchange import exchange_of

MAX_HEAD_BYTES = 64 << 10
"""Of a request, after its first piece, without any byte of body: line, headers, trailers. Servers allow 8 to 64 KiB."""


class BoundedProtocol(HttpToolsProtocol):
    """Cuts a connection whose request head or trailer does not end (RFC 9110 section 5.4)."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._idle_bytes = 0
        self._in_message = self._in_head = True
        self._has_moved = False

    def connection_lost(self, exc: Exception | None) -> None:
        # Of the system, by TCP_USER_TIMEOUT. First of all: what follows wakes the application.
        if isinstance(exc, TimeoutError) and self.cycle and (exchange := exchange_of(self.cycle.scope)):
            exchange.stalled = True
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        self._in_message = self._in_head = self._has_moved = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        # Trailers say nothing here (RFC 9110 section 6.5.1 lets them be ignored).
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._has_moved = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_message = False
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        self._has_moved = False
        super().data_received(data)
        # A piece in which a message began, or that had some body, may be long.
        if not self._in_message or self._has_moved:
            self._idle_bytes = 0
            return
        self._idle_bytes += len(data)
        if self._idle_bytes > MAX_HEAD_BYTES:
            self.send_400_response("The request head is too long.")
