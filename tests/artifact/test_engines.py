"""Engines by their names."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from fanin import backends
from fanin.artifact.destinations.base import Destination
from fanin.artifact.destinations.directory import Directory
from fanin.artifact.engines import ENGINES, engine_of
from fanin.artifact.engines.attempts import StoppedError, run_item
from fanin.artifact.plan import Plan
from fanin.artifact.progress import Progress, Tally
from fanin.artifact.writing import Report
from fanin.backends import Backend
from fanin.errors import DestinationError, MissingPackageError


def test_an_engine_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, ENGINES["ray"], raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingPackageError, match=r"engine ray needs the package ray.*pip install '\.\[ray\]'"):
        engine_of("ray")


def test_an_unknown_engine() -> None:
    with pytest.raises(ValueError, match="engine is one of ray, threads, not 'dask'"):
        engine_of("dask")


class Attempts:
    """A task that counts its attempts, reports 100 bytes in each, and fails in the first ones."""

    def __init__(self, failures: int, error: Exception, then: Callable[[], None] = lambda: None) -> None:
        self.count = 0
        self._failures, self._error, self._then = failures, error, then

    def __call__(self, plan: Plan, number: int, place: Destination, backend: Backend, report: Report) -> None:
        self.count += 1
        report(100)
        self._then()
        if self.count <= self._failures:
            raise self._error
        report(plan.nbytes - 100)


def test_attempts_for_an_item(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that may pass is repeated, and the bytes of its attempt are subtracted. Others end the item at once."""
    monkeypatch.setattr("fanin.artifact.engines.attempts._SECONDS", 0.0)
    plan, place = Plan.of({"tensors": {"w": {"shape": [100], "scheme": "ones"}}}), Directory(tmp_path)
    passing, lasting = DestinationError("503", may_pass=True), DestinationError("403", may_pass=False)
    stop, seen = threading.Event(), list[Progress]()

    def run(task: Attempts, attempts: int = 4) -> None:
        seen.clear()
        run_item(
            task, plan, 0, place, backends.get(), tally=Tally(plan, [0], seen.append), stop=stop, attempts=attempts
        )

    run(task := Attempts(3, passing))
    assert task.count == 4
    assert [each.bytes_done for each in seen] == [100, 0, 100, 0, 100, 0, 100, 400, 400]
    assert [each.items_done for each in seen] == [0] * 8 + [1]
    for error, failures, count in ((passing, 4, 4), (lasting, 1, 1)):
        task = Attempts(failures, error)
        with pytest.raises(DestinationError, match=str(error)):
            run(task)
        assert task.count == count
    task = Attempts(0, lasting, then=stop.set)
    with pytest.raises(StoppedError):
        run(task)
    assert (task.count, [each.items_done for each in seen]) == (1, [0])
