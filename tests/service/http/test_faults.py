"""After any fault, a client has the right bytes, or an error that names the fault."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from shutil import disk_usage
from typing import Any, Self

import httpx
import pytest
from jwt import api_jwt

import fanin
from fanin import Client, FileLayout
from fanin.draws import Draw
from fanin.dtypes import DType
from fanin.streams import Stream
from fanin_service.access import keys
from fanin_service.access.scopes import Right
from fanin_service.settings import Settings
from tests.support.backends import CountingBackend, MoodyBackend
from tests.support.identity import Provider
from tests.support.processes import serving
from tests.support.proxy import BadNetwork, Fault
from tests.support.servers import Running, running, wait_for

RECIPE: dict[str, Any] = {
    "seed": 3,
    "tensors": {
        "a": {"shape": [3000, 1001], "scheme": "normal", "std": 1.0},
        "b": {"shape": [2_000_003], "scheme": "glorot_uniform", "in_axes": [0], "out_axes": [], "dtype": "BF16"},
        "c": {"shape": [777_777], "scheme": "truncated_normal", "std": 1.0, "dtype": "F64"},
    },
}
"""A recipe of 22 MB."""
SIZE = FileLayout.of(RECIPE).size


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "file"
    fanin.save(RECIPE, path)
    return path.read_bytes()


def check_download(server: Running, faults: list[Fault], path: Path, whole: bytes, **options: Any) -> None:
    with (
        BadNetwork(server.address) as network,
        Client(network.url, where="remote", verify="digest", timeout=2, **options) as client,
    ):
        client.register(RECIPE)
        network.faults[:] = faults
        client.close()  # the next request then opens a new connection
        client.save(RECIPE, path)
        assert len(network.done) == len(faults)
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "faults",
    [
        [Fault("reset", at) for at in (2_000_000, 5_000_000, 900_000)],
        [Fault("truncate", at) for at in (2_000_001, 300_000, 5_000_000)],
        [Fault("reset", 0), Fault("truncate", 20), Fault("reset", 200)],
        [Fault("delay", 1_000_000, 0.5), Fault("flip", 3)][:1],
        [Fault("delay", 1_000_000, 3)],
        [Fault("flip", 7_654_321)],
        [Fault("reset", 4_000_000), Fault("flip", 2_345_678), Fault("truncate", 3)][:2],
    ],
    ids=["reset", "truncated", "in the head", "late", "too late", "flipped", "reset and flipped"],
)
def test_a_bad_network(server: Running, tmp_path: Path, whole: bytes, faults: list[Fault]) -> None:
    check_download(server, faults, tmp_path / "got", whole)


@pytest.mark.soak("requests")
def test_a_network_that_is_bad_all_the_time(server: Running, tmp_path: Path, whole: bytes) -> None:
    generator = random.Random(1)
    for _ in range(200):
        faults = [
            # Flip bits of the body only: a flipped bit of the head can change its meaning.
            Fault(kind, generator.randrange(10_000, 2_000_000), 0.1)
            for kind in generator.choices(["reset", "truncate", "flip", "delay"], k=generator.randrange(4))
        ]
        # A flip or a delay does not close its connection. A later fault would wait for another connection that may
        # never open, so they are last.
        faults.sort(key=lambda fault: fault.kind in ("flip", "delay"))
        last = [fault for fault in faults if fault.kind in ("flip", "delay")][:1]
        faults = [fault for fault in faults if fault not in last and fault.kind in ("reset", "truncate")] + last
        check_download(server, faults, tmp_path / "got", whole, connections=1)


@dataclass
class Disk:
    """A separate file system."""

    path: Path

    def resize(self, size: str) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", self.path], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A file system of 8 MiB."""
    path = tmp_path / "disk"
    path.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "fanin-test", path], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
    yield Disk(path)
    subprocess.run(["umount", path], check=True)


def test_a_full_disk_at_the_client(disk: Disk, whole: bytes) -> None:
    backend, target = CountingBackend(), disk.path / "got"
    target.write_bytes(b"before")
    with running(backend=backend) as server, Client(server.url, where="remote") as client:
        with pytest.raises(OSError, match="No space left") as caught:
            client.save(RECIPE, target)
        assert caught.value.errno == errno.ENOSPC
        assert target.read_bytes() == b"before"
        (partial,) = (path for path in disk.path.iterdir() if path != target)
        have = partial.stat().st_size
        assert have > 4 << 20
        disk.resize("64m")
        before = backend.generated
        client.save(RECIPE, target)
        assert backend.generated - before <= SIZE - have
    assert target.read_bytes() == whole
    assert list(disk.path.iterdir()) == [target]


def test_a_full_disk_under_the_recipe_store(disk: Disk, tmp_path: Path, whole: bytes) -> None:
    """Only one worker stores the recipe then, and the client sends it to the other one again."""
    filler = disk.path / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, disk_usage(disk.path).free)
    with serving("--workers", "2", "--recipe-store", str(disk.path)) as (url, process):
        assert process.stderr
        threading.Thread(target=process.stderr.read, daemon=True).start()
        for turn in range(4):
            with Client(url, where="remote") as client:
                client.save(RECIPE, tmp_path / "got")
            assert (tmp_path / "got").read_bytes() == whole, turn
        assert list(disk.path.iterdir()) == [filler]
        filler.unlink()
        with Client(url, where="remote") as client:
            client.register(RECIPE)
        wait_for(lambda: len(list(disk.path.glob("*.json"))) == 1)


class SlowBackend(MoodyBackend):
    """Generates slowly."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        """Time to generate each part of a tensor, except for small ones as in known-answer tests."""

    def _generate(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        if len(out) > 1 << 15:
            time.sleep(self.seconds)
        super()._generate(draw, stream, dtype, first, out)


@pytest.mark.parametrize("mood", ["failing", "wrong"])
def test_a_backend_that_breaks_in_mid_stream(tmp_path: Path, whole: bytes, mood: str) -> None:
    """The client retries until the service has detected the fault and the backend has recovered."""
    backend, path = SlowBackend(), tmp_path / "got"
    with (
        running(Settings(check_seconds=1), backend) as server,
        Client(server.url, where="remote", verify="full", retries=30) as client,
    ):
        download = threading.Thread(target=client.save, args=(RECIPE, path))
        backend.seconds = 0.1
        download.start()
        wait_for(lambda: any(each.stat().st_size > 1 << 20 for each in tmp_path.iterdir()))
        backend.mood = mood
        wait_for(lambda: server.client.get("/readyz").status_code == 503)
        assert not path.exists()
        backend.seconds, backend.mood = 0, "well"
        download.join(120)
        wait_for(lambda: path.exists())
        assert server.client.get("/readyz").status_code == 200
    assert path.read_bytes() == whole


@contextmanager
def jumped(patch: pytest.MonkeyPatch, by: timedelta) -> Iterator[None]:
    """Shift the wall clock by `by` inside the block."""
    now = time.time

    class Jumped(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return super().now(tz) + by

    with patch.context() as context:
        context.setattr(keys, "datetime", Jumped)
        context.setattr(api_jwt, "datetime", Jumped)
        context.setattr(time, "time", lambda: now() + by.total_seconds())
        yield


@pytest.fixture(params=["key", "token"])
def guest(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Settings, str]]:
    """Yield settings of a service, and a key or token that is valid there for an hour."""
    if request.param == "key":
        ring = tmp_path / "keys.json"
        key, _ = keys.create(ring, "guest", tuple(Right), expires=datetime.now(UTC) + timedelta(hours=1))
        yield Settings(check_seconds=1, access="keys", keys_file=ring), key
        return
    with Provider() as provider:
        token = provider.token(exp=int(time.time()) + 3600, iat=None, nbf=int(time.time()) - 10**9)
        yield provider.settings(check_seconds=1), token
        assert provider.requests == 1, "keys are as fresh as they were"


def test_a_clock_that_jumps(guest: tuple[Settings, str], monkeypatch: pytest.MonkeyPatch, whole: bytes) -> None:
    """Only the expiry of keys and tokens depends on the wall clock, because others set it."""
    settings, key = guest
    with running(settings) as server, Client(server.url, where="remote", token=key, retries=0) as client:

        def get(path: str) -> httpx.Response:
            return server.client.get(path, headers={"Authorization": f"Bearer {key}"})

        path = f"/v1/recipes/{client.register(RECIPE)}/model.safetensors"
        for hours, status in ((0, 200), (5000, 401), (-5000, 200), (0, 200)):
            stream = server.client.stream("GET", path, headers={"Authorization": f"Bearer {key}"})
            with stream as answer:
                parts = answer.iter_raw(1 << 16)
                received = next(parts)
                with jumped(monkeypatch, timedelta(hours=hours)):
                    assert get("/readyz").status_code == 200
                    assert get(path).status_code == status
                    received += b"".join(parts)
                assert received == whole
