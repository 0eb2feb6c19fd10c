"""Metrics, for Prometheus. Names and labels are an interface: dashboards and alerts of users refer to them."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from fanin.recipe import STREAM
from fanin_service.context import RequestContext

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable with the directory in which processes share metrics. prometheus_client reads it at import."""

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_LONG = (*_SECONDS, 30, 60, 300, 1800)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_RESULTS = ("passed", "failed")
_ENDS = ("complete", "stopped", "failed", "spoiled", "cancelled")
_REASONS = ("client_left", "stalled", "drained", "failed")

_COUNTERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "fanin_http_requests": (
        "Requests, by route (the path's template), method and status of the response.",
        ("route", "method", "status"),
    ),
    "fanin_http_sent_bytes": ("Bytes of response bodies written to connections.", ()),
    "fanin_problems": ("Problem responses, by problem: the last part of its type.", ("problem",)),
    "fanin_streams_ended_early": (
        "Responses that ended early, by reason: client_left, stalled, drained (the service stopped), failed.",
        ("reason",),
    ),
    "fanin_generated_bytes": ("Bytes of files generated. Cached files of up to 64 KiB count once.", ()),
    "fanin_generation_seconds": ("Seconds that threads spent generating, summed over threads.", ()),
    "fanin_artifact_bytes": ("Bytes of tensors in files of artifacts that were begun to be written.", ()),
    "fanin_artifacts_ended": (
        "Artifacts that this service has ended to write, by state: complete, stopped, failed, spoiled, cancelled.",
        ("state",),
    ),
    "fanin_known_answer_tests": (
        "Known-answer tests of the backend, by result: passed, failed.",
        ("result",),
    ),
}
"""Meaning and labels by name. prometheus_client appends `_total`."""
_HISTOGRAMS: dict[str, tuple[str, tuple[str, ...], tuple[float, ...]]] = {
    "fanin_http_request_duration_seconds": (
        "Seconds from the request's head to the end of the response, by route.",
        ("route",),
        _LONG,
    ),
    "fanin_http_first_byte_seconds": (
        "Seconds from the request's head to the first byte of the response's body, by route.",
        ("route",),
        _SECONDS,
    ),
}
"""Meaning, labels and buckets by name."""
_GAUGES: dict[str, tuple[str, tuple[str, ...], Literal["livesum", "livemin", "livemax"]]] = {
    "fanin_streams": ("Files of more than 64 KiB in flight.", (), "livesum"),
    "fanin_in_flight_bytes": ("Unsent bytes of files of more than 64 KiB in flight.", (), "livesum"),
    "fanin_generator_threads": ("Threads that generate files.", (), "livesum"),
    "fanin_artifacts": ("Artifacts that are being written.", (), "livesum"),
    "fanin_recipes": ("Recipes cached in memory.", (), "livesum"),
    "fanin_ready": ("1 if weights are served, else 0; the minimum over all workers.", (), "livemin"),
    "fanin_known_answer_timestamp_seconds": (
        "Unix time at which the last known-answer test ended, or the process started; the earliest of all workers.",
        (),
        "livemin",
    ),
    "fanin_limits_away": (
        "1 while the Redis that counts limits is unreachable, else 0; also 0 without Redis.",
        (),
        "livemax",
    ),
    # Gauges and not prometheus_client's Info, which does not work across processes.
    "fanin_backend_info": ("Always 1; the label is the backend in use.", ("backend",), "livemax"),
    "fanin_build_info": (
        "Always 1; the labels are the versions of Fanin and of the stream.",
        ("version", "stream"),
        "livemax",
    ),
}
"""Meaning, labels, and the way to combine the values of several processes, by name."""


class Metrics:
    """Metrics of one process. Processes with the same `DIRECTORY` share them, and each exports the metrics of all."""

    def __init__(self, backend: str) -> None:
        self.registry = registry = CollectorRegistry()
        self._directory = os.environ.get(DIRECTORY)
        self._of_route: dict[tuple[str, str, int | None], tuple[Counter, Histogram, Histogram]] = {}
        counters = {name: Counter(name, text, labels, registry=registry) for name, (text, labels) in _COUNTERS.items()}
        histograms = {
            name: Histogram(name, text, labels, buckets=buckets, registry=registry)
            for name, (text, labels, buckets) in _HISTOGRAMS.items()
        }
        gauges = {
            name: Gauge(name, text, labels, multiprocess_mode=mode, registry=registry)
            for name, (text, labels, mode) in _GAUGES.items()
        }
        self._requests, self._problems = counters["fanin_http_requests"], counters["fanin_problems"]
        self._sent, self._ended = counters["fanin_http_sent_bytes"], counters["fanin_streams_ended_early"]
        self._generated, self._generation = counters["fanin_generated_bytes"], counters["fanin_generation_seconds"]
        self._known_answers = counters["fanin_known_answer_tests"]
        self._duration = histograms["fanin_http_request_duration_seconds"]
        self._first_byte = histograms["fanin_http_first_byte_seconds"]
        self._streams, self._in_flight = gauges["fanin_streams"], gauges["fanin_in_flight_bytes"]
        self._threads, self._recipes = gauges["fanin_generator_threads"], gauges["fanin_recipes"]
        self._ready, self._limits_away = gauges["fanin_ready"], gauges["fanin_limits_away"]
        self._artifacts, self._artifacts_ended = gauges["fanin_artifacts"], counters["fanin_artifacts_ended"]
        self._artifact_bytes = counters["fanin_artifact_bytes"]
        self._known_answer_time = gauges["fanin_known_answer_timestamp_seconds"]
        # A gauge begins at 0: the alert on an old test would fire whenever a worker starts.
        self._known_answer_time.set(time.time())
        gauges["fanin_backend_info"].labels(backend).set(1)
        gauges["fanin_build_info"].labels(version("fanin"), STREAM).set(1)
        for result in _RESULTS:
            self._known_answers.labels(result)
        for state in _ENDS:
            self._artifacts_ended.labels(state)
        for reason in _REASONS:
            self._ended.labels(reason)
        # Processes that share a directory would export only the values of the one that received the request.
        if self._directory is None:
            ProcessCollector(registry=registry)
        registry.register(GpuMemory())

    def request_ends(self, context: RequestContext) -> None:
        """Count a request and its response."""
        method = context.method if context.method in _METHODS else "other"
        key = (context.route or "none", method, context.status)
        requests, duration, first_byte = self._of_route.get(key) or self._look_up(*key)
        requests.inc()
        duration.observe(context.seconds)
        if context.first_byte_seconds is not None:
            first_byte.observe(context.first_byte_seconds)
        if context.problem:
            self._problems.labels(context.problem).inc()
        if context.ended:
            self._ended.labels(context.ended.replace(" ", "_")).inc()

    def _look_up(self, route: str, method: str, status: int | None) -> tuple[Counter, Histogram, Histogram]:
        """Return the series of a request, cached: finding a series by its labels takes longer than counting in it."""
        found = (
            self._requests.labels(route, method, status or "none"),
            self._duration.labels(route),
            self._first_byte.labels(route),
        )
        self._of_route[route, method, status] = found
        return found

    def stream_begins(self, size: int) -> None:
        """Count a file, or `size` bytes of it, as in flight."""
        self._streams.inc()
        self._in_flight.inc(size)

    def stream_ends(self, unsent: int) -> None:
        """Count a stream as ended, with this number of bytes not sent."""
        self._streams.dec()
        self._in_flight.dec(unsent)

    def sent(self, count: int, *, in_flight: bool) -> None:
        """Count bytes of a body that were handed to the connection, of a file in flight or of another response."""
        self._sent.inc(count)
        if in_flight:
            self._in_flight.dec(count)

    def generated(self, count: int, seconds: float) -> None:
        """Count `count` bytes that a thread has generated in `seconds`."""
        self._generated.inc(count)
        self._generation.inc(seconds)

    def artifact_begins(self) -> None:
        """Count an artifact as being written."""
        self._artifacts.inc()

    def artifact_file_begins(self, count: int) -> None:
        """Count the bytes of the tensors in a file of an artifact."""
        self._artifact_bytes.inc(count)

    def artifact_ends(self, state: str) -> None:
        """Count an artifact as not being written any more."""
        self._artifacts.dec()
        self._artifacts_ended.labels(state).inc()

    def threads(self, count: int) -> None:
        """Set the number of threads that generate."""
        self._threads.set(count)

    def recipes(self, count: int) -> None:
        """Set the number of cached recipes."""
        self._recipes.set(count)

    def known_answer(self, passed: bool) -> None:
        """Count a known-answer test that has ended."""
        self._known_answers.labels("passed" if passed else "failed").inc()
        self._known_answer_time.set(time.time())

    def ready(self, ready: bool) -> None:
        """Set whether weights are served."""
        self._ready.set(ready)

    def limits_away(self, away: bool) -> None:
        """Set whether shared limits are unreachable."""
        self._limits_away.set(away)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """Return the metrics of all workers and their media type: OpenMetrics if the Accept header names it."""
        registry = self.registry
        if self._directory is not None:
            _forget_the_dead(Path(self._directory))
            registry = CollectorRegistry()
            registry.register(_Processes(Path(self._directory)))
            registry.register(GpuMemory())
        # prometheus_client would choose by the version that the header names.
        if "application/openmetrics-text" in accept:
            return openmetrics.generate_latest(registry), openmetrics.CONTENT_TYPE_LATEST
        return generate_latest(registry), CONTENT_TYPE_LATEST


class _Processes(Collector):
    """The metrics of all processes, dead ones included.

    A process makes its files empty and enlarges them then. One that was killed in between has left an empty file, which
    prometheus_client cannot read: without this class, no metric could be exported until the service is restarted.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def collect(self) -> Iterable[Metric]:
        files = [str(path) for path in self._directory.glob("*.db") if _has_content(path)]
        found: Iterable[Metric] = MultiProcessCollector.merge(files)
        return found


class GpuMemory(Collector):
    """Memory of the GPUs, while CuPy is in use. A GPU that raises an error is left out."""

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return (
            GaugeMetricFamily(
                "fanin_gpu_memory_used_bytes",
                "Bytes in use on each GPU by all processes; exported while CuPy is in use.",
                labels=("gpu",),
            ),
            GaugeMetricFamily("fanin_gpu_memory_bytes", "Total bytes of memory of each GPU.", labels=("gpu",)),
        )

    def collect(self) -> Iterable[GaugeMetricFamily]:
        used, total = families = self.describe()
        if (cupy := sys.modules.get("cupy")) is not None:
            runtime = cupy.cuda.runtime
            try:
                for gpu in range(runtime.getDeviceCount()):
                    with cupy.cuda.Device(gpu):
                        free, size = runtime.memGetInfo()
                    used.add_metric((str(gpu),), size - free)
                    total.add_metric((str(gpu),), size)
            except runtime.CUDARuntimeError:
                pass
        return families


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:  # another worker has removed the gauges of a dead one
        return False


def _forget_the_dead(directory: Path) -> None:
    """Remove the gauges of workers that have ended: their responses are not in flight any more."""
    for path in list(directory.glob("gauge_live*.db")):
        try:
            os.kill(int(path.stem.rpartition("_")[2]), 0)
        except (ProcessLookupError, PermissionError):
            # Workers run as one user: a process that we may not signal has reused the id of a worker.
            # Several workers may do this at the same time, and another one may have removed the file.
            path.unlink(missing_ok=True)
