"""Fixtures of the service's tests."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from fanin import FileLayout, backends
from fanin.plan import read_into
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
