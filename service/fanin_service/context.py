"""The request context: one request, its response and their state. Every stage and route reads and writes it."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Mapping
from contextlib import ExitStack
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from starlette.types import Scope

from fanin_service.access.principal import ANONYMOUS, Principal
from fanin_service.admission.admission import Usage
from fanin_service.http.ranges import ByteRange
from fanin_service.http.routing import Matched
from fanin_service.telemetry.redaction import redact

OPERATION = frozenset({"/livez", "/readyz", "/metrics"})
"""Paths that monitoring requests every few seconds. They are not limited or traced, and are logged at level debug
unless they fail."""

KEY = "fanin"
"""Key of the context in the ASGI scope."""

Ending = Literal["client left", "stalled", "drained", "failed"]
"""Reason why a response ended early: the client closed the connection or read nothing for too long, or the service
stopped or failed."""

_WITHOUT_BODY = (204, 304)
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._~+/=:@-]{1,128}")
_TRACE_PARENT = re.compile(rb"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")


class Surface(StrEnum):
    """An API of the service, named by the start of its paths. Each has its own format of errors."""

    NATIVE = ""
    HUB = "/hf"
    """The Hugging Face Hub's API; clients use it with HF_ENDPOINT=http://host/hf."""
    S3 = "/s3"
    """Amazon S3's API; clients use it with AWS_ENDPOINT_URL=http://host/s3 and path-style URLs."""

    @classmethod
    def of(cls, path: str) -> Surface:
        """Return the API that this path belongs to."""
        for surface in (cls.HUB, cls.S3):
            if path.startswith(surface) and f"{path}/".startswith(f"{surface}/"):
                return surface
        return cls.NATIVE


@dataclass(slots=True)
class RequestContext:
    """One request and its response."""

    method: str
    path: str
    query: bytes
    headers: list[tuple[bytes, bytes]]
    address: str | None
    """Network address of the client."""
    surface: Surface
    request_id: str
    trace_id: str | None
    """Trace id of W3C Trace Context: 32 hexadecimal digits."""
    scheme: str = "http"
    http_version: str = "1.1"
    started: float = field(default_factory=time.perf_counter)

    match: Matched | None = None
    """Route of the request and its required right; None if no route has this path."""
    principal: Principal = ANONYMOUS
    usage: Usage = field(default_factory=Usage)
    """Counts and reservations of the request, and the client to which they belong."""

    route: str | None = None
    """Template of the path, such as /v1/recipes/{digest}, once the request is dispatched to its route."""
    recipe: str | None = None
    """Digest of the recipe."""
    part: ByteRange | None = None
    """Bytes of the recipe's file that the response streams."""
    is_in_flight: bool = False
    """The metrics count the response as a file in flight."""
    problem: str | None = None
    """Name of the problem that the response reports; None if it reports none."""
    status: int | None = None
    promised_bytes: int = 0
    sent_bytes: int = 0
    """Bytes of the body that were handed to the connection."""
    first_byte_seconds: float | None = None
    """Seconds from the request's head to the first byte of the response's body."""
    seconds: float = 0.0
    stalled: bool = False
    """The connection was cut because the client read nothing."""
    ended: Ending | None = None
    spans: ExitStack | None = None
    """Open spans of the request; None if it is not traced."""

    @classmethod
    def begin(cls, scope: Scope) -> RequestContext:
        """Create the context of a request. Store it in the request's scope and in a context variable for log records.

        The variable stays set until the task ends, since the server logs errors after the application has returned.
        Each request has a separate task.
        """
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        request_id = trace_id = None
        for name, value in headers:
            if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
                request_id = redact(value.decode())
            elif name == b"traceparent" and (match := _TRACE_PARENT.fullmatch(value)):
                trace_id = match[1].decode()
        client = scope.get("client")
        path = scope["path"]
        context = scope[KEY] = cls(
            scope["method"],
            path,
            scope["query_string"],
            headers,
            client[0] if client else None,
            Surface.of(path),
            # Not secret. os.urandom would release the interpreter's lock, and wait for it again.
            request_id or f"{random.getrandbits(128):032x}",
            trace_id,
            scope["scheme"],
            scope["http_version"],
        )
        _current.set(context)
        return context

    @property
    def client(self) -> str:
        """The client for limits and for turns in executors: the id of the principal, or the network address."""
        return self.usage.client

    @property
    def complete(self) -> bool:
        """True if the complete response was handed to the connection."""
        if self.status is None:
            return False
        return self.method == "HEAD" or self.status in _WITHOUT_BODY or self.sent_bytes >= self.promised_bytes

    def header_lines(self, name: bytes) -> list[str]:
        """Return the values of all lines of a header of the request; `name` is in lower case."""
        return [value.decode("latin-1") for each, value in self.headers if each == name]


_current: ContextVar[RequestContext | None] = ContextVar("request context", default=None)


def current() -> RequestContext | None:
    """Return the context of the current task's request. Only log records use it: other code receives its context."""
    return _current.get()


def context_of(scope: Mapping[str, Any]) -> RequestContext:
    """Return the context in this ASGI scope, which the pipeline has stored there."""
    context: RequestContext = scope[KEY]
    return context
