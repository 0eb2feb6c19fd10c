"""When the client tries again, over a transport without a socket and a clock without time."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import urllib3

import fanin
from fanin import BusyError, Client, ConnectionLostError, FileLayout, RefusedError, UnreachableError
from fanin.client import runtime
from fanin.client.messages import Request, Response
from fanin.client.retries import Retries
from fanin.errors import ServiceError
from tests.support.faulty import Faulty, refuse
from tests.support.samples import MIXED

LAYOUT = FileLayout.of(MIXED)
URL = "http://service.test"


@dataclass
class Scripted:
    """A transport that does what the script says, one step for each request, and repeats the last step."""

    script: list[Callable[[Request], Response]]
    requests: list[Request] = field(default_factory=list)

    def send(self, request: Request) -> Response:
        self.requests.append(request)
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        return step(request)

    def close(self) -> None:
        pass

    @property
    def methods(self) -> list[str]:
        return [request.method for request in self.requests]


def answer(status: int, body: bytes = b"", **headers: str) -> Callable[[Request], Response]:
    def step(_: Request) -> Response:
        parts = [body, b""]
        return Response(
            status, {name.replace("_", "-"): value for name, value in headers.items()}, lambda: parts.pop(0)
        )

    return step


def unreachable(_: Request) -> Response:
    raise UnreachableError("connection refused")


def lost(_: Request) -> Response:
    raise ConnectionLostError("reset")


@dataclass
class Clock:
    """Time passes only while something sleeps, or an attempt takes `cost` seconds."""

    time: float = 0.0
    waits: list[float] = field(default_factory=list)

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.time += seconds


def attempts_until_failure(policy: Retries, error: ServiceError, cost: float = 0.0) -> tuple[int, Clock]:
    """Return the number of attempts of a call that always fails with `error`, and the clock afterwards.

    Each attempt takes `cost` seconds.
    """
    clock, count = Clock(), 0

    async def attempt(_: object) -> None:
        nonlocal count
        count += 1
        clock.time += cost
        raise error

    with pytest.raises(type(error)):
        runtime.run(policy.run(attempt, clock.sleep, now=clock.now))
    return count, clock


def test_a_service_that_is_down_is_asked_once_before_auto_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    connect, attempts = urllib3.util.connection.create_connection, []

    def counted(address: tuple[str, int], *args: Any, **options: Any) -> Any:
        attempts.append(address)
        return connect(address, *args, **options)

    monkeypatch.setattr("urllib3.util.connection.create_connection", counted)
    with Client("http://127.0.0.1:9") as client:
        found = client.materialize(MIXED)
    assert found["head"].tobytes() == fanin.materialize(MIXED)["head"].tobytes()
    assert attempts == [("127.0.0.1", 9)]


def test_a_service_that_is_down_is_tried_again_if_it_is_needed() -> None:
    transport = Scripted([unreachable])
    with Client(URL, where="remote", retries=3, backoff=0, transport=transport) as client:
        with pytest.raises(UnreachableError):
            client.materialize(MIXED)
        # No connection was lost, so the service has not forgotten the recipe: it is not sent.
        assert transport.methods == ["GET"] * 4


def test_auto_does_not_give_up_a_download_that_has_begun() -> None:
    transport = Scripted([lost, unreachable, answer(503), lost])
    with Client(URL, retries=2, backoff=0, transport=transport) as client:
        client.materialize(MIXED)
    assert transport.methods == ["GET"] * 3


@pytest.mark.parametrize("error", [UnreachableError("x"), ConnectionLostError("x"), BusyError("x", status=503)])
def test_waits_double_and_end(error: ServiceError) -> None:
    count, clock = attempts_until_failure(Retries(attempts=5, backoff=0.2), error)
    assert count == 6
    for place, wait in enumerate(clock.waits):
        assert 0.2 * 2**place <= wait <= 0.3 * 2**place
    assert clock.time < 9.3 + 1e-9


@pytest.mark.parametrize("backoff", [0.0, 0.2])
def test_a_program_can_wait_for_a_service_for_a_day(backoff: float) -> None:
    """After 1,024 attempts, the doubled wait is beyond float64."""
    policy = Retries(attempts=3000, backoff=backoff, patience=1e9)
    count, clock = attempts_until_failure(policy, UnreachableError("x"))
    assert count == 3001
    assert max(clock.waits) <= 45


def test_no_attempt_begins_after_the_patience() -> None:
    # Each attempt waits for a response as long as the timeout allows.
    _, clock = attempts_until_failure(Retries(attempts=1000, patience=120), ConnectionLostError("x"), cost=60)
    assert clock.time <= 120 + 60
    count, clock = attempts_until_failure(Retries(attempts=1000, backoff=1, patience=0), UnreachableError("x"))
    assert (count, clock.waits) == (1, [])


@pytest.mark.parametrize(("seconds", "count"), [(0.0, 6), (20.0, 6), (50.0, 3), (121.0, 1)])
def test_retry_after_is_obeyed_within_the_patience(seconds: float, count: int) -> None:
    error = BusyError("x", status=429)
    error.retry_after = seconds
    found, clock = attempts_until_failure(Retries(), error)
    assert found == count
    assert clock.waits == [seconds] * (count - 1)


def test_progress_is_a_new_beginning() -> None:
    clock, count = Clock(), 0

    async def attempt(progress: Any) -> str:
        nonlocal count
        count += 1
        progress.made()
        if count < 100:
            raise ConnectionLostError("x")
        return "done"

    assert runtime.run(Retries(attempts=1, patience=1).run(attempt, clock.sleep, now=clock.now)) == "done"
    assert count == 100


def test_a_refusal_is_final() -> None:
    assert attempts_until_failure(Retries(), RefusedError("x", status=403))[0] == 1
    assert attempts_until_failure(Retries(), RefusedError("x", status=404))[0] == 1
    assert attempts_until_failure(Retries(), ServiceError("nonsense"))[0] == 1


def test_registering_for_a_service_that_hangs_up_has_an_end() -> None:
    transport = Scripted([lost])
    with (
        Client(URL, where="remote", retries=4, backoff=0, transport=transport) as client,
        pytest.raises(ConnectionLostError),
    ):
        client.materialize(MIXED)
    # After the second connection without a byte the recipe is due, and its requests are attempts like others.
    assert transport.methods == ["GET", "GET", "POST", "POST", "POST"]


def test_a_service_without_retries_gets_the_recipe() -> None:
    problem = answer(404, b"{}", content_type="application/problem+json")
    digest = json.dumps({"digest": LAYOUT.recipe.digest}).encode()
    transport = Scripted([problem, answer(201, digest), problem])
    with (
        Client(URL, where="remote", retries=0, transport=transport) as client,
        pytest.raises(RefusedError, match="404"),
    ):
        client.materialize(MIXED)
    assert transport.methods == ["GET", "POST", "GET"]


def test_a_model_is_stored_as_soon_as_the_service_has_room() -> None:
    transport = Scripted([answer(503, retry_after="0"), lost, answer(200, b'{"name": "me/tiny"}')])
    with Client(URL, backoff=0, transport=transport) as client:
        assert client.push("me/tiny", {"shape": [2], "scheme": "zeros"}) == {"name": "me/tiny"}
    assert [(request.method, request.url) for request in transport.requests] == [
        ("PUT", f"{URL}/v1/models/me/tiny")
    ] * 3


def test_redirects_have_an_end_and_keep_the_range() -> None:
    transport = Scripted([answer(307, location="/elsewhere")])
    with (
        Client(URL, where="remote", transport=transport) as client,
        pytest.raises(ServiceError, match="more than 10 redirects"),
    ):
        client.materialize(MIXED)
    assert len({request.headers["Range"] for request in transport.requests}) == 1
    assert transport.requests[-1].url == f"{URL}/elsewhere"


def test_the_errors_have_types() -> None:
    with Client("http://127.0.0.1:9", retries=0) as client, pytest.raises(UnreachableError):
        client.register(MIXED)
    with Faulty() as service, Client(service.url, retries=0) as client:

        def hang_up(handler: Any) -> bool:
            handler.close_connection = True
            return True

        service.faults = [hang_up, refuse(429, Retry_After="7"), refuse(503), refuse(403)]
        with pytest.raises(ConnectionLostError):
            client.register(MIXED)
        for seconds in (7, None):
            with pytest.raises(BusyError) as busy:
                client.register(MIXED)
            assert busy.value.retry_after == seconds
        with pytest.raises(RefusedError) as refused:
            client.register(MIXED)
        assert refused.value.status == 403
