"""The HTTP protocol of the server, with a limit that uvicorn's own has not."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 64 << 10
"""Of request line and headers, after the first piece and still not complete. Servers allow 8 to 64 KiB."""


class BoundedProtocol(HttpToolsProtocol):
    """Cuts a connection whose request head does not end (RFC 9110 section 5.4)."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head_bytes = 0
        self._in_head = True
        self._has_begun = False

    def on_message_begin(self) -> None:
        self._head_bytes, self._in_head, self._has_begun = 0, True, True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        self._has_begun = False
        super().data_received(data)
        # What a head began in may hold the end of the body before it: counted from the next piece on.
        if self._in_head and not self._has_begun:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self.send_400_response("The request head is too long.")
