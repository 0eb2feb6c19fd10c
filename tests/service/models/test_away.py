"""A model store that does not respond: not every call waits for it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fanin_service.models import away
from fanin_service.models.away import GuardedObjects
from fanin_service.models.objects import DirectoryObjects, ObjectsError
from tests.support.servers import wait_for


class HangingObjects(DirectoryObjects):
    """Objects whose calls hang or fail on demand."""

    hangs = fails = False
    calls = 0

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.end = threading.Event()

    def get(self, key: str) -> bytes | None:
        self.calls += 1
        if self.hangs:
            self.end.wait(60)
        if self.hangs or self.fails:
            raise ObjectsError("no response")
        return super().get(key)


@pytest.fixture
def objects(tmp_path: Path) -> HangingObjects:
    made = HangingObjects(tmp_path)
    made.put("a/b", b"x")
    return made


def test_one_call_finds_out_whether_it_is_back(objects: HangingObjects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(away, "SLOW_SECONDS", 0.0)
    monkeypatch.setattr(away, "RETRY_SECONDS", 0.0)
    guarded = GuardedObjects(objects)
    assert guarded.get("a/b") == b"x"
    objects.fails = True
    with pytest.raises(ObjectsError, match="no response"):
        guarded.get("a/b")
    objects.calls, objects.hangs = 0, True
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(guarded.get, "a/b")
        wait_for(lambda: objects.calls == 1)
        for _ in range(100):
            with pytest.raises(ObjectsError, match="no response"):
                guarded.get("a/b")
        assert objects.calls == 1
        objects.hangs = objects.fails = False
        objects.end.set()
        assert first.result(60) == b"x"
    assert guarded.get("a/b") == b"x"


def test_a_store_that_refuses_is_there(objects: HangingObjects, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read-only bucket refuses every put. Its models can still be read."""
    monkeypatch.setattr(away, "SLOW_SECONDS", 60.0)
    monkeypatch.setattr(away, "RETRY_SECONDS", 60.0)
    guarded = GuardedObjects(objects)
    objects.fails = True
    with pytest.raises(ObjectsError):
        guarded.get("a/b")
    objects.fails = False
    assert guarded.get("a/b") == b"x"


def test_after_a_failure_nothing_is_tried_for_a_while(objects: HangingObjects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(away, "SLOW_SECONDS", 0.0)
    monkeypatch.setattr(away, "RETRY_SECONDS", 60.0)
    guarded = GuardedObjects(objects)
    objects.fails = True
    for _ in range(3):
        with pytest.raises(ObjectsError, match="no response"):
            guarded.get("a/b")
    assert objects.calls == 1
