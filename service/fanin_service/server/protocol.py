"""The HTTP protocol of the server. It adds limits that uvicorn lacks: the size of a request's head, and slow clients.

`heads` rejects requests that a proxy in front of the service might interpret differently (request smuggling).

The module is slightly long because it follows uvicorn's protocol hook by hook, and the hooks of one connection share
its state.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import sys
import termios
from asyncio import TimerHandle, Transport
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from httptools import HttpParserUpgrade, HttpRequestParser
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from fanin_service.context import KEY, context_of
from fanin_service.server.heads import BadRequestError, check_head, framing_of

MAX_HEAD_BYTES = 64 << 10
"""Maximum bytes of a request after its first piece that contain no body: request line, headers, trailers. Other servers
allow 8 to 64 KiB."""
MAX_PIPELINED = 32
"""Maximum number of pipelined requests that wait on a connection for earlier responses."""
MAX_UNREAD_BYTES = 64 << 20
"""Maximum bytes of a body that arrive after the response was sent. A client that sends more does not read responses."""
FRESH_SECONDS, IDLE_SECONDS = 1.0, 0.05
"""Seconds for which a connection without a request stays open after its process begins to end: a new connection, and
one that has had responses. A request that is on its way then gets a response. Uvicorn would reset the connection."""
BODY_SECONDS = 10.0
"""Seconds over which the rate of a body is measured."""
_REFUSAL = (
    b"HTTP/1.1 %b\r\nconnection: close\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"x-content-type-options: nosniff\r\ncontent-length: %d\r\n\r\n%b"
)
_TIMEOUT = _REFUSAL % (b"408 Request Timeout", 31, b"The request arrived too slowly.")
_LOOKS = 4
"""Number of checks within `stall_seconds`, the time in which a client must read something."""
_RESET = struct.pack("ii", 1, 0)
"""Value of SO_LINGER that makes close() reset the connection (RST)."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The slowest client that is served."""

    head_seconds: float
    """Maximum seconds until the complete head has arrived, from the connection's start or the head's first byte."""
    body_rate: float
    """Minimum bytes of a body per second."""
    stall_seconds: float
    """Maximum seconds in which the client reads no byte of its response."""


class _Awaited(Enum):
    """The part of a request that has not arrived completely."""

    HEAD = auto()
    BODY = auto()


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with limits, and with strict checks of request heads.

    It closes a connection whose request head or trailer is too long (RFC 9110 section 5.4) or arrives too slowly.
    """

    def __init__(self, pace: Pace, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._pace = pace
        self._awaited: _Awaited | None = None
        self._answering: RequestResponseCycle | None = None
        """The request that the application handles. With pipelining, uvicorn's `cycle` is a later one that waits."""
        self._timer: TimerHandle | None = None
        self._received = 0
        """Bytes that have arrived since the timer was set."""
        self._stall_timer: TimerHandle | None = None
        self._unsent = self._idle_looks = 0
        """Bytes that the client had not read at the last check, and the number of checks since it read any."""
        self._idle_bytes = 0
        self._in_message = self._in_head = True
        self._has_moved = False
        self._unread_bytes = 0
        self._stopped_at: int | None = None
        """Offset in the current piece at which the parser stopped, since the request asks for another protocol."""
        self._framing = b""
        """A head that frames the body of such a request in the same way; empty if it has no body."""
        self._in_framing = False
        self._is_ending = False
        """The process ends. The connection closes after the next response."""

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if (cycle := self._answering) is not None and not cycle.response_complete:
            # Uvicorn informs only its latest `cycle`. Without this, an earlier pipelined request would wait for the
            # client forever.
            cycle.disconnected = True
            cycle.message_event.set()
        # Uvicorn cancels this timer only after an orderly end. After a reset the timer would keep this object in
        # memory.
        self._unset_keepalive_if_required()
        self._set_timer(None)
        self._stop_watching()

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._set_timer(_Awaited.HEAD)

    def on_message_begin(self) -> None:
        if self._in_framing:
            return
        self._set_timer(None)
        self._in_message = self._in_head = self._has_moved = True
        self._unread_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._in_framing:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        # Trailers are ignored, as RFC 9110 section 6.5.1 allows. As headers they could change a request that was
        # already checked.
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._in_framing:
            self._in_framing = False
            return
        if len(self.pipeline) >= MAX_PIPELINED:
            # Each waiting request has its headers in memory, and pausing does not take back what the parser has read.
            raise BadRequestError("too many requests wait")
        version = self.parser.get_http_version()
        check_head(version, self.headers)
        framing = framing_of(self.headers, self.parser.should_keep_alive())
        self._framing = framing if self.parser.should_upgrade() else b""
        # RFC 9110 section 10.1.1: HTTP/1.0 has no 100 (Continue), and a request without a body does not wait for it.
        if version == "1.0" or not framing:
            self.expect_100_continue = False
        super().on_headers_complete()
        self._in_head = False
        if self._is_ending:
            self.cycle.keep_alive = False

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, _closing(app, cycle) if cycle.waiting_for_100_continue else app)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        # Uvicorn resumes reading here. A client that sends requests faster than it gets responses would then fill the
        # memory.
        if self.pipeline:
            self.flow.pause_reading()

    def on_body(self, body: bytes) -> None:
        self._has_moved = True
        if self.cycle.response_complete:
            self._unread_bytes += len(body)
            if self._unread_bytes > MAX_UNREAD_BYTES:
                self.transport.close()
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade() and self._framing:
            return  # the parser treats the body as another protocol; it is parsed in `data_received`
        self._in_message = False
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        self._has_moved = False
        super().data_received(data)
        rest = data
        while self._stopped_at is not None:
            # The service speaks no other protocol, so it ignores the upgrade and handles the request normally (RFC 9110
            # section 7.8).
            if self._framing:
                self._in_framing = True
                # The old parser skips all data after the head of a request with `Connection: close`, so its body would
                # be lost.
                self.parser = _parser(self)
            rest, self._stopped_at = self._framing + rest[self._stopped_at :], None
            super().data_received(rest)
        self._received += len(data)
        awaited = None if not self._in_message else _Awaited.HEAD if self._in_head else _Awaited.BODY
        if awaited is not self._awaited:
            self._set_timer(awaited)
        # A piece in which a message began, or that had some of a body, may be long.
        if not self._in_message or self._has_moved:
            self._idle_bytes = 0
            return
        self._idle_bytes += len(data)
        if self._idle_bytes > MAX_HEAD_BYTES:
            self.send_400_response("The request head is too long.")

    def shutdown(self) -> None:
        self._is_ending = True
        if self.cycle is None or self.cycle.response_complete:
            self.loop.call_later(FRESH_SECONDS if self.cycle is None else IDLE_SECONDS, super().shutdown)
        else:
            super().shutdown()

    def _set_timer(self, awaited: _Awaited | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._awaited, self._received = awaited, 0
        if awaited is not None and not self.transport.is_closing():
            seconds = self._pace.head_seconds if awaited is _Awaited.HEAD else BODY_SECONDS
            self._timer = self.loop.call_later(seconds, self._on_time)

    def _on_time(self) -> None:
        if self._is_slow():
            # No 408 without the start of a request, or after the start of a response: the client would misread it.
            if self.scope is not None and (self._in_head or not self.cycle.response_started):
                self.transport.write(_TIMEOUT)
            self.transport.close()
        else:
            self._set_timer(self._awaited)

    def _is_slow(self) -> bool:
        """Return whether the service waits only for the client, and the client sends too slowly."""
        cycle = self.cycle
        if self._awaited is _Awaited.HEAD:
            return cycle is None or cycle.response_complete
        # In these states the service, not the client, holds up the body: it must not be blamed for our backpressure.
        if self.pipeline or self.flow.read_paused or cycle.waiting_for_100_continue:
            return False
        if cycle.response_started and not cycle.response_complete:
            return False
        return self._received < self._pace.body_rate * BODY_SECONDS

    def send_400_response(self, msg: str) -> None:
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            self._refuse(msg)
        elif not (self._in_message and not self._in_head):
            # Earlier requests get their responses first. A 400 now would be read as one of those, or as a part of one.
            cycle.keep_alive = False
            self.flow.pause_reading()
        elif cycle.response_started or self.pipeline:
            self.transport.close()
        else:
            self._refuse(msg)

    def _refuse(self, msg: str) -> None:
        self.transport.write(_REFUSAL % (b"400 Bad Request", len(msg), msg.encode("ascii")))
        self.transport.close()

    def _unsupported_upgrade_warning(self) -> None:
        stop = sys.exception()
        assert isinstance(stop, HttpParserUpgrade)
        (self._stopped_at,) = stop.args

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unsent, self._idle_looks = self._count_unsent(), 0
        self._stall_timer = self.loop.call_later(self._pace.stall_seconds / _LOOKS, self._look)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_watching()

    def _stop_watching(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _look(self) -> None:
        """Check whether the client reads anything, and reset the connection if it has not for `stall_seconds`.

        The system has no such limit. Linux's TCP_USER_TIMEOUT also closes connections of clients that read all the
        time, if their window stays smaller than the sender's next piece.
        """
        unsent = self._count_unsent()
        self._idle_looks = 0 if unsent < self._unsent else self._idle_looks + 1
        self._unsent = unsent
        if self._idle_looks < _LOOKS:
            self._stall_timer = self.loop.call_later(self._pace.stall_seconds / _LOOKS, self._look)
            return
        if self._answering is not None and KEY in self._answering.scope:
            context_of(self._answering.scope).stalled = True
        # Without the reset, the system would keep offering the unread bytes, and keep their memory.
        self._socket().setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()

    def _count_unsent(self) -> int:
        """Return the bytes that the client has not acknowledged: those in this process and, on Linux, in the system."""
        here = self.transport.get_write_buffer_size()
        if sys.platform != "linux":
            return here
        return here + int.from_bytes(fcntl.ioctl(self._socket().fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)

    def _socket(self) -> socket.socket:
        found: socket.socket = self.transport.get_extra_info("socket")
        return found


def _closing(app: ASGIApp, cycle: RequestResponseCycle) -> Any:
    """Return the application for a request with `Expect: 100-continue`.

    A final response may start while the client waits for 100 (Continue). The client then sends no body, and the parser
    would read the next request on this connection as the body. So the connection closes after such a response.
    """

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_closing(message: Message) -> None:
            # A client whose body has begun to arrive is not waiting any more.
            if cycle.waiting_for_100_continue and cycle.more_body and not cycle.body:
                cycle.keep_alive = False
            await send(message)

        await app(scope, receive, send_closing)

    return serve


def _parser(protocol: BoundedProtocol) -> HttpRequestParser:
    """Return a parser with the options that uvicorn sets."""
    parser = HttpRequestParser(protocol)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser
