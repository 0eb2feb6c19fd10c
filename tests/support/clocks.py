"""Clocks that a test sets."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from fanin_service.admission import admission, windows
from fanin_service.admission.admission import Admission
from fanin_service.settings import Settings


class Clocks:
    """The clocks of this process, under a test's control. `set` changes the wall clock, not the monotonic one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall = datetime(2026, 3, 1, 23, 0, tzinfo=UTC)
        self.since_boot = 1000.0
        clocks = self

        class Wall(datetime):
            @classmethod
            def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
                return clocks.wall

        monkeypatch.setattr(admission, "datetime", Wall)
        monkeypatch.setattr(time, "time", lambda: self.wall.timestamp())
        monkeypatch.setattr(windows.time, "monotonic", lambda: self.since_boot)

    def pass_by(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.since_boot += seconds

    def set(self, hours: float) -> None:
        """Move the wall clock by `hours`, as an administrator does."""
        self.wall += timedelta(hours=hours)


def guarded(**limits: int) -> Admission:
    return Admission(Settings(**limits), lambda away: None)
