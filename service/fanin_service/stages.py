"""The stages that every request passes. `pipeline` defines their order.

A stage that raises an error or returns a response ends the request. Later stages and routes do not see it.
"""

from __future__ import annotations

import sys
import time
from asyncio import CancelledError
from collections.abc import Sequence
from contextlib import ExitStack
from http import HTTPStatus
from typing import TYPE_CHECKING

from fastapi import Response
from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.middleware.cors import CORSMiddleware
from starlette.types import Message

from fanin_service.access import aws
from fanin_service.access.authenticator import Authenticator
from fanin_service.access.errors import UnauthenticatedError
from fanin_service.access.principal import ANONYMOUS
from fanin_service.access.rules import require
from fanin_service.access.scopes import may_be_sufficient, sufficient
from fanin_service.context import OPERATION, Ending, RequestContext, Surface
from fanin_service.http.routing import DESTINATION, MODEL
from fanin_service.http.streaming import BUFFERED
from fanin_service.telemetry import logs

if TYPE_CHECKING:
    from fanin_service.admission.admission import Admission
    from fanin_service.service import Service
    from fanin_service.telemetry.metrics import Metrics
    from fanin_service.telemetry.tracing import Tracing

_DEFAULT_HEADERS = (
    # Without it a cache may estimate a freshness (RFC 9111 section 4.2.2), and serve what a push has replaced.
    (b"cache-control", b"no-cache"),
    # Any client may have uploaded a file of a model. A browser must not guess that it is a page and run its scripts.
    (b"x-content-type-options", b"nosniff"),
)
"""Headers of every response that does not set them."""
_METHODS = ("DELETE", "GET", "HEAD", "POST", "PUT")
_SENT = (
    *("Authorization", "Content-Type", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range"),
    *("If-Unmodified-Since", "Range"),
)
"""Headers that pages of other origins may send."""
_EXPOSED = (
    *("Accept-Ranges", "Content-Digest", "Content-Disposition", "Content-Length", "Content-Location", "Content-Range"),
    *("ETag", "Link", "Location", "RateLimit", "RateLimit-Policy", "Repr-Digest", "Retry-After", "WWW-Authenticate"),
    *("X-Amz-Request-Id", "X-Error-Code", "X-Error-Message", "X-Linked-ETag", "X-Linked-Size", "X-Repo-Commit"),
)
"""Headers that pages of other origins may read."""


class Stage:
    """A stage of the pipeline. Subclasses override the hooks that they need; the pipeline calls no other hook."""

    enabled: bool = True
    """True if the settings need this stage."""

    async def before(self, context: RequestContext) -> Response | None:
        """Handle the request before the next stage. A response ends the request here."""

    def on_start(self, context: RequestContext, message: Message) -> None:
        """Change the start of any response, also of an error. Called for the last stage first."""

    def on_sent(self, context: RequestContext, count: int) -> None:
        """Record that `count` bytes of the body were handed to the connection."""

    def after(self, context: RequestContext) -> None:
        """End the request, however it ended. Called for the last stage first."""


class Observe(Stage):
    """Records each request and its response for metrics, the access log and traces."""

    def __init__(self, metrics: Metrics, tracing: Tracing) -> None:
        self._metrics, self._tracing = metrics, tracing

    async def before(self, context: RequestContext) -> None:
        if self._tracing.enabled and context.path not in OPERATION:
            context.spans = ExitStack()
            context.spans.enter_context(self._tracing.request(context))

    def on_start(self, context: RequestContext, message: Message) -> None:
        context.status = message["status"]
        headers = message["headers"] = list(message["headers"])
        given = {name for name, _ in headers}
        request_id = context.request_id.encode()
        headers.append((b"x-request-id", request_id))
        if context.surface is Surface.S3:
            headers.append((b"x-amz-request-id", request_id))  # the one that S3's clients show
        headers += [each for each in _DEFAULT_HEADERS if each[0] not in given]
        for name, value in headers:
            if name == b"content-length":
                context.promised_bytes = int(value)
        if context.part is not None and context.spans is not None:
            context.spans.enter_context(self._tracing.span("generate"))
        # A smaller file is handed to the connection at once, so it would be in flight for some microseconds.
        if context.part is not None and context.promised_bytes > BUFFERED:
            context.is_in_flight = True
            self._metrics.stream_begins(context.promised_bytes)

    def on_sent(self, context: RequestContext, count: int) -> None:
        if context.method == "HEAD":
            return  # uvicorn sends no body then
        if context.first_byte_seconds is None:
            context.first_byte_seconds = time.perf_counter() - context.started
        context.sent_bytes += count
        self._metrics.sent(count, in_flight=context.is_in_flight)

    def after(self, context: RequestContext) -> None:
        error = sys.exception()
        context.seconds = time.perf_counter() - context.started
        if not context.complete:
            # The server cancels requests only when its time to stop has run out.
            ending: Ending = "drained" if isinstance(error, CancelledError) else "failed" if error else "client left"
            context.ended = "stalled" if context.stalled else ending
        if context.is_in_flight:
            self._metrics.stream_ends(context.promised_bytes - context.sent_bytes)
        if context.spans is not None:
            context.spans.__exit__(type(error) if error else None, error, error.__traceback__ if error else None)
        self._metrics.request_ends(context)
        logs.access(context, quiet=context.route in OPERATION)


class Cors(Stage):
    """Lets pages of other origins call the service. Preflight requests have no key, so this precedes authentication."""

    def __init__(self, origins: Sequence[str]) -> None:
        self.enabled = bool(origins)
        self._rules = CORSMiddleware(
            _no_app,
            allow_origins=origins,
            allow_methods=_METHODS,
            allow_headers=_SENT,
            expose_headers=_EXPOSED,
        )

    async def before(self, context: RequestContext) -> Response | None:
        headers = Headers(raw=context.headers)
        return self._rules.preflight_response(headers) if _is_preflight(context, headers) else None

    def on_start(self, context: RequestContext, message: Message) -> None:
        given, headers, rules = Headers(raw=context.headers), MutableHeaders(scope=message), self._rules
        origin = given.get("origin")
        if origin is not None and not _is_preflight(context, given):
            headers.update(rules.simple_headers)
            if not rules.allow_all_origins and rules.is_allowed_origin(origin):
                headers["Access-Control-Allow-Origin"] = origin
        # Also without an allowed origin: a cache must not give a page the response to a request that had no origin.
        if "origin" not in headers.get("Vary", "").lower():
            headers.add_vary_header("Origin")


class Drain(Stage):
    """Closes each connection after its response while the service stops."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def on_start(self, _context: RequestContext, message: Message) -> None:
        if self._service.is_draining:
            message["headers"] = [*message["headers"], (b"connection", b"close")]


class Authenticate(Stage):
    """Identifies the client, or refuses the request before any of its body is read.

    Without a valid key a client learns nothing, not even which paths exist.
    """

    def __init__(self, authenticator: Authenticator | None, admission: Admission) -> None:
        """`authenticator` is None if access is open."""
        self._authenticator, self._admission = authenticator, admission

    async def before(self, context: RequestContext) -> None:
        authorization = context.header_lines(b"authorization")
        if context.surface is Surface.S3:
            aws.check_presigned(QueryParams(context.query), requires_keys=self._authenticator is not None)
            authorization = [aws.as_bearer(line) for line in authorization]
        match = context.match
        is_public = match is not None and match.has_method and match.right is None
        if self._authenticator is None or is_public:
            return
        try:
            context.principal = await self._authenticator.principal(authorization)
        except UnauthenticatedError:
            if authorization:
                await self._admission.count_failed_login(context.address)
            raise

    def on_start(self, context: RequestContext, message: Message) -> None:
        """Keep shared caches from serving an authenticated client's response to others (RFC 9111 section 5.2.2.7)."""
        if context.principal is not ANONYMOUS:
            headers = MutableHeaders(scope=message)
            if "public" in headers.get("Cache-Control", ""):
                headers["Cache-Control"] = headers["Cache-Control"].replace("public", "private")


class CountRequest(Stage):
    """Counts the request against the limits of its client, and releases the request's reservations at its end."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    async def before(self, context: RequestContext) -> None:
        if context.path not in OPERATION:
            await self._admission.count(context.usage, context.principal, context.address)

    def on_start(self, context: RequestContext, message: Message) -> None:
        usage = context.usage
        if usage.standings:
            headers = MutableHeaders(scope=message)
            headers["RateLimit-Policy"] = ", ".join(standing.policy for standing in usage.standings)
            headers["RateLimit"] = ", ".join(standing.limit for standing in usage.standings)
        if usage.grant and message["status"] >= HTTPStatus.BAD_REQUEST:
            usage.grant.end()

    def on_sent(self, context: RequestContext, count: int) -> None:
        if context.usage.grant:
            context.usage.grant.sent(count)

    def after(self, context: RequestContext) -> None:
        self._admission.leave(context.usage)


class Authorize(Stage):
    """Refuses requests that the principal has no right to."""

    def __init__(self, authenticator: Authenticator | None) -> None:
        self.enabled = authenticator is not None

    async def before(self, context: RequestContext) -> None:
        match = context.match
        # A path without a route, or a route without this method, needs no right: the response is 404 or 405.
        if match is None or not match.has_method or match.right is None:
            return
        parameters = match.child_scope["path_params"]
        destination = parameters.get(DESTINATION)
        allowed = sufficient(match.right, parameters.get(MODEL), destination)
        if destination is None and may_be_sufficient(match.right, context.principal.scopes):
            return  # the route checks the destination
        require(context.principal, match.right, allowed)


def _is_preflight(context: RequestContext, headers: Headers) -> bool:
    return context.method == "OPTIONS" and "origin" in headers and "access-control-request-method" in headers


async def _no_app(*_: object) -> None:
    """The application behind Starlette's CORSMiddleware. It is never called: only the middleware's rules are used."""
