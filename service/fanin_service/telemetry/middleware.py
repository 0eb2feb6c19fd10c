"""Observation: what is known of each request at its end, for the metrics, the access log and traces.

Pure ASGI: Starlette's BaseHTTPMiddleware leaves the generators of clients that went away suspended.
"""

from __future__ import annotations

import os
import re
import time
from asyncio import CancelledError
from contextlib import ExitStack

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fanin_service.telemetry import logs
from fanin_service.telemetry.metrics import Metrics
from fanin_service.telemetry.redaction import redact
from fanin_service.telemetry.request import KEY, Ending, Exchange, begin
from fanin_service.telemetry.tracing import Tracing

OPERATION = frozenset({"/livez", "/readyz", "/metrics"})
"""Paths asked every few seconds by machines: not logged at level info unless they fail, and never traced."""

_DEFAULTS = (
    # Without it a cache may choose a freshness of its own (RFC 9111 section 4.2.2), and serve what a push has replaced.
    (b"cache-control", b"no-cache"),
    # Files come from whoever puts models. A browser must not guess that one is a page.
    (b"x-content-type-options", b"nosniff"),
)
"""Headers of every response that does not say otherwise."""
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._~+/=:@-]{1,128}")
_TRACE_PARENT = re.compile(rb"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")


class Observation:
    """Wraps the whole application, so that it sees the answers to errors too."""

    def __init__(self, app: ASGIApp, metrics: Metrics, tracing: Tracing) -> None:
        self._app = app
        self._metrics = metrics
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = scope[KEY] = _received(scope)
        begin(exchange)
        try:
            if scope["path"] in OPERATION:
                await self._serve(exchange, scope, receive, send)
            else:
                with self._tracing.request(scope, exchange):
                    await self._serve(exchange, scope, receive, send)
        finally:
            self._metrics.request_ends(exchange)
            logs.access(exchange, quiet=exchange.route in OPERATION)

    async def _serve(self, exchange: Exchange, scope: Scope, receive: Receive, send: Send) -> None:
        ending: Ending = "client left"
        stream = ExitStack()
        try:
            await self._app(scope, receive, self._observed(exchange, stream, send))
        except CancelledError:
            # Only a server whose time to stop has run out cancels requests.
            ending = "drained"
            raise
        except Exception:
            ending = "failed"
            raise
        finally:
            stream.close()
            if route := scope.get("route"):
                exchange.route = route.path
            exchange.seconds = time.perf_counter() - exchange.started
            if not exchange.complete:
                exchange.ended = "stalled" if exchange.stalled else ending

    def _observed(self, exchange: Exchange, stream: ExitStack, send: Send) -> Send:
        """`send`, watched; what has to end with a stream is left in `stream`."""
        metrics = self._metrics

        async def observed(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                headers = message["headers"] = list(message["headers"])
                for name, value in headers:
                    if name == b"content-length":
                        exchange.promised_bytes = int(value)
                headers.append((b"x-request-id", exchange.request_id.encode()))
                given = {name for name, _ in headers}
                headers += [each for each in _DEFAULTS if each[0] not in given]
                if exchange.part is not None:
                    metrics.stream_begins(exchange.promised_bytes)
                    stream.callback(lambda: metrics.stream_ends(exchange.promised_bytes - exchange.sent_bytes))
                    stream.enter_context(self._tracing.span("generate"))
            await send(message)
            # Uvicorn sends no body to HEAD, whatever it is given.
            if (count := len(message.get("body", b""))) and exchange.method != "HEAD":
                if exchange.first_byte_seconds is None:
                    exchange.first_byte_seconds = time.perf_counter() - exchange.started
                exchange.sent_bytes += count
                metrics.sent(count, streaming=exchange.part is not None)

        return observed


def _received(scope: Scope) -> Exchange:
    request_id = trace_id = None
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            request_id = redact(value.decode())
        elif name == b"traceparent" and (match := _TRACE_PARENT.fullmatch(value)):
            trace_id = match[1].decode()
    client = scope.get("client")
    return Exchange(scope["method"], request_id or os.urandom(16).hex(), trace_id, client[0] if client else None)
