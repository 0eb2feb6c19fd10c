"""Optional traces, by OpenTelemetry. The SDK, from the extra `otel`, is imported only if traces are on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.metadata import version
from typing import TYPE_CHECKING, Protocol

from fanin_service.context import RequestContext

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider


class Tracing(Protocol):
    """Receives the spans of requests."""

    enabled: bool
    """False if nothing receives them."""

    def request(self, context: RequestContext, /) -> AbstractContextManager[None]:
        """Return a context manager that spans a request. At its end it reads the result from `context`."""

    def span(self, name: str, /) -> AbstractContextManager[None]:
        """Return a context manager that spans a part of the request."""

    def close(self) -> None:
        """Send the remaining spans. Takes seconds if the collector is unreachable."""


class NoTracing:
    """Tracing disabled."""

    enabled = False

    def request(self, _context: RequestContext, /) -> AbstractContextManager[None]:
        return nullcontext()

    def span(self, _name: str, /) -> AbstractContextManager[None]:
        return nullcontext()

    def close(self) -> None:
        pass


class OpenTelemetry:
    """Spans by OpenTelemetry's semantic conventions for HTTP servers. The parent is that of W3C Trace Context.

    The instrumentations of FastAPI, Starlette and OpenTelemetry are not used: they record queries. FastAPI's reports a
    disconnected client as an error, and OpenTelemetry's creates a span for every chunk.
    """

    enabled = True

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry import propagate, trace

        self._provider = provider
        self._tracer = provider.get_tracer("fanin", version("fanin"))
        self._extract = propagate.extract
        self._server = trace.SpanKind.SERVER
        self._error = trace.Status(trace.StatusCode.ERROR)

    @contextmanager
    def request(self, context: RequestContext, /) -> Iterator[None]:
        method = context.method
        parent = self._extract({name.decode("latin-1"): value.decode("latin-1") for name, value in context.headers})
        attributes = {
            "http.request.method": method,
            "url.scheme": context.scheme,
            "network.protocol.version": context.http_version,
            "client.address": context.address,
            "fanin.request_id": context.request_id,
        }
        with self._tracer.start_as_current_span(
            method, parent, self._server, {name: value for name, value in attributes.items() if value is not None}
        ) as span:
            context.trace_id = format(span.get_span_context().trace_id, "032x")
            try:
                yield
            finally:
                found = {
                    "http.route": context.route,
                    "http.response.status_code": context.status,
                    "http.response.body.size": context.sent_bytes,
                    "fanin.recipe": context.recipe,
                    "fanin.problem": context.problem,
                    "fanin.ended": context.ended,
                }
                span.update_name(f"{method} {context.route}" if context.route else method)
                span.set_attributes({name: value for name, value in found.items() if value is not None})
                if context.status is not None and context.status >= 500:
                    span.set_status(self._error)

    @contextmanager
    def span(self, name: str, /) -> Iterator[None]:
        # The span does not become the current one: it may end in another task than it began in.
        span = self._tracer.start_span(name)
        try:
            yield
        finally:
            span.end()

    def close(self) -> None:
        self._provider.shutdown()


def exporting() -> OpenTelemetry:
    """Return tracing by OTLP over HTTP, configured by the standard variables OTEL_*."""
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
