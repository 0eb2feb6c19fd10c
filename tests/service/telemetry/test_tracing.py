"""Traces, in memory and over OTLP/HTTP."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from fanin_service import service
from fanin_service.settings import Settings, types
from fanin_service.telemetry import tracing
from fanin_service.telemetry.tracing import OpenTelemetry
from tests.support.backends import FailingBackend
from tests.support.processes import run, serving
from tests.support.servers import HUGE, Running, running, wait_for

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CONTEXT = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
URL = "/v1/weights?shape=1000&scheme=zeros&seed=secret1"
GOOD = "/v1/weights?shape=1000&scheme=zeros&seed=1"


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(service, "exporting", lambda: OpenTelemetry(provider))
    return exporter


@pytest.fixture
def server(exporter: InMemorySpanExporter) -> Iterator[Running]:
    with running(Settings(traces=True)) as server:
        yield server


def spans(exporter: InMemorySpanExporter, count: int) -> list[ReadableSpan]:
    wait_for(lambda: len(exporter.get_finished_spans()) >= count)
    found = exporter.get_finished_spans()
    assert len(found) == count
    return list(found)


def test_a_request_its_recipe_and_its_bytes(server: Running, exporter: InMemorySpanExporter) -> None:
    answer = server.client.get(GOOD, headers=CONTEXT)
    parse, generate, request = spans(exporter, 3)
    assert [span.name for span in (parse, generate, request)] == ["parse", "generate", "GET /v1/weights"]
    assert request.kind is SpanKind.SERVER
    assert request.parent
    assert request.context
    assert format(request.parent.span_id, "016x") == PARENT
    for span in (parse, generate):
        assert span.parent
        assert span.parent.span_id == request.context.span_id
        assert span.context
        assert format(span.context.trace_id, "032x") == TRACE
        assert span.start_time
        assert request.start_time
        assert request.start_time <= span.start_time
    assert request.attributes
    assert dict(request.attributes) == {
        "http.request.method": "GET",
        "http.route": "/v1/weights",
        "http.response.status_code": 200,
        "http.response.body.size": len(answer.content),
        "url.scheme": "http",
        "network.protocol.version": "1.1",
        "client.address": "127.0.0.1",
        "fanin.recipe": answer.headers["ETag"].strip('"'),
        "fanin.request_id": answer.headers["X-Request-ID"],
    }
    assert request.status.status_code is StatusCode.UNSET


def test_without_context_a_trace_begins(server: Running, exporter: InMemorySpanExporter) -> None:
    for headers in ({}, {"traceparent": "nonsense"}):
        server.client.get("/v1/schemes", headers=headers)
        (request,) = spans(exporter, 1)
        assert request.parent is None
        exporter.clear()


def test_an_unsampled_context_is_respected(server: Running, exporter: InMemorySpanExporter) -> None:
    server.client.get(GOOD, headers={"traceparent": f"00-{TRACE}-{PARENT}-00"})
    server.client.get("/v1/schemes")
    assert [span.name for span in spans(exporter, 1)] == ["GET /v1/schemes"]


def test_a_refusal_is_no_error_and_its_query_is_not_told(server: Running, exporter: InMemorySpanExporter) -> None:
    server.client.get(URL)
    parse, request = spans(exporter, 2)
    assert request.attributes
    assert request.attributes["fanin.problem"] == "invalid-recipe"
    assert request.status.status_code is StatusCode.UNSET
    assert "secret" not in parse.to_json() + request.to_json()


def test_health_is_not_traced(server: Running, exporter: InMemorySpanExporter) -> None:
    for path in ("/livez", "/readyz", "/metrics", "/v1/schemes"):
        server.client.get(path)
    assert [span.name for span in spans(exporter, 1)] == ["GET /v1/schemes"]


def test_a_client_that_leaves_ends_its_spans(server: Running, exporter: InMemorySpanExporter) -> None:
    with server.connection(server.register(HUGE)) as connection:
        assert connection.recv(1)
    *_, generate, request = spans(exporter, 4)
    assert generate.name == "generate"
    assert request.attributes
    assert request.attributes["fanin.ended"] == "client left"


def test_a_failure_is_an_error(exporter: InMemorySpanExporter) -> None:
    with running(Settings(traces=True), FailingBackend()) as server:
        with server.connection(server.register(HUGE)) as connection:
            while connection.recv(1 << 20):
                pass
        request = spans(exporter, 4)[-1]
    assert request.status.status_code is StatusCode.ERROR
    assert [event.name for event in request.events] == ["exception"]


@contextmanager
def collector() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """An OTLP/HTTP receiver: its URL, and path and body of each received request."""
    received: list[tuple[str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", received
        server.shutdown()


def test_a_receiver_gets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command reads the standard variables, and sends the remaining spans when it stops."""
    with collector() as (url, received):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
        with serving("--traces", "true") as (served, _):
            assert httpx.get(served + GOOD, headers=CONTEXT).status_code == 200
    assert {path for path, _ in received} == {"/v1/traces"}
    requests = [ExportTraceServiceRequest.FromString(body) for _, body in received]
    (resource,) = (spans.resource for request in requests for spans in request.resource_spans)
    attributes = {each.key: each.value.string_value for each in resource.attributes}
    assert attributes["service.name"] == "fanin"
    assert attributes["deployment.environment.name"] == "test"
    names = {
        span.name: span.trace_id.hex()
        for request in requests
        for of_resource in request.resource_spans
        for of_scope in of_resource.scope_spans
        for span in of_scope.spans
    }
    assert names == dict.fromkeys(("GET /v1/weights", "parse", "generate"), TRACE)


def test_the_name_of_the_service_is_the_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "weights-eu")
    exporting = tracing.exporting()
    assert exporting._provider.resource.attributes["service.name"] == "weights-eu"
    exporting.close()


def test_off_the_sdk_is_not_imported() -> None:
    code = (
        "import sys; from fanin_service.app import create_app; from fanin_service.settings.settings import Settings;"
        " create_app(Settings()); sys.exit(any(name.startswith('opentelemetry.sdk') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_a_missing_package_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(types, "find_spec", lambda name: None if name == "opentelemetry.sdk" else object())
    with pytest.raises(ValueError, match=r"opentelemetry\.sdk.*pip install '\.\[service,otel\]'"):
        Settings(traces=True)
    assert Settings().traces is False


def test_a_wrong_wish_for_traces_stops_the_start() -> None:
    done = run("--traces", "perhaps")
    assert done.returncode == 2
    assert "--traces" in done.stderr
