"""Traces, by OpenTelemetry, as an option: the SDK, of the extra `otel`, is imported only where traces are on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol

from starlette.types import Scope

from fanin_service.telemetry.request import Exchange

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_PACKAGES = ("opentelemetry", "opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.exporter.otlp.proto.http")


def missing() -> str | None:
    """The package that traces need and that is not installed."""
    return next((name for name in _PACKAGES if find_spec(name) is None), None)


class Tracing(Protocol):
    """Where spans go."""

    def request(self, scope: Scope, exchange: Exchange, /) -> AbstractContextManager[None]:
        """What spans a request; what came of it is read from `exchange` at the end."""

    def span(self, name: str, /) -> AbstractContextManager[None]:
        """A part of the request."""

    def close(self) -> None:
        """Send what is not yet sent; takes seconds where nobody listens."""


class NoTracing:
    """Nowhere."""

    def request(self, _scope: Scope, _exchange: Exchange, /) -> AbstractContextManager[None]:
        return nullcontext()

    def span(self, _name: str, /) -> AbstractContextManager[None]:
        return nullcontext()

    def close(self) -> None:
        pass


class OpenTelemetry:
    """Spans by OpenTelemetry's semantic conventions for HTTP servers. The parent comes as W3C Trace Context says.

    What FastAPI, Starlette and OpenTelemetry have for this records queries; FastAPI's calls a client that leaves an
    error, and OpenTelemetry's makes a span of every chunk.
    """

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry import propagate, trace

        self._provider = provider
        self._tracer = provider.get_tracer("fanin", version("fanin"))
        self._extract = propagate.extract
        self._server = trace.SpanKind.SERVER
        self._error = trace.Status(trace.StatusCode.ERROR)

    @contextmanager
    def request(self, scope: Scope, exchange: Exchange, /) -> Iterator[None]:
        method = exchange.method
        context = self._extract({name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]})
        attributes = {
            "http.request.method": method,
            "url.scheme": scope["scheme"],
            "network.protocol.version": scope["http_version"],
            "client.address": exchange.address,
            "fanin.request_id": exchange.request_id,
        }
        with self._tracer.start_as_current_span(
            method, context, self._server, {name: value for name, value in attributes.items() if value is not None}
        ) as span:
            exchange.trace_id = format(span.get_span_context().trace_id, "032x")
            try:
                yield
            finally:
                found = {
                    "http.route": exchange.route,
                    "http.response.status_code": exchange.status,
                    "http.response.body.size": exchange.sent_bytes,
                    "fanin.recipe": exchange.recipe,
                    "fanin.problem": exchange.problem,
                    "fanin.ended": exchange.ended,
                }
                span.update_name(f"{method} {exchange.route}" if exchange.route else method)
                span.set_attributes({name: value for name, value in found.items() if value is not None})
                if exchange.status is not None and exchange.status >= 500:
                    span.set_status(self._error)

    @contextmanager
    def span(self, name: str, /) -> Iterator[None]:
        # Not made the current one: it may end in another task than it began in.
        span = self._tracer.start_span(name)
        try:
            yield
        finally:
            span.end()

    def close(self) -> None:
        self._provider.shutdown()


def exporting() -> OpenTelemetry:
    """Traces sent by OTLP over HTTP, as the standard variables OTEL_* say."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create()
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: "fanin"}))
    provider = TracerProvider(resource=Resource({SERVICE_VERSION: version("fanin")}).merge(resource))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return OpenTelemetry(provider)
