"""Metrics: the effects of requests on them, in one process and in several."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from starlette.endpoints import HTTPEndpoint
from starlette.routing import Route
from starlette.types import Message

from fanin import backends
from fanin_service.access.rules import public
from fanin_service.backend import guard
from fanin_service.context import context_of
from fanin_service.http.ranges import ByteRange
from fanin_service.http.routing import RouteTable
from fanin_service.pipeline import Pipeline
from fanin_service.settings import Settings
from fanin_service.stages import Observe
from fanin_service.telemetry import metrics
from fanin_service.telemetry.metrics import Metrics
from fanin_service.telemetry.tracing import NoTracing
from tests.support.backends import CountingBackend, FailingBackend, IdleBackend, WaitingBackend, never
from tests.support.metrics import value
from tests.support.processes import Workers
from tests.support.servers import HUGE, Running, running, wait_for

SMALL = "/v1/weights?shape=1000&scheme=zeros"


@pytest.fixture
def server() -> Iterator[Running]:
    """A server that receives requests from one test only."""
    with running() as server:
        yield server


def test_a_request_is_counted_by_its_template(server: Running) -> None:
    client = server.client
    for seed in range(3):
        client.get(f"{SMALL}&seed={seed}")
    labels = {"route": "/v1/weights"}
    size = int(client.head(SMALL).headers["Content-Length"])
    assert value(client, "fanin_http_requests_total", **labels, method="GET", status=200) == 3
    assert value(client, "fanin_http_requests_total", **labels, method="HEAD", status=200) == 1
    assert value(client, "fanin_http_request_duration_seconds_count", **labels) == 4
    assert value(client, "fanin_http_first_byte_seconds_count", **labels) == 3
    assert value(client, "fanin_generated_bytes_total") == 3 * size
    assert value(client, "fanin_generation_seconds_total") > 0
    assert value(client, "fanin_http_sent_bytes_total") > 3 * size


def test_what_clients_invent_makes_no_series(server: Running) -> None:
    for number in range(20):
        assert server.client.get(f"/secret/{number}").status_code == 404
        assert server.client.get(f"/v1/recipes/{number:064x}").status_code == 404
        assert server.client.request("SEARCH", SMALL).status_code == 405
    client = server.client
    assert value(client, "fanin_http_requests_total", route="none", method="GET", status=404) == 20
    assert value(client, "fanin_http_requests_total", route="/v1/recipes/{digest}", method="GET", status=404) == 20
    assert value(client, "fanin_http_requests_total", route="/v1/weights", method="other", status=405) == 20
    text = client.get("/metrics").text
    assert "secret" not in text
    assert "SEARCH" not in text


def test_refusals(server: Running) -> None:
    client = server.client
    client.get("/v1/weights?shape=7&scheme=abacus")
    client.get(SMALL, headers={"Range": "bytes=9999999-"})
    client.post("/v1/recipes", content=b"x", headers={"Content-Type": "text/plain"})
    for problem in ("invalid-recipe", "range-not-satisfiable", "unsupported-content"):
        assert value(client, "fanin_problems_total", problem=problem) == 1


def test_streams_are_in_flight_until_the_client_leaves(server: Running) -> None:
    client = server.client
    path = server.register(HUGE)
    size = int(client.head(path).headers["Content-Length"])
    with server.connection(path) as connection:
        assert connection.recv(1)
        assert value(client, "fanin_streams") == 1
        assert 0 <= size - value(client, "fanin_in_flight_bytes") < 64 << 20
    wait_for(lambda: value(client, "fanin_streams_ended_early_total", reason="client_left") == 1)
    assert value(client, "fanin_streams") == value(client, "fanin_in_flight_bytes") == 0


def test_a_whole_answer_has_not_ended_early(server: Running) -> None:
    client = server.client
    etag = client.get(SMALL).headers["ETag"]
    assert client.get(SMALL, headers={"If-None-Match": etag}).status_code == 304
    client.head(SMALL)
    client.head("/livez")
    client.get(SMALL, headers={"Range": "bytes=1-3"})
    for reason in ("client_left", "stalled", "drained", "failed"):
        assert value(client, "fanin_streams_ended_early_total", reason=reason) == 0


def test_a_stalled_client_is_told_from_one_that_left() -> None:
    with running(Settings(stall_seconds=1)) as server, server.connection(server.register(HUGE)) as connection:
        assert connection.recv(16)
        wait_for(lambda: value(server.client, "fanin_streams_ended_early_total", reason="stalled") == 1)
        assert value(server.client, "fanin_streams_ended_early_total", reason="client_left") == 0


def test_a_drained_stream() -> None:
    metrics = Metrics("reference")

    class Endless(HTTPEndpoint):
        async def dispatch(self) -> None:
            context_of(self.scope).part = ByteRange(0, 100_000)
            await self.send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100000")]})
            await self.send({"type": "http.response.body", "body": b"first", "more_body": True})
            began.set()
            await asyncio.sleep(60)

    async def nowhere(message: Message) -> None:
        pass

    async def main() -> None:
        route = Route("/", public(Endless))
        scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b"", "scheme": "http"}
        scope |= {"http_version": "1.1"}
        application = Pipeline([Observe(metrics, NoTracing())], RouteTable([route]))
        task = asyncio.ensure_future(application(scope, never, nowhere))
        await began.wait()
        assert metrics.registry.get_sample_value("fanin_in_flight_bytes") == 99_995
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    began = asyncio.Event()
    asyncio.run(main())
    assert metrics.registry.get_sample_value("fanin_streams_ended_early_total", {"reason": "drained"}) == 1
    assert metrics.registry.get_sample_value("fanin_in_flight_bytes") == 0
    assert metrics.registry.get_sample_value("fanin_http_sent_bytes_total") == 5


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_failed_stream() -> None:
    with running(backend=FailingBackend()) as server:
        with server.connection(server.register(HUGE)) as connection:
            while connection.recv(1 << 20):
                pass
        wait_for(lambda: value(server.client, "fanin_streams_ended_early_total", reason="failed") == 1)


def test_an_answer_of_the_error_handler_is_counted(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.app.state.service, "recipes", None)
    answer = server.client.get(f"/v1/recipes/{0:064x}", headers={"X-Request-ID": "mine"})
    assert answer.status_code == 500
    assert answer.headers["X-Request-ID"] == answer.json()["request_id"] == "mine"
    labels = {"route": "/v1/recipes/{digest}", "method": "GET", "status": 500}
    with httpx.Client(base_url=server.url) as client:  # the server has closed the other connection
        assert value(client, "fanin_http_requests_total", **labels) == 1
        assert value(client, "fanin_problems_total", problem="internal-error") == 1


def test_the_first_byte_waits_for_the_backend() -> None:
    backend = WaitingBackend()
    with running(backend=backend) as server:
        path = server.register(HUGE)
        backend.let.clear()
        with server.connection(path):
            wait_for(lambda: value(server.client, "fanin_streams") == 1)
            assert value(server.client, "fanin_generated_bytes_total") == 0
            backend.let.set()
            wait_for(lambda: value(server.client, "fanin_generated_bytes_total") > 0)


@pytest.mark.parametrize(("backend", "passed"), [(CountingBackend(), 1), (IdleBackend(), 0)])
def test_known_answers(backend: backends.Backend, passed: int) -> None:
    with running(backend=backend) as server:
        client = server.client
        assert value(client, "fanin_ready") == passed
        assert value(client, "fanin_known_answer_tests_total", result="passed") == passed
        assert value(client, "fanin_known_answer_tests_total", result="failed") == 1 - passed
        assert value(client, "fanin_known_answer_timestamp_seconds") > 1.7e9
        assert value(client, "fanin_backend_info", backend=backend.name) == 1


def test_a_backend_that_hangs_is_not_ready(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend that hangs does not finish its known-answer test, so no result reports it."""
    now = time.monotonic()
    assert value(server.client, "fanin_ready") == 1
    monkeypatch.setattr(guard, "time", SimpleNamespace(monotonic=lambda: now + 3600))
    assert value(server.client, "fanin_ready") == 0


def test_remembered_recipes() -> None:
    with running(Settings(registry_recipes=2)) as server:
        for count in (1, 2, 2):
            server.register({"shape": [2], "scheme": "zeros", "seed": count})
        server.register({"shape": [3], "scheme": "zeros"})
        assert value(server.client, "fanin_recipes") == 2


@pytest.mark.parametrize(
    ("accept", "media_type", "parse"),
    [
        ("*/*", "text/plain", parse_text),
        (
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2",
            "application/openmetrics-text",
            parse_openmetrics,
        ),
        ("application/openmetrics-text; version=not-a-version", "application/openmetrics-text", parse_openmetrics),
    ],
)
def test_formats(client: httpx.Client, accept: str, media_type: str, parse: Any) -> None:
    answer = client.get("/metrics", headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith(f"{media_type};")
    assert "fanin_http_requests" in {family.name for family in parse(answer.text)}
    assert client.head("/metrics", headers={"Accept": accept}).status_code == 200


class GpuError(Exception):
    """Stands for CuPy's CUDARuntimeError."""


def test_gpu_memory(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test replaces the four functions of CuPy that the service calls, so it needs no GPU."""
    client = server.client

    class Device:
        def __init__(self, gpu: int) -> None:
            self.gpu = gpu

        def __enter__(self) -> None:
            selected.append(self.gpu)

        def __exit__(self, *_: object) -> None:
            selected.pop()

    selected: list[int] = []
    runtime = SimpleNamespace(
        CUDARuntimeError=GpuError, getDeviceCount=lambda: 2, memGetInfo=lambda: (100 + selected[-1], 1000)
    )
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=SimpleNamespace(Device=Device, runtime=runtime)))
    assert value(client, "fanin_gpu_memory_used_bytes", gpu=0) == 900
    assert value(client, "fanin_gpu_memory_used_bytes", gpu=1) == 899
    assert value(client, "fanin_gpu_memory_bytes", gpu=1) == 1000

    def lost() -> tuple[int, int]:
        raise GpuError("the GPU has fallen off the bus")

    runtime.memGetInfo = lost
    assert client.get("/metrics").status_code == 200


def test_gauges_of_workers_that_ended_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process id can be free or belong to another user. Another worker can remove the files at the same time."""
    free, other, own = 1001, 1002, os.getpid()
    modes = ("livemax", "livemin", "livesum")
    for pid in (free, other, own):
        for name in (*(f"gauge_{mode}" for mode in modes), "counter"):
            (tmp_path / f"{name}_{pid}.db").touch()

    def ask(pid: int, number: int) -> None:
        assert number == 0
        if pid == free:
            for mode in modes:
                (tmp_path / f"gauge_{mode}_{free}.db").unlink(missing_ok=True)
            raise ProcessLookupError
        if pid == other:
            raise PermissionError

    monkeypatch.setattr(os, "kill", ask)
    metrics._forget_the_dead(tmp_path)
    counters = {f"counter_{pid}.db" for pid in (free, other, own)}
    assert {path.name for path in tmp_path.iterdir()} == counters | {f"gauge_{mode}_{own}.db" for mode in modes}


def test_a_worker_that_was_killed_while_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has created files and written nothing into them. Those of other workers are exported."""
    monkeypatch.setenv(metrics.DIRECTORY, str(tmp_path))
    for name in ("counter", "histogram", "gauge_livesum"):
        (tmp_path / f"{name}_{os.getpid()}.db").touch()
    key = mmap_key("fanin_problems", "fanin_problems_total", ["problem"], ["unknown-path"], "Problem responses.")
    with closing(MmapedDict(str(tmp_path / "counter_1001.db"))) as file:
        file.write_value(key, 3.0, 0.0)
    text, _ = Metrics("native").exposition("")
    assert b'fanin_problems_total{problem="unknown-path"} 3.0' in text.splitlines()


def test_a_worker_that_starts_has_no_old_known_answer() -> None:
    """Others export its gauges before its first test has ended, and an alert compares them with the clock."""
    text, _ = Metrics("native").exposition("")
    samples = {sample.name: sample.value for family in parse_text(text.decode()) for sample in family.samples}
    assert samples["fanin_ready"] == 0
    assert samples["fanin_known_answer_timestamp_seconds"] > 1.7e9


def test_workers_count_together(workers: Workers) -> None:
    """Every worker returns the metrics of all. The counters of a killed worker stay, and its gauges are removed."""

    def ask() -> httpx.Client:
        return httpx.Client(base_url=workers.url, timeout=60)

    before = {}
    with ask() as client:
        wait_for(lambda: value(client, "fanin_known_answer_tests_total", result="passed") == 2)
        before["threads"] = value(client, "fanin_generator_threads")
    for _ in range(30):
        with ask() as client:  # separate connections, so that several workers respond
            assert client.get(SMALL).status_code == 200
    labels = {"route": "/v1/weights", "method": "GET", "status": 200}
    with ask() as client:
        # The client can have a response before the worker that sent it has counted it.
        wait_for(lambda: value(client, "fanin_http_requests_total", **labels) == 30)
    for _ in range(5):
        with ask() as client:
            assert value(client, "fanin_http_requests_total", **labels) == 30
            assert value(client, "fanin_ready") == 1
    with ask() as client, client.stream("GET", "/v1/weights?shape=1000000000000&scheme=zeros") as answer:
        parts = answer.iter_raw()  # its deletion closes the connection
        next(parts)
        with ask() as other:
            assert value(other, "fanin_streams") == 1
            for pid in tuple(workers.pids):
                os.kill(pid, signal.SIGKILL)
            wait_for(lambda: len(workers.pids) == 4)
    with ask() as client:
        wait_for(lambda: value(client, "fanin_known_answer_tests_total", result="passed") == 4)
        assert value(client, "fanin_streams") == 0
        assert value(client, "fanin_generator_threads") == before["threads"]
        assert value(client, "fanin_http_requests_total", **labels) == 30
