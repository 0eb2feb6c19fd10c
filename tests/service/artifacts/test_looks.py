"""Looks that requests share, and requests that arrive during a look."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from fanin.artifact.destinations.directory import Directory
from fanin_service.artifacts.journal import Journal, State
from fanin_service.artifacts.looks import Looks
from tests.service.artifacts.conftest import Guarded, Made
from tests.support.artifacts import FILE_BYTES, FILES, wait_until
from tests.support.servers import wait_for


def test_a_look_began_after_the_request() -> None:
    """Requests during a look share one that begins later: what they have changed is in its result."""

    async def run() -> None:
        looks, may_end, results = Looks[int](), asyncio.Event(), iter(range(9))

        async def look() -> int:
            seen = next(results)
            await may_end.wait()
            return seen

        first = asyncio.create_task(looks.at("key", look))
        shared = asyncio.create_task(looks.at("key", look))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        later = [asyncio.create_task(looks.at("key", look)) for _ in range(3)]
        await asyncio.sleep(0)
        later[0].cancel()
        may_end.set()
        assert await asyncio.gather(first, shared, *later[1:]) == [0, 0, 1, 1]
        assert await looks.at("key", look) == 2

    asyncio.run(run())


def test_a_look_that_fails_is_not_the_last() -> None:
    async def run() -> None:
        looks, outcomes = Looks[int](), iter([OSError("away"), 7])

        async def look() -> int:
            await asyncio.sleep(0)
            outcome = next(outcomes)
            if isinstance(outcome, OSError):
                raise outcome
            return outcome

        first = asyncio.create_task(looks.at("key", look))
        await asyncio.sleep(0)
        with pytest.raises(OSError, match="away"):
            await first
        assert await looks.at("key", look) == 7

    asyncio.run(run())


@contextmanager
def paused_look(monkeypatch: pytest.MonkeyPatch, number: int) -> Iterator[Callable[[], None]]:
    """Let the job that writes an artifact wait at the end of a look at its journal, its `number`-th from now.

    Yield a function that waits for this moment. At the end the job continues.
    """
    newest, looks = Journal.newest, iter(range(1, 1_000_000))
    has_looked, may_go_on = threading.Event(), threading.Event()

    def look(journal: Journal) -> State | None:
        found = newest(journal)
        if threading.current_thread().name.startswith("fanin-artifact") and next(looks) == number:
            has_looked.set()
            assert may_go_on.wait(60)
        return found

    def wait() -> None:
        assert has_looked.wait(60)

    monkeypatch.setattr(Journal, "newest", look)
    try:
        yield wait
    finally:
        may_go_on.set()


def test_a_client_that_joins_during_a_look_stays(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = guarded.bearer("artifacts:write"), guarded.bearer("artifacts:write")
    path = guarded.begun(headers=one)
    with paused_look(monkeypatch, 1) as wait:
        guarded.backend.let.set()
        wait()
        guarded.backend.let.clear()
        guarded.post(headers=other)
    assert guarded.client.delete(path, headers=one).json()["state"] == "writing"
    assert guarded.end(path, headers=other)["items_done"] == FILES


def test_a_request_during_the_last_look_of_a_job_is_not_lost(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    path = made.begun()
    made.client.delete(path)
    made.post()
    made.client.delete(path)
    # Its first look shows that it was cancelled; its second, whether it is wanted again.
    with paused_look(monkeypatch, 2) as wait:
        made.backend.let.set()
        wait()
        made.post()
    assert made.end(path)["items_done"] == FILES


def test_the_quota_of_a_client_does_not_stop_another_replica(guarded: Guarded) -> None:
    client = guarded.bearer("artifacts:write", "weights:read", bytes_per_day=10 * FILE_BYTES)
    path = guarded.begun(headers=client)
    journal = Journal(Directory(guarded.folder), path.rpartition("/")[2])
    journal.update(lambda state: state.ordered("of another replica"))
    fetched = f"/v1/weights?shape={5 * FILE_BYTES}&scheme=zeros&dtype=F8_E5M2"
    with guarded.client.stream("GET", fetched, headers=client) as response:
        guarded.backend.let.set()
        wait_for(lambda: (found := journal.newest()) is not None and len(found.clients) < 2)
        response.read()  # Bytes that a client leaves unread are not counted.
    found = journal.newest()
    assert found is not None
    assert (found.state, found.clients) == ("writing", ("of another replica",))
    guarded.post(headers=client, status=429)
    other = guarded.bearer("artifacts:write")
    guarded.post(headers=other)
    assert wait_until(guarded.client, path, "complete", headers=other)["items_done"] == FILES
