"""Fixtures of the service's tests."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator

import httpx
import pytest

from fanin import FileLayout, backends
from fanin.plan import read_into
from tests.support.clocks import Clocks
from tests.support.processes import Workers, serving
from tests.support.servers import MIXED, Running, running


@pytest.fixture(scope="session")
def server() -> Iterator[Running]:
    """One server for all tests that leave nothing behind."""
    with running() as server:
        yield server


@pytest.fixture
def client(server: Running) -> httpx.Client:
    return server.client


@pytest.fixture(scope="session")
def mixed_file() -> bytes:
    """The whole file of `MIXED`, by the reference backend."""
    layout = FileLayout.of(MIXED)
    content = bytearray(b"\xca" * layout.size)
    read_into(layout, 0, memoryview(content), backends.load("reference"))
    return bytes(content)


@pytest.fixture
def workers() -> Iterator[Workers]:
    with serving("--workers", "2") as (url, process):
        found = Workers(url, process)
        ready = threading.Semaphore(0)

        def follow() -> None:
            assert process.stderr
            for line in process.stderr:
                if started := re.search(r"Started server process \[(\d+)\]", line):
                    found.pids.append(int(started[1]))
                if "startup complete" in line:
                    ready.release()

        threading.Thread(target=follow, daemon=True).start()
        for _ in range(2):
            assert ready.acquire(timeout=60)
        yield found


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    return Clocks(monkeypatch)
