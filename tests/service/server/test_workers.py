"""Several workers behind one socket."""

from __future__ import annotations

import signal
import socket
import threading
from os import kill
from pathlib import Path
from typing import Any

import httpx

import fanin
from fanin import Client
from tests.support.processes import Workers, run
from tests.support.servers import wait_for

BIG: Any = {"shape": [16 << 20], "scheme": "normal", "std": 0.02}
"""A tensor of 64 MiB, which takes the reference backend some seconds."""


def test_a_digest_and_a_model_are_known_to_the_other_worker_and_all_end_with_the_supervisor(workers: Workers) -> None:
    recipe = {"shape": [3], "scheme": "ones"}
    first, second = workers.pids
    with workers.only(first):
        assert httpx.get(f"{workers.url}/readyz", timeout=60).json()["backend"] == "reference"
        digest = httpx.post(f"{workers.url}/v1/recipes", json=recipe, timeout=60).json()["digest"]
        with Client(workers.url) as client:
            told = client.push("me/tiny", recipe)
    with workers.only(second):
        answer = httpx.get(f"{workers.url}/v1/recipes/{digest}/model.safetensors", timeout=60)
        assert answer.headers["ETag"] == f'"{digest}"'
        assert httpx.post(f"{workers.url}/v1/recipes", json=recipe, timeout=60).status_code == 200
        assert (
            httpx.get(f"{workers.url}/v1/models/me/tiny", timeout=60).json() == told
        )  # workers share a store of models
    # The killed supervisor cannot notify its workers.
    workers.process.kill()
    workers.process.wait()
    address = "127.0.0.1", int(workers.url.rpartition(":")[2])

    def is_gone() -> bool:
        with socket.socket() as connection:
            return connection.connect_ex(address) != 0

    wait_for(is_gone)
    workers.process.returncode = 0  # the fixture checks this after every test


def test_a_worker_killed_in_mid_stream(workers: Workers, tmp_path: Path) -> None:
    first, _ = workers.pids
    got = tmp_path / "got"
    with workers.only(first), Client(workers.url, where="remote") as client:
        download = threading.Thread(target=client.save, args=(BIG, got))
        download.start()
        wait_for(lambda: any(path.stat().st_size > 4 << 20 for path in tmp_path.iterdir()))
        kill(first, signal.SIGKILL)
        (partial,) = tmp_path.iterdir()
        assert partial.suffix == ".partial"
        assert partial.stat().st_size < 64 << 20
    download.join(60)
    fanin.verify(got)
    wait_for(lambda: len(workers.pids) == 3)  # the supervisor has started a successor


def test_stopping_lets_answers_end(workers: Workers) -> None:
    with httpx.stream("GET", f"{workers.url}/v1/weights?shape=4000000&scheme=normal&std=1", timeout=60) as answer:
        parts = answer.iter_raw()
        received = len(next(parts))
        workers.process.send_signal(signal.SIGTERM)
        received += sum(map(len, parts))
        assert received == int(answer.headers["Content-Length"])
    assert workers.process.wait(60) == 0


def test_a_store_that_cannot_be_made_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    done = run("--port", "0", "--recipe-store", str(tmp_path / "file" / "store"))
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1
    assert "recipe store" in done.stderr
