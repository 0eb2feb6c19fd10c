"""The client: errors of the service, and what is tried again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fanin
from fanin import Client, ServiceError, UnavailableError
from tests.support.faulty import Faulty, refuse, well
from tests.support.samples import MIXED


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_passing_refusals_are_waited_out(client: Client, service: Faulty, status: int) -> None:
    service.faults = [refuse(status), refuse(status, Retry_After="0"), well, refuse(status)]
    np.testing.assert_array_equal(client.tensor(MIXED, "head"), fanin.materialize(MIXED)["head"])


def test_lasting_refusals_are_told_in_the_services_words(client: Client, service: Faulty) -> None:
    service.faults = [refuse(503)] * 10
    with pytest.raises(ServiceError, match="503 Refused; /seed: no such seed") as caught:
        client.tensor(MIXED, "head")
    assert caught.value.status == 503
    assert caught.value.problem["type"] == "urn:x"
    assert len(service.requests) == 4


def test_a_proxy_that_hangs_up_is_told_the_recipe(client: Client, service: Faulty) -> None:
    """One that puts a file together from slices does so when a replica does not know the recipe of a later one."""

    def hang_up(handler: Any) -> bool:
        handler.close_connection = True
        return True

    client.register(MIXED)
    before = len(service.requests)
    service.faults = [hang_up] * 2
    assert client.tensor(MIXED, "head").tobytes() == fanin.materialize(MIXED)["head"].tobytes()
    methods = [request.partition(" ")[0] for request in service.requests[before:]]
    assert methods == ["GET", "GET", "POST", "GET"]
    service.faults = [hang_up] * 100
    with pytest.raises(UnavailableError):
        client.tensor(MIXED, "head")


def test_a_refusal_that_stays_is_not_repeated(client: Client, service: Faulty) -> None:
    service.faults = [refuse(422)]
    with pytest.raises(ServiceError, match="422"):
        client.tensor(MIXED, "head")
    assert len(service.requests) == 1


@pytest.mark.parametrize(
    "body",
    [
        b'{"errors": 5}',
        b'{"errors": true, "title": [1]}',
        b"[" * 100_000,
        b"\xff",
        b"{" + b'"a":1,' * 10**6 + b'"b":1}',
    ],
)
def test_odd_problems_are_service_errors(client: Client, service: Faulty, body: bytes) -> None:
    def odd(handler: Any) -> bool:
        handler.answer(422, {"Content-Type": "application/problem+json"}, body)
        return True

    service.faults = [odd]
    with pytest.raises(ServiceError, match="422"):
        client.tensor(MIXED, "head")


@pytest.mark.parametrize("headers", [{"Retry-After": "9" * 5000}, {"Location": "http://[::bad"}])
def test_odd_headers_are_service_errors(client: Client, service: Faulty, headers: dict[str, str]) -> None:
    def odd(handler: Any) -> bool:
        handler.answer(503 if "Retry-After" in headers else 302, headers, b"")
        return True

    service.faults = [odd] * 9
    with pytest.raises(ServiceError):
        client.tensor(MIXED, "head")
