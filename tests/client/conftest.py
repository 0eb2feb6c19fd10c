"""A service with faults, and clients of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fanin import Client
from tests.support.faulty import Faulty


@pytest.fixture
def service() -> Iterator[Faulty]:
    with Faulty() as faulty:
        yield faulty


@pytest.fixture
def client(service: Faulty) -> Iterator[Client]:
    with Client(service.url, backoff=0, where="remote", retries=3, timeout=5) as client:
        yield client


@pytest.fixture
def four(service: Faulty) -> Iterator[Client]:
    """A client of four connections and small parts: `BIG` has thirteen."""
    with Client(
        service.url, backoff=0, where="remote", retries=3, timeout=5, connections=4, request_bytes=1 << 16
    ) as client:
        yield client
