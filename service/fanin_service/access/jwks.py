"""One GET with a deadline for the complete response.

HTTP clients limit the time of each read. A server that sends a byte now and then could hold such a client indefinitely.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from urllib.parse import urlsplit

from httptools import HttpParserError, HttpResponseParser

_PIECE = 64 << 10
_PORTS = {"http": 80, "https": 443}
_MAX_HEAD_BYTES = 64 << 10


async def fetch(url: str, *, seconds: float, max_bytes: int) -> bytes:
    """Return the body of the response to a GET of this URL. Redirects are not followed.

    Raises:
        OSError: the server is unreachable, its certificate is for another host, or the response takes more than
            `seconds`.
        ValueError: the response is not HTTP, has a status other than 200, or has a body of more than `max_bytes`.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    request = (
        f"GET {target} HTTP/1.1\r\nHost: {parts.netloc.rpartition('@')[2]}\r\nUser-Agent: fanin\r\n"
        "Accept: application/json\r\nAccept-Encoding: identity\r\nConnection: close\r\n\r\n"
    )
    try:
        async with asyncio.timeout(seconds):
            # Reading the certificates of all authorities takes milliseconds, in which the event loop would serve
            # nobody.
            context = await asyncio.to_thread(ssl.create_default_context) if parts.scheme == "https" else None
            reader, writer = await asyncio.open_connection(host, port, ssl=context)
            try:
                writer.write(request.encode("ascii"))
                return await _read(reader, max_bytes)
            finally:
                # Abort instead of close: a server that never completes the TLS shutdown would hold us beyond the
                # deadline.
                writer.transport.abort()
    except TimeoutError:
        raise OSError(f"no complete response in {seconds:g} s") from None


async def _read(reader: asyncio.StreamReader, max_bytes: int) -> bytes:
    response = _Response()
    parser = HttpResponseParser(response)
    received = 0
    # A body without a length ends when the connection closes, so an empty read is not an error here.
    while not response.is_complete and (piece := await reader.read(_PIECE)):
        received += len(piece)
        try:
            parser.feed_data(piece)
        except HttpParserError as error:
            raise ValueError(f"not a response of HTTP: {error}") from None
        if len(response.body) > max_bytes or received > 2 * max_bytes + _MAX_HEAD_BYTES:
            raise ValueError(f"more than {max_bytes} bytes")
    with suppress(HttpParserError):
        if (status := parser.get_status_code()) != 200:
            raise ValueError(f"status {status}")
    return bytes(response.body)


class _Response:
    """Collects the body that the parser reads."""

    def __init__(self) -> None:
        self.body = bytearray()
        self.is_complete = False

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.is_complete = True
