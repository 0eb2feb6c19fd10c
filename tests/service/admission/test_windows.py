"""Counters: windows, clocks that jump, and shared counters that become unavailable and return."""

from __future__ import annotations

import asyncio

import pytest

from fanin_service.access.principal import ANONYMOUS
from fanin_service.admission import windows
from fanin_service.admission.admission import Admission, Usage
from fanin_service.admission.errors import LimitsUnavailableError, QuotaExceededError, TooManyRequestsError
from fanin_service.admission.windows import Count, CountersAwayError, LocalCounters, SharedCounters
from tests.support.clocks import Clocks, guarded

HOURS = 3600.0


def ask(gate: Admission, size: int = 0) -> Usage:
    """Admit a request, and send its full response of `size` bytes."""

    async def answer() -> Usage:
        usage = Usage()
        await gate.count(usage, ANONYMOUS, "192.0.2.1")
        if size:
            try:
                await gate.admit(usage, size)
                assert usage.grant
                usage.grant.sent(size)
            finally:
                gate.leave(usage)
                await asyncio.sleep(0)
        return usage

    return asyncio.run(answer())


@pytest.mark.parametrize("jump", [-30 * HOURS, -5.0, 5.0, 30 * HOURS])
def test_a_rate_does_not_see_the_wall_clock(clocks: Clocks, jump: float) -> None:
    gate = guarded(client_requests_per_minute=2)
    ask(gate)
    clocks.set(jump / HOURS)
    ask(gate)
    clocks.pass_by(20)
    with pytest.raises(TooManyRequestsError) as refused:
        ask(gate)
    assert refused.value.headers["Retry-After"] == "40"
    clocks.pass_by(40)
    ask(gate)


def test_a_day_is_one_of_utc(clocks: Clocks) -> None:
    gate = guarded(client_bytes_per_day=10)
    ask(gate, 8)
    with pytest.raises(QuotaExceededError) as refused:
        ask(gate, 3)
    assert refused.value.headers["Retry-After"] == "3600"
    ask(gate, 2)
    clocks.pass_by(HOURS)
    ask(gate, 10)


def test_a_clock_set_over_midnight_and_back_renews_no_quota(clocks: Clocks) -> None:
    gate = guarded(client_bytes_per_day=10)
    ask(gate, 10)
    clocks.set(+5)
    ask(gate, 10)  # this process cannot know that it is not tomorrow
    clocks.set(-5)
    with pytest.raises(QuotaExceededError):
        ask(gate, 1)
    clocks.pass_by(2 * HOURS)
    with pytest.raises(QuotaExceededError):
        ask(gate, 1)
    clocks.set(-3)
    with pytest.raises(QuotaExceededError):
        ask(gate, 1)


def test_local_counts_end_and_are_bounded(monkeypatch: pytest.MonkeyPatch, clocks: Clocks) -> None:
    monkeypatch.setattr(windows, "MAX_COUNTS", 4000)

    async def fill() -> None:
        kept = LocalCounters()
        await kept.add("bytes of the day", 5, 2 * 86_400)
        for number in range(20_000):
            await kept.add(f"key {number}", 1, 60)
        assert len(kept._counts) <= 4000
        assert (await kept.add("key 19999", 1, 60)).value == 2
        assert (await kept.add("bytes of the day", 1, 2 * 86_400)).value == 6
        clocks.pass_by(61)
        for number in range(5000):
            await kept.add(f"other {number}", 1, 60)
        assert (await kept.add("key 19999", 1, 60)).value == 1
        await kept.take_back("key 19999", 5)
        assert (await kept.add("key 19999", 1, 60)).value == 1

    asyncio.run(fill())


class Distant:
    """Counters of a server that a test can make unavailable."""

    def __init__(self) -> None:
        self.there, self._counters = True, LocalCounters()

    async def ping(self) -> None:
        if not self.there:
            raise CountersAwayError("away")

    async def add(self, key: str, amount: int, seconds: int) -> Count:
        await self.ping()
        return await self._counters.add(key, amount, seconds)

    async def take_back(self, key: str, amount: int) -> None: ...

    async def close(self) -> None: ...


@pytest.mark.parametrize("fall_back", [True, False])
def test_shared_counters_go_and_come_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fall_back: bool
) -> None:
    monkeypatch.setattr(windows, "PROBE_SECONDS", 0.001)
    told: list[bool] = []

    async def story() -> None:
        distant = Distant()
        shared = SharedCounters(distant, fall_back=fall_back, tell=told.append)
        assert (await shared.add("a", 5, 60)).value == 5
        distant.there = False
        for number in range(1, 4):
            if fall_back:
                assert (await shared.add("a", 1, 60)).value == number
            else:
                with pytest.raises(LimitsUnavailableError):
                    await shared.add("a", 1, 60)
        await asyncio.sleep(0.05)
        assert told == [True]
        distant.there = True
        while told == [True]:
            await asyncio.sleep(0.001)
        assert (await shared.add("a", 1, 60)).value == 6
        await shared.close()

    asyncio.run(story())
    assert told == [True, False]
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
