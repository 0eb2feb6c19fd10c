"""A service whose backend waits, so that tests see artifacts in the making."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from fanin_service.access import keys
from fanin_service.artifacts import job
from fanin_service.settings import Settings
from tests.support.artifacts import REQUEST, wait_until
from tests.support.backends import WaitingBackend
from tests.support.servers import Running, running


@dataclass
class Made:
    """A running service, and where it writes artifacts."""

    server: Running
    backend: WaitingBackend
    folder: Path

    @property
    def client(self) -> httpx.Client:
        return self.server.client

    def post(self, *, status: int = 202, headers: dict[str, str] | None = None, **members: Any) -> httpx.Response:
        answer = self.client.post("/v1/artifacts", json={**REQUEST, **members}, headers=headers)
        assert answer.status_code == status, answer.text
        return answer

    def begun(self, **options: Any) -> str:
        """Request an artifact, and return its path while the backend waits in its first file."""
        self.backend.asked.clear()
        self.backend.let.clear()
        path = self.post(**options).headers["Location"]
        assert self.backend.asked.wait(60)
        return path

    def end(self, path: str, state: str = "complete", **options: Any) -> dict[str, Any]:
        """Let the backend generate, and return the artifact when it has this state."""
        self.backend.let.set()
        return wait_until(self.client, path, state, **options)


@pytest.fixture(autouse=True)
def _attentive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the journal before each file, and write the files in their order."""
    monkeypatch.setattr(job, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(job.random, "randrange", lambda _: 0)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Made]:
    backend, folder = WaitingBackend(), tmp_path / "weights"
    settings = Settings(artifact_destinations={"weights": str(folder)}, check_seconds=86_400)
    with running(settings, backend) as server:
        try:
            yield Made(server, backend, folder)
        finally:
            backend.let.set()


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """A service for requests that are refused."""
    backend, folder = WaitingBackend(), tmp_path_factory.mktemp("idle")
    with running(Settings(artifact_destinations={"weights": str(folder)}, check_seconds=86_400), backend) as server:
        yield Made(server, backend, folder)


@dataclass
class Guarded(Made):
    """As `Made`, with keys."""

    keys_file: Path

    def bearer(self, *scopes: str, bytes_per_day: int | None = None) -> dict[str, str]:
        key = keys.create(self.keys_file, "tester", scopes, bytes_per_day=bytes_per_day)[0]
        return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def guarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Guarded]:
    monkeypatch.setattr(keys, "RELOAD_SECONDS", 0.0)
    path, backend, folder = tmp_path / "keys.json", WaitingBackend(), tmp_path / "weights"
    keys.create(path, "first", ("metrics:read",))
    settings = Settings(
        artifact_destinations={"weights": str(folder)}, access="keys", keys_file=path, check_seconds=86_400
    )
    with running(settings, backend) as server:
        try:
            yield Guarded(server, backend, folder, path)
        finally:
            backend.let.set()
