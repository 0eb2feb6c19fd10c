"""Everything at once, for half an hour: what the service takes of the machine stays the same.

SOAK_MINUTES=30 python -m pytest --soak traffic -s tests/soak/test_mixed_traffic.py
"""

from __future__ import annotations

import json
import os
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from fanin import FileLayout, backends
from fanin.file.plan import read_into
from fanin_service.access import keys
from fanin_service.access.scopes import Right
from tests.soak.serving import Served, service

pytestmark = pytest.mark.soak("traffic")

MINUTES = float(os.environ.get("SOAK_MINUTES", "30"))
CLIENTS = 6
PAUSE_SECONDS = 0.25
"""Between two requests of a client, on average: the machine is to be a quarter busy."""
RUSH_SECONDS = 10 * MINUTES
"""No pauses at the beginning: by the end, the heap has met most coincidences of large requests."""
SAMPLE_SECONDS = 5
GROWTH = {"memory": 8 << 20, "files": 4, "threads": 1}
"""Most that a straight line through the second half may rise in that time."""
BOUNDS = ("--registry-recipes", "500", "--recipe-store-recipes", "1000", "--keep-alive-seconds", "5")
"""So small that what is remembered has reached them by the second half."""
MIXED: dict[str, Any] = {
    "w": {"shape": [1500, 700], "scheme": "glorot_uniform", "dtype": "BF16"},
    "b": {"shape": [1500], "scheme": "zeros"},
    "t": {"shape": [600_000], "scheme": "truncated_normal", "std": 0.02},
    "d": {"shape": [9, 1001], "scheme": "normal", "std": 1.0, "dtype": "F64"},
}
HUGE = "/v1/weights?shape=1000000,1000000&scheme=normal&std=1"
BAD: list[tuple[str, str, bytes, dict[str, str], int]] = [
    ("POST", "/v1/recipes", b"{", {"Content-Type": "application/json"}, 422),
    ("POST", "/v1/weights", b'{"shape":[2],"scheme":"none"}', {"Content-Type": "application/json"}, 422),
    ("POST", "/v1/recipes", b"{}", {"Content-Type": "text/plain"}, 415),
    ("POST", "/v1/recipes", b" " * (9 << 20), {"Content-Type": "application/json"}, 413),
    ("POST", "/v1/recipes", b"[" * 100_000, {"Content-Type": "application/json"}, 422),
    ("GET", f"/v1/recipes/{'0' * 64}/model.safetensors", b"", {}, 404),
    ("GET", "/v1/weights?shape=3&scheme=ones", b"", {"Range": "bytes=4000-"}, 416),
    ("GET", "/v1/weights?shape=3&scheme=ones", b"", {"If-Match": '"x"'}, 412),
    ("GET", "/v1/weights?shape=3&scheme=ones&gain=x", b"", {}, 422),
    ("GET", "/nothing/" + "x" * 5000, b"", {}, 404),
    ("DELETE", "/v1/schemes", b"", {}, 405),
]


class Traffic:
    """One client of many habits. Every response that is not an error is compared with local bytes."""

    def __init__(self, served: Served, seed: int, counts: Counter[str], ring: Path, key: str) -> None:
        self._served, self._counts, self._ring = served, counts, ring
        self._random = random.Random(seed)
        self._bearer = {"Authorization": f"Bearer {key}"}
        self._client = httpx.Client(base_url=served.url, timeout=60, headers=self._bearer)
        self._habits: dict[Callable[[], None], int] = {
            self.small: 30,
            self.large: 2,
            self.ranges: 20,
            self.head: 10,
            self.bad: 15,
            self.not_http: 3,
            self.digests: 5,
            self.cancel: 3,
            self.slow: 1,
            self.recipes: 10,
            self.keys: 1,
            self.operation: 5,
        }

    def run(self, stop: threading.Event) -> None:
        rush = time.monotonic() + RUSH_SECONDS
        with self._client:
            while not stop.wait(self._random.expovariate(1 / PAUSE_SECONDS) * (time.monotonic() > rush)):
                (habit,) = self._random.choices(list(self._habits), list(self._habits.values()))
                habit()
                self._counts[habit.__name__] += 1

    def small(self) -> None:
        shape, seed = self._random.randrange(1, 3000), self._random.randrange(1 << 60)
        recipe = {"shape": [shape], "scheme": "normal", "std": 1, "seed": seed}
        answer = self._client.get(f"/v1/weights?shape={shape}&scheme=normal&std=1&seed={seed}")
        assert answer.status_code == 200
        assert answer.content == made(FileLayout.of(recipe))

    def large(self) -> None:
        recipe = {"tensors": MIXED, "seed": self._random.randrange(1 << 60)}
        answer = self._client.post("/v1/weights", json=recipe)
        assert answer.status_code == 200
        assert answer.content == made(FileLayout.of(recipe))

    def ranges(self) -> None:
        layout, path = self._register(self._random.randrange(20))
        start = self._random.randrange(layout.size)
        stop = min(layout.size, start + 1 + int(self._random.expovariate(1 / 100_000)))
        headers = {"Range": f"bytes={start}-{stop - 1}"}
        answer = self._client.get(f"{path}/model.safetensors", headers=headers)
        assert answer.status_code == 206
        assert answer.content == made(layout, start, stop)

    def head(self) -> None:
        layout, path = self._register(self._random.randrange(20))
        answer = self._client.head(f"{path}/model.safetensors")
        assert (answer.status_code, answer.headers["Content-Length"]) == (200, str(layout.size))
        etag = {"If-None-Match": answer.headers["ETag"]}
        assert self._client.get(f"{path}/model.safetensors", headers=etag).status_code == 304

    def bad(self) -> None:
        method, path, content, headers, status = self._random.choice(BAD)
        try:
            answer = self._client.request(method, path, content=content, headers=headers)
        except (httpx.WriteError, httpx.ReadError):
            assert status == 413  # it was refused before it was read to its end
        else:
            assert answer.status_code == status

    def not_http(self) -> None:
        with socket.create_connection(self._served.address, 60) as connection:
            connection.sendall(self._random.choice([b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nHo"]))
            connection.settimeout(0.1)
            try:
                connection.recv(1000)
            except TimeoutError:
                self._counts["left in a head"] += 1

    def digests(self) -> None:
        _, path = self._register(self._random.randrange(200))
        answer = self._client.get(f"{path}/digests")
        assert answer.status_code in (200, 503)

    def cancel(self) -> None:
        with self._client.stream("GET", HUGE) as answer:
            assert answer.status_code == 200
            next(answer.iter_raw())

    def slow(self) -> None:
        """64 KiB a second for five seconds, then no more."""
        with socket.create_connection(self._served.address, 60) as connection:
            key = self._bearer["Authorization"]
            connection.sendall(f"GET {HUGE} HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\n\r\n".encode())
            for _ in range(20):
                assert connection.recv(1 << 14)
                time.sleep(0.25)

    def recipes(self) -> None:
        for _ in range(20):
            self._register(self._random.randrange(1 << 60))
            self._counts["registered"] += 1

    def keys(self) -> None:
        """A key is created, valid, revoked, and then invalid."""
        key, record = keys.create(self._ring, f"guest-{self._random.randrange(1 << 60)}", (Right.WEIGHTS_READ,))
        for status in (200, 401):
            time.sleep(1.5 * keys.RELOAD_SECONDS)
            answer = self._client.get("/v1/weights?shape=3&scheme=ones", headers={"Authorization": f"Bearer {key}"})
            assert answer.status_code == status
            if status == 200:
                keys.revoke(self._ring, record.id)

    def operation(self) -> None:
        for path in ("/livez", "/readyz", "/v1/schemes", "/metrics", "/openapi.json"):
            assert self._client.get(path).status_code == 200

    def _register(self, seed: int) -> tuple[FileLayout, str]:
        recipe = {"tensors": MIXED, "seed": seed}
        answer = self._client.post("/v1/recipes", json=recipe)
        assert answer.status_code in (200, 201)
        return FileLayout.of(recipe), f"/v1/recipes/{answer.json()['digest']}"


def made(layout: FileLayout, start: int = 0, stop: int | None = None) -> bytes:
    content = bytearray((layout.size if stop is None else stop) - start)
    read_into(layout, start, memoryview(content), backends.get())
    return bytes(content)


def test_mixed_traffic(tmp_path: Path) -> None:
    stop, counts, failures = threading.Event(), Counter[str](), list[BaseException]()

    def run(traffic: Traffic) -> None:
        try:
            traffic.run(stop)
        except BaseException as error:
            failures.append(error)
            stop.set()

    ring = tmp_path / "keys.json"
    key, _ = keys.create(ring, "regular", tuple(Right))
    with service("--workers", "2", "--access", "keys", "--keys-file", str(ring), *BOUNDS) as served:
        httpx.get(f"{served.url}/readyz", timeout=60)
        time.sleep(2)
        idle = sample(served)
        clients = [Traffic(served, seed, counts, ring, key) for seed in range(CLIENTS)]
        threads = [threading.Thread(target=run, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        began, busy = time.monotonic(), served.cpu_seconds()
        samples: list[dict[str, int]] = []
        while time.monotonic() - began < MINUTES * 60 and not stop.wait(SAMPLE_SECONDS):
            samples.append(sample(served))
        busy = (served.cpu_seconds() - busy) / (time.monotonic() - began)
        stop.set()
        for thread in threads:
            thread.join(120)
        # Idle connections close after five seconds, and those of clients that left in a head after ten.
        time.sleep(15)
        after = sample(served)
    if failures:
        raise failures[0]
    half = samples[len(samples) // 2 :]
    rises = {name: rise([taken[name] for taken in half]) for name in GROWTH}
    means = {name: float(np.mean([taken[name] for taken in half])) for name in GROWTH}
    figures = {"idle": idle, "mean": means, "rise": rises, "after": after, "cpus": busy, "requests": counts}
    print(json.dumps(figures))
    for name, most in GROWTH.items():
        assert rises[name] <= most, (name, rises)
    assert after["files"] <= idle["files"] + 2
    assert after["threads"] <= means["threads"] + 1


def sample(served: Served) -> dict[str, int]:
    return {"memory": served.memory(), "files": served.files(), "threads": served.threads()}


def rise(values: list[int]) -> float:
    """Return the rise of the straight line that fits best, from the first to the last value."""
    slope, _ = np.polyfit(np.arange(len(values)), values, 1)
    return float(slope * (len(values) - 1))
