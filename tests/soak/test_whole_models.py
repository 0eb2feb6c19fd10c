"""A real model over a real socket: HTTP, native and reference agree for any range and partition, in flat memory."""

from __future__ import annotations

import hashlib
import json
import random
import runpy
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import urllib3

import fanin
from fanin import Client, FileLayout
from tests.soak.serving import Served, service

pytestmark = pytest.mark.soak("models")

ROOT = Path(__file__).parents[2]
MODELS = runpy.run_path(str(ROOT / "docs" / "examples" / "recipes.py"))
MIB = 1 << 20


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.mark.parametrize("dtype", ["F32", "BF16"])
def test_gpt2_small(dtype: str, tmp_path: Path) -> None:
    recipe = MODELS["gpt2_small"](dtype)
    layout = FileLayout.of(recipe)
    assert (len(layout.entries), sum(entry.count for entry in layout.entries)) == (148, 124_439_808)
    for name in fanin.backends.available():
        fanin.save(recipe, tmp_path / name, backend=name)
    with service() as served, Client(served.url, where="remote") as client:
        client.save(recipe, tmp_path / "http")
        digests = {name: sha256(tmp_path / name) for name in ("http", *fanin.backends.available())}
        print(dtype, layout.size, digests)
        assert len(set(digests.values())) == 1
        check_ranges(f"{served.url}/v1/recipes/{layout.recipe.digest}/model.safetensors", tmp_path / "http")
    loaded = safetensors.torch.load_file(tmp_path / "http")
    assert sum(tensor.numel() for tensor in loaded.values()) == 124_439_808
    safetensors.torch.save_file(loaded, tmp_path / "again")
    data = (tmp_path / "http").read_bytes()[len(layout.header) :]
    assert (tmp_path / "again").read_bytes().endswith(data)


def check_ranges(url: str, path: Path) -> None:
    """500 random ranges equal the slices of the file; the parts of a random partition join to it."""
    whole, generator, pool = path.read_bytes(), random.Random(1), urllib3.PoolManager()

    def get(start: int, stop: int) -> bytes:
        answer = pool.request("GET", url, headers={"Range": f"bytes={start}-{stop - 1}"})
        assert answer.status == 206
        assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(whole)}"
        return answer.data

    for _ in range(500):
        start = generator.randrange(len(whole))
        stop = min(len(whole), start + 1 + int(generator.expovariate(1 / 200_000)))
        assert get(start, stop) == whole[start:stop]
    cuts = sorted(generator.sample(range(1, len(whole)), 40))
    joined = hashlib.sha256()
    for start, stop in zip([0, *cuts], [*cuts, len(whole)]):
        joined.update(get(start, stop))
    assert joined.digest() == hashlib.sha256(whole).digest()


def test_memory_is_flat_while_50_gigabytes_stream() -> None:
    """A fast reader takes all of it, one takes 1 MB/s, one takes nothing: at most 200 MB above idle."""
    recipe: dict[str, Any] = {"shape": [12_500_000, 1000], "scheme": "normal", "std": 0.02}
    size = FileLayout.of(recipe).size
    assert size > 50 * 10**9
    with service() as served, Client(served.url) as client:
        path = f"/v1/recipes/{client.register(recipe)}/model.safetensors"
        urllib3.request("GET", served.url + path, headers={"Range": "bytes=0-99"})
        idle = served.memory()
        done = threading.Event()
        stalled = connect(served, path)
        threading.Thread(target=read_slowly, args=(connect(served, path), done), daemon=True).start()
        received, buffer, started = 0, bytearray(MIB), time.monotonic()
        with connect(served, path) as fast:
            while received < size and (count := fast.recv_into(buffer)):
                received += count
        seconds = time.monotonic() - started
        done.set()
        stalled.close()
        above = served.peak() - idle
        print(json.dumps({"received": received, "seconds": seconds, "idle": idle, "peak_above_idle": above}))
        assert received >= size
        assert above < 200 * 10**6


def test_the_first_byte_of_100_terabytes_comes_at_once() -> None:
    """Time is printed, not asserted. Asserted are that the response arrives, and its length."""
    recipe: dict[str, Any] = {"shape": [5_000_000, 10_000_000], "scheme": "normal", "std": 0.02, "dtype": "BF16"}
    with service() as served:
        times = []
        for _ in range(9):
            started = time.perf_counter()
            with urllib3.PoolManager().request(
                "POST", f"{served.url}/v1/weights", json=recipe, preload_content=False
            ) as answer:
                assert answer.read(1)
                times.append(time.perf_counter() - started)
                assert answer.headers["Content-Length"] == str(FileLayout.of(recipe).size)
                answer.close()
        print(f"first byte after {sorted(times)[4] * 1000:.1f} ms (median), {max(times) * 1000:.1f} ms (worst)")


def connect(served: Served, path: str) -> socket.socket:
    host, port = served.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)))
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    return connection


def read_slowly(connection: socket.socket, done: threading.Event) -> None:
    """1 MB/s."""
    with connection:
        while not done.wait(0.1) and connection.recv(100_000):
            pass
