"""Shutdown: the server is unready at once, later refuses connections, and exits after the last response."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from fanin import FileLayout, backends
from fanin.file.plan import read_into
from fanin_service.settings import Settings
from tests.support.backends import WaitingBackend
from tests.support.processes import Workers, serving
from tests.support.servers import running, wait_for

SMALL = "/v1/weights?shape=5&scheme=normal&std=1"
BIG = "/v1/weights?shape=6000000&scheme=normal&std=1"
"""URL of 24 MB, more than all buffers between a server and a client that does not read."""
ENDLESS = "/v1/weights?shape=1000000,1000000&scheme=zeros"


def sha256_of_big() -> str:
    layout = FileLayout.of({"shape": [6_000_000], "scheme": "normal", "std": 1})
    content = bytearray(layout.size)
    read_into(layout, 0, memoryview(content), backends.get())
    return hashlib.sha256(content).hexdigest()


def refuses(url: str) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", int(url.rpartition(":")[2]))) != 0


@contextmanager
def stream(url: str, path: str) -> Iterator[tuple[httpx.Response, Iterator[bytes]]]:
    """Yield a response whose first bytes have arrived, and an iterator over the rest."""
    with httpx.Client(timeout=60) as client, client.stream("GET", url + path) as answer:
        parts = answer.iter_raw(1 << 16)
        first = next(parts)

        def whole() -> Iterator[bytes]:
            yield first
            yield from parts

        yield answer, whole()


@pytest.mark.parametrize("count", ["1", "2"])
def test_the_steps(count: str) -> None:
    with serving("--drain-seconds", "4", "--workers", count) as (url, process):
        with httpx.Client(base_url=url, timeout=60) as idle, stream(url, BIG) as (_, parts):
            assert idle.get("/readyz").status_code == 200
            process.send_signal(signal.SIGTERM)
            wait_for(lambda: httpx.get(f"{url}/readyz", timeout=60).status_code == 503)
            # Check a connection that is open already, and new connections.
            for answer in (idle.get("/readyz"), httpx.get(f"{url}/readyz", timeout=60)):
                assert (answer.status_code, answer.headers["Connection"]) == (503, "close")
                assert answer.json()["detail"] == "the service is stopping"
            assert httpx.get(url + SMALL, timeout=60).status_code == 200
            assert httpx.get(f"{url}/livez", timeout=60).status_code == 200
            wait_for(lambda: refuses(url))
            assert process.poll() is None
            found = hashlib.sha256()
            for part in parts:
                found.update(part)
        assert found.hexdigest() == sha256_of_big()
        assert process.wait(60) == 0


@pytest.mark.parametrize("count", ["1", "2"])
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_waits_for_nobody(count: str, second: signal.Signals) -> None:
    with (
        serving("--shutdown-seconds", "3600", "--workers", count) as (url, process),
        stream(url, ENDLESS) as (_, parts),
    ):
        process.send_signal(signal.SIGTERM)
        wait_for(lambda: refuses(url))
        assert next(parts)
        process.send_signal(second)
        assert process.wait(60) == 0


def test_ctrl_c_reaches_workers_and_supervisor_alike(workers: Workers) -> None:
    with stream(workers.url, BIG) as (_, parts):
        for pid in (*workers.pids, workers.process.pid):
            os.kill(pid, signal.SIGINT)
        found = hashlib.sha256()
        for part in parts:
            found.update(part)
    assert found.hexdigest() == sha256_of_big()
    assert workers.process.wait(60) == 0


@pytest.mark.parametrize("count", ["1", "2"])
def test_signals_ignored_at_the_start_stay_ignored(count: str) -> None:
    """`nohup` ignores SIGHUP, and a shell's background jobs SIGINT: the supervisor and every server ignore them too."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGHUP, signal.SIGINT)}
    try:
        with serving("--workers", count) as (url, process):
            assert httpx.get(f"{url}/readyz", timeout=60).status_code == 200
            for number in before:
                assert is_ignored(process.pid, number)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def is_ignored(pid: int, number: signal.Signals) -> bool:
    """Return whether a process ignores a signal, by its status in /proc."""
    (mask,) = re.findall(r"^SigIgn:\s*([0-9a-f]+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return bool(int(mask, 16) >> (number - 1) & 1)


def test_an_idle_connection_does_not_hold_up_the_end() -> None:
    with (
        serving("--shutdown-seconds", "3600") as (url, process),
        socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as begun,
        httpx.Client(base_url=url) as idle,
    ):
        begun.sendall(b"GET / HT")
        assert idle.get("/livez").status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_a_stream_that_is_cut_leaves_one_line_in_the_log() -> None:
    with serving("--shutdown-seconds", "0") as (url, process), stream(url, ENDLESS):
        process.send_signal(signal.SIGTERM)
        assert process.stderr
        lines = process.stderr.readlines()
        assert process.wait(60) == 0
    assert not [line for line in lines if "Traceback" in line]
    assert len([line for line in lines if "ended=drained" in line]) == 1


def test_what_has_not_begun_at_the_end_is_refused_as_busy() -> None:
    backend = WaitingBackend()
    with ThreadPoolExecutor(1) as threads, running(Settings(shutdown_seconds=0), backend) as server:
        backend.let.clear()
        backend.asked.clear()
        waiting = threads.submit(server.client.get, SMALL)
        assert backend.asked.wait(60)
        server.server.should_exit = True
        try:
            answer = waiting.result(60)
        finally:
            backend.let.set()
    assert answer.status_code == 503
    assert answer.json()["type"] == "urn:fanin:problem:not-ready"


def test_sighup_lets_answers_end(workers: Workers) -> None:
    with stream(workers.url, BIG) as (_, parts):
        old = set(workers.pids)
        workers.process.send_signal(signal.SIGHUP)
        reader = threading.Thread(target=wait_for, args=(lambda: len(workers.pids) >= 3,))
        reader.start()
        found = hashlib.sha256()
        for part in parts:
            found.update(part)
        reader.join()
    assert found.hexdigest() == sha256_of_big()
    wait_for(lambda: len(set(workers.pids) - old) == 2)
