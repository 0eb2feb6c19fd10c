"""Digests over HTTP: computed once, in the background."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from fanin import FileLayout, backends
from fanin.draws import Draw
from fanin.dtypes import DType
from fanin.file.digests import BLOCK, Manifest
from fanin.streams import Stream
from fanin_service.fair_executor import FairExecutor
from fanin_service.recipes import digests
from fanin_service.recipes.digests import Manifests
from fanin_service.recipes.errors import DigestsPendingError
from fanin_service.settings import Settings
from tests.support.backends import CountingBackend
from tests.support.digests import manifest_of
from tests.support.servers import MIXED, running


class GatedBackend(CountingBackend):
    """Generates a large tensor only once the gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()

    def _generate(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        if len(out) > 100_000:
            assert self.gate.wait(60)
        super()._generate(draw, stream, dtype, first, out)


def test_digests_are_those_of_the_file(client: httpx.Client, mixed_file: bytes) -> None:
    layout = FileLayout.of(MIXED)
    digest = client.post("/v1/recipes", json=MIXED).json()["digest"]
    answer = client.get(f"/v1/recipes/{digest}/digests")
    assert answer.status_code == 200
    document = answer.json()
    assert document["file"] == hashlib.sha256(mixed_file).hexdigest()
    assert (document["digest"], document["size"]) == (digest, len(mixed_file))
    assert Manifest.read(document, layout) == manifest_of(layout, backends.load("reference"))
    assert "immutable" in answer.headers["Cache-Control"]
    assert client.head(f"/v1/recipes/{digest}/digests").headers["Content-Length"] == str(len(answer.content))


def test_the_file_carries_its_digest_once_it_is_known() -> None:
    with running() as server:
        path = server.register(MIXED)
        assert "Repr-Digest" not in server.client.head(path).headers
        file = server.client.get(path.replace("model.safetensors", "digests")).json()["file"]
        expected = f"sha-256=:{base64.b64encode(bytes.fromhex(file)).decode()}:"
        for headers, status in (({}, 200), ({"Range": "bytes=5-99"}, 206)):
            answer = server.client.get(path, headers=headers)
            assert (answer.status_code, answer.headers["Repr-Digest"]) == (status, expected)
        assert server.client.head(path).headers["Repr-Digest"] == expected


def test_digests_are_computed_once() -> None:
    backend = CountingBackend()
    with running(backend=backend) as server:
        path = server.register(MIXED).replace("model.safetensors", "digests")
        before = backend.generated
        with ThreadPoolExecutor(8) as threads:
            texts = {answer.content for answer in threads.map(server.client.get, [path] * 8)}
        assert len(texts) == 1
        assert server.client.get(path).content in texts
        layout = FileLayout.of(MIXED)
        assert backend.generated - before == layout.size - len(layout.header)


def test_digests_that_take_long_are_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(digests, "MAX_PENDING", 2)
    backend = GatedBackend()
    with running(backend=backend) as server:
        paths = [
            server.register({"seed": seed, "shape": [30_000], "scheme": "normal", "std": 1.0}) for seed in range(3)
        ]
        for path in paths:
            answer = server.client.get(path.replace("model.safetensors", "digests"))
            assert (answer.status_code, answer.json()["type"]) == (503, "urn:fanin:problem:digests-pending")
            assert int(answer.headers["Retry-After"]) > 0
        assert "other files" in answer.json()["detail"]
        backend.gate.set()
        for path in paths:
            for _ in range(200):
                answer = server.client.get(path.replace("model.safetensors", "digests"))
                if answer.status_code == 200:
                    break
            assert answer.json()["file"] == hashlib.sha256(server.client.get(path).content).hexdigest()


def test_nobody_keeps_others_from_their_digests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "PATIENCE_SECONDS", 0.05)
    backend = GatedBackend()
    with running(backend=backend) as server:

        def ask(seed: int, address: str) -> str:
            path = server.register({"seed": seed, "shape": [30_000], "scheme": "normal", "std": 1.0})
            path = path.replace("model.safetensors", "digests")
            answer = server.client.get(path, headers={"X-Forwarded-For": address})
            assert answer.status_code == 503
            return str(answer.json()["detail"])

        told = [ask(seed, "192.0.2.1") for seed in range(digests.MAX_PENDING_EACH + 2)]
        assert ["other files" in each for each in told] == [False] * digests.MAX_PENDING_EACH + [True] * 2
        assert "other files" not in ask(100, "192.0.2.2")
        backend.gate.set()


class LoggedBackend(GatedBackend):
    """Records the length of each generated part."""

    def __init__(self) -> None:
        super().__init__()
        self.lengths: list[int] = []

    def _generate(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        super()._generate(draw, stream, dtype, first, out)
        self.lengths.append(len(out))


def test_a_small_file_does_not_wait_for_a_large_one() -> None:
    """The blocks of two files are generated alternately, in either order of requests."""
    backend = LoggedBackend()
    with running(backend=backend) as server, ThreadPoolExecutor(2) as threads:
        large, small = (
            server.register({"shape": [count], "scheme": "normal", "std": 1.0}).replace("model.safetensors", "digests")
            for count in (4 * BLOCK // 4, 1000)
        )
        pending = server.app.state.service.manifests._pending
        backend.lengths.clear()
        asked = []
        for path, count in ((large, 1), (small, 2)):
            asked.append(threads.submit(server.client.get, path))
            while len(pending) < count:
                time.sleep(0.001)
        backend.gate.set()
        assert [answer.result().status_code for answer in asked] == [200, 200]
        assert sorted(backend.lengths) == [4000] + [BLOCK] * 4
        assert backend.lengths.index(4000) <= 2


def test_requests_at_once_are_charged_once_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The charge waits for shared counters, and other requests arrive meanwhile."""
    monkeypatch.setattr(digests, "MAX_PENDING_EACH", 2)
    charged = list[int]()

    async def charge(count: int) -> None:
        charged.append(count)
        for _ in range(5):
            await asyncio.sleep(0)

    async def run() -> None:
        backend, threads = GatedBackend(), FairExecutor(1, "test")
        manifests = Manifests(backend)
        layouts = [FileLayout.of({"shape": [count], "scheme": "zeros"}) for count in (50_000, 50_000, 60_000, 70_000)]
        *calls, third = [asyncio.create_task(manifests.get(each, threads, "client", charge)) for each in layouts]
        try:
            with pytest.raises(DigestsPendingError):
                await third
        finally:
            backend.gate.set()
        one, same, other = await asyncio.gather(*calls)
        assert one is same
        assert other is not one

    asyncio.run(run())
    assert len(charged) == 2


def test_digests_are_charged_to_who_asks_first() -> None:
    with running(Settings(client_bytes_per_day=10_000)) as server:

        def ask(count: int, address: str) -> httpx.Response:
            path = server.register({"shape": [count], "scheme": "ones"}).replace("model.safetensors", "digests")
            return server.client.get(path, headers={"X-Forwarded-For": address})

        assert ask(1000, "192.0.2.1").status_code == 200
        assert ask(1000, "192.0.2.1").status_code == 200  # cached: costs nothing
        assert ask(1500, "192.0.2.2").status_code == 200
        refused = ask(1501, "192.0.2.2")
        assert (refused.status_code, refused.json()["type"]) == (429, "urn:fanin:problem:quota-exceeded")
        # Refused requests are not charged.
        assert ask(200, "192.0.2.2").status_code == 200


def test_files_too_large_to_digest_are_refused() -> None:
    backend = CountingBackend()
    with running(Settings(max_digest_bytes=1000), backend) as server:
        path = server.register({"shape": [1000], "scheme": "ones"}).replace("model.safetensors", "digests")
        before = backend.generated
        answer = server.client.get(path)
        assert (answer.status_code, answer.json()["type"]) == (422, "urn:fanin:problem:limit-exceeded")
        assert "1000" in answer.json()["detail"]
        assert backend.generated == before


def test_an_unknown_recipe_has_no_digests(client: httpx.Client) -> None:
    assert client.get(f"/v1/recipes/{'0' * 64}/digests").status_code == 404


def test_remembered_digests_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "MAX_BYTES", 900 + 2 * 600)
    with running() as server:
        paths = [server.register({"seed": seed, "shape": [3], "scheme": "ones"}) for seed in range(6)]
        for path in paths:
            assert server.client.get(path.replace("model.safetensors", "digests")).status_code == 200
        assert ["Repr-Digest" in server.client.head(path).headers for path in paths] == [False] * 4 + [True] * 2
