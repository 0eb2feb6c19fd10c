"""One connection to a cluster for all jobs, and a new one after the cluster was lost."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from fanin.artifact import Plan
from fanin.artifact.engines import Task
from fanin.artifact.progress import Tally
from fanin.artifact.writing import write as write_item
from fanin.errors import EngineError
from fanin_service.artifacts import opening
from fanin_service.artifacts.cluster import Cluster
from fanin_service.settings import Settings
from tests.support.artifacts import REQUEST, wait_until
from tests.support.limits import refused
from tests.support.servers import running

PLAN = Plan.of({"shape": [1], "scheme": "zeros"})


class Fake:
    """An engine that waits, and fails if the test says so. It counts its connections."""

    def __init__(self) -> None:
        self.opened = self.closed = self.begun = 0
        self.let = threading.Event()
        self.is_failing = False

    @contextmanager
    def connected(self) -> Iterator[None]:
        self.opened += 1
        yield
        self.closed += 1

    def run(self, task: Task, plan: Plan, url: str, items: Iterable[int], *, backend: str | None, tally: Tally) -> None:
        assert self.opened > self.closed
        self.begun += 1
        assert self.let.wait(60)
        if self.is_failing:
            raise EngineError("Ray: the head has died")


def test_jobs_share_a_connection() -> None:
    fake = Fake()
    cluster = Cluster(fake, fake.connected)

    def write() -> None:
        cluster.run(write_item, PLAN, "/x", [], backend=None, tally=Tally(PLAN, ()))

    with ThreadPoolExecutor(3) as pool:
        jobs = [pool.submit(write) for _ in range(3)]
        fake.let.set()
        for job in jobs:
            job.result()
        assert (fake.begun, fake.opened, fake.closed) == (3, 1, 0)
        fake.is_failing = True
        for failed in [pool.submit(write) for _ in range(3)]:
            with pytest.raises(EngineError):
                failed.result()
    assert fake.opened == fake.closed
    fake.is_failing, before = False, fake.opened
    write()
    assert (fake.opened, fake.closed) == (before + 1, before)
    cluster.close()
    assert fake.opened == fake.closed


def test_a_lost_cluster_stops_an_artifact(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = Fake()
    fake.let.set()
    fake.is_failing = True
    monkeypatch.setattr("fanin_service.artifacts.artifacts.open_cluster", lambda _: Cluster(fake, fake.connected))
    with running(Settings(artifact_destinations={"weights": str(tmp_path)})) as server:
        path = server.client.post("/v1/artifacts", json=REQUEST).headers["Location"]
        found = wait_until(server.client, path, "stopped")
        assert found["problem"] == "engine-unavailable"
        refused(server.client.post("/v1/artifacts", json={**REQUEST, "destination": "x"}), 422, "invalid-artifact")
    assert fake.opened == fake.closed == 1


def test_threads_need_no_cluster() -> None:
    assert opening.open_cluster(Settings()) is None
