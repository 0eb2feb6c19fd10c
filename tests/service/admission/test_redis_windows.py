"""Limits in a real Redis that servers share. The tests kill, restart, stop and resume it."""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis as redis_client

from fanin_service.access import keys
from fanin_service.admission import redis_windows, windows
from fanin_service.settings import Settings
from tests.support.limits import LARGE, SMALL, nothing_in_flight, refused, remaining
from tests.support.metrics import value
from tests.support.servers import Running, running, wait_for

pytestmark = pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")


class Redis:
    """A Redis that stores nothing on disk."""

    def __init__(self, directory: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.url = f"redis://:secret@127.0.0.1:{self.port}/1"
        self._directory = directory
        self.start()

    def start(self) -> None:
        options = {"port": self.port, "bind": "127.0.0.1", "requirepass": "secret", "save": "", "dir": self._directory}
        command = ["redis-server", *(text for name, to in options.items() for text in (f"--{name}", str(to)))]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        wait_for(self._answers)

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)


@pytest.fixture
def redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Redis]:
    monkeypatch.setattr(redis_windows, "TIMEOUT_SECONDS", 20.0)  # not to fail on a busy machine
    redis = Redis(tmp_path)
    try:
        yield redis
    finally:
        redis.kill()


def limits(redis: Redis, **more: Any) -> Settings:
    return Settings(limits_url=redis.url, **more)


def away(server: Running) -> bool:
    return value(server.client, "fanin_limits_away") == 1


def test_two_servers_share_a_rate(redis: Redis) -> None:
    with running(limits(redis, client_requests_per_minute=10)) as one, running(one_more(redis)) as other:
        statuses = [server.client.get("/v1/schemes").status_code for _ in range(6) for server in (one, other)]
        assert statuses == [200] * 10 + [429] * 2
        answer = other.client.get("/v1/schemes")
        refused(answer, 429, "too-many-requests")
        assert re.fullmatch(r'"requests";r=0;t=\d\d?', answer.headers["RateLimit"])


def one_more(redis: Redis) -> Settings:
    return limits(redis, client_requests_per_minute=10)


def test_two_servers_share_failed_logins(redis: Redis, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    keys.create(path, "x", ())
    settings = limits(redis, access="keys", keys_file=path, failed_logins_per_minute=5)
    with running(settings) as one, running(settings) as other:
        bad = {"Authorization": "Bearer word"}
        statuses = [server.client.get(SMALL, headers=bad).status_code for _ in range(4) for server in (one, other)]
        assert statuses == [401] * 5 + [429] * 3


def test_two_servers_share_a_day(redis: Redis) -> None:
    settings, quota = limits(redis, client_bytes_per_day=600_000_000_000), 600_000_000_000
    with running(settings) as one, running(settings) as other:
        with one.client.stream("GET", LARGE) as stream:
            assert stream.status_code == 200
            refused(other.client.get(LARGE), 429, "quota-exceeded")
        wait_for(lambda: nothing_in_flight(one))
        wait_for(lambda: remaining(other) > quota - (64 << 20))
        assert abs(remaining(one) - remaining(other)) <= 1


def test_many_at_once_get_no_more_than_there_is(redis: Redis) -> None:
    settings = limits(redis, client_requests_per_minute=100)
    with running(settings) as one, running(settings) as other, ThreadPoolExecutor(8) as threads:
        urls = [f"{server.url}/v1/schemes" for server in (one, other)] * 100
        with httpx.Client(timeout=60) as client:
            statuses = list(threads.map(lambda url: client.get(url).status_code, urls))
    assert sorted(statuses) == [200] * 100 + [429] * 100


def test_killed_and_started_again_in_mid_traffic(redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    settings = limits(redis, client_requests_per_minute=100_000, client_bytes_per_day=10**12)
    with running(settings) as one, running(settings) as other, one.client.stream("GET", LARGE) as stream:
        parts = stream.iter_raw(1 << 20)
        with caplog.at_level(logging.WARNING, "fanin_service"):
            for _ in range(2):
                for server in (one, other):
                    assert server.client.get(SMALL).status_code == 200
                redis.kill()
                for server in (one, other):
                    assert [server.client.get(SMALL).status_code for _ in range(20)] == [200] * 20
                    assert away(server)
                next(parts)
                redis.start()
                wait_for(lambda: not away(one) and not away(other))
                for server in (one, other):
                    assert server.client.get(SMALL).status_code == 200
                next(parts)
        # Two servers each log the loss and the return of Redis, twice.
        told = [record.levelname for record in caplog.records if record.name == "fanin_service.admission.windows"]
        assert sorted(told) == ["ERROR"] * 4 + ["WARNING"] * 4
        assert "secret" not in caplog.text


def test_no_redis_no_service_where_that_is_wanted(redis: Redis) -> None:
    with running(limits(redis, client_requests_per_minute=1000, limits_fallback="refuse")) as server:
        assert server.client.get(SMALL).status_code == 200
        redis.kill()
        for _ in range(5):
            refused(server.client.get(SMALL), 503, "limits-unavailable")
        assert server.client.get("/readyz").status_code == 200
        redis.start()
        wait_for(lambda: server.client.get(SMALL).status_code == 200)


def test_a_redis_that_hangs_is_waited_for_once(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(limits(redis, client_requests_per_minute=1000, client_bytes_per_day=10**12)) as server:
        asked = 0
        add = server.app.state.service.admission._counters._remote.add

        async def counted(*arguments: Any) -> Any:
            nonlocal asked
            asked += 1
            return await add(*arguments)

        server.app.state.service.admission._counters._remote.add = counted
        assert server.client.get(SMALL).status_code == 200
        monkeypatch.setattr(redis_windows, "TIMEOUT_SECONDS", 0.5)
        redis.send(signal.SIGSTOP)
        try:
            asked = 0
            assert [server.client.get(SMALL).status_code for _ in range(20)] == [200] * 20
            assert asked == 1  # afterwards only the probe sends requests
            assert away(server)
        finally:
            redis.send(signal.SIGCONT)
        wait_for(lambda: not away(server))
        monkeypatch.setattr(redis_windows, "TIMEOUT_SECONDS", 20.0)
        wait_for(lambda: not away(server))
        asked = 0
        assert server.client.get(SMALL).status_code == 200
        assert asked


def test_a_server_starts_without_its_redis(redis: Redis) -> None:
    redis.kill()
    with running(limits(redis, client_requests_per_minute=2)) as server:
        assert away(server)
        assert [server.client.get(SMALL).status_code for _ in range(3)] == [200, 200, 429]


def test_a_redis_that_refuses_to_write(
    redis: Redis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A Redis that responds to PING and does not count is unavailable."""
    monkeypatch.setattr(windows, "PROBE_SECONDS", 0.01)
    probes = 0
    ping = redis_windows.RedisCounters.ping

    async def counted(self: redis_windows.RedisCounters) -> None:
        nonlocal probes
        probes += 1
        await ping(self)

    monkeypatch.setattr(redis_windows.RedisCounters, "ping", counted)
    with running(one_more(redis)) as server, redis_client.Redis(port=redis.port, password="secret") as control:
        assert not away(server)
        control.config_set("min-replicas-to-write", "1")
        before = probes
        for _ in range(5):
            assert server.client.get("/v1/schemes").status_code in (200, 429)
        wait_for(lambda: probes > before + 20)
        assert away(server)
        messages = [record.getMessage() for record in caplog.records if "FANIN_LIMITS_URL" in record.getMessage()]
        assert len(messages) == 1, messages
        control.config_set("min-replicas-to-write", "0")
        wait_for(lambda: not away(server))


def test_a_burst_of_requests_is_counted_on_few_connections(redis: Redis) -> None:
    """With one connection for each request, they took so long that Redis was considered unreachable."""

    async def burst() -> tuple[list[int], int]:
        counted = redis_windows.RedisCounters(redis.url)
        counts = await asyncio.gather(*(counted.add("client", 1, 60) for _ in range(300)))
        with redis_client.Redis(port=redis.port, password="secret") as control:
            connections = len(control.client_list()) - 1
        await counted.close()
        return sorted(count.value for count in counts), connections

    values, connections = asyncio.run(burst())
    assert values == [*range(1, 301)]
    assert 1 <= connections <= redis_windows.MAX_CALLS


def test_requests_that_wait_for_their_turn_fail_with_those_before_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_windows, "TIMEOUT_SECONDS", 0.05)
    calls = 0

    async def silent(*_arguments: object) -> int:
        nonlocal calls
        calls += 1
        await asyncio.Event().wait()
        return 0

    async def burst() -> list[windows.Count | BaseException]:
        counted = redis_windows.RedisCounters("redis://127.0.0.1:1/0")
        counted._storage.incr = silent  # type: ignore[method-assign]
        return await asyncio.gather(*(counted.add("client", 1, 60) for _ in range(100)), return_exceptions=True)

    answers = asyncio.run(burst())
    assert [type(answer) for answer in answers] == [windows.CountersAwayError] * 100
    assert calls == redis_windows.MAX_CALLS


def test_a_busy_event_loop_does_not_look_like_a_silent_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_windows, "TIMEOUT_SECONDS", 0.25)

    async def answer() -> str:
        asyncio.get_running_loop().call_soon(time.sleep, 0.5)
        await asyncio.sleep(0.01)
        return "counted"

    assert asyncio.run(redis_windows._in_time(answer())) == "counted"
