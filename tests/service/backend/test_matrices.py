"""Tensors that are generated in full: their limit, the reuse for parts, and other tensors, which do not wait."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from fanin import BackendError, FileLayout, backends
from fanin.backends import matrices, native_orthogonal
from fanin.backends.native import NativeBackend
from fanin.backends.native_orthogonal import NativeColumns, OrthogonalKernel
from fanin.draws import Draw, Orthogonal
from fanin.dtypes import DTYPES, DType
from fanin.file.plan import read_into
from fanin.streams import Stream
from fanin_service.app import create_app
from fanin_service.backend.guard import GuardedBackend
from fanin_service.recipes.errors import LimitExceededError
from fanin_service.recipes.limits import layout_of
from fanin_service.settings import Settings
from tests.support.backends import CountingBackend
from tests.support.servers import running

RECIPE = {
    "tensors": {
        "a": {"shape": [5000], "scheme": "normal", "std": 1, "dtype": "F64"},
        "m": {"shape": [600, 900], "scheme": "orthogonal"},
        "n": {"shape": [300_000], "scheme": "normal", "std": 1},
    }
}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Return a list that receives the rows and columns of each generated matrix."""
    made: list[tuple[int, int]] = []
    begin = OrthogonalKernel.begin

    def counted(
        self: OrthogonalKernel, draw: Orthogonal, stream: Stream, dtype: DType, out: memoryview
    ) -> NativeColumns:
        made.append((draw.rows, draw.columns))
        return begin(self, draw, stream, dtype, out)

    monkeypatch.setattr(OrthogonalKernel, "begin", counted)
    backends.load("native").matrices.clear()
    return made


def test_a_limit_names_the_numbers() -> None:
    with running(Settings(max_matrix_elements=9999)) as server:
        wide = {"shape": [80, 125], "scheme": "orthogonal"}
        for recipe, field in ((wide, "/shape"), ({"tensors": {"q": wide}}, "/tensors/q/shape")):
            answer = server.client.post("/v1/weights", json=recipe)
            assert (answer.status_code, answer.json()["type"]) == (422, "urn:fanin:problem:limit-exceeded")
            assert [error["pointer"] for error in answer.json()["errors"]] == [field]
            assert "10000 elements" in answer.json()["detail"]
            assert "at most 9999" in answer.json()["detail"]
        assert server.client.get("/v1/weights?shape=80,125&scheme=orthogonal").status_code == 422
        assert server.client.get("/v1/weights?shape=99,101&scheme=orthogonal").status_code == 200
        assert server.client.head("/v1/weights?shape=80,125&scheme=normal&std=1").status_code == 200


@pytest.mark.parametrize("shape", [[157, 1], [1, 157], [157, 63]])
def test_a_narrow_matrix_counts_as_64_wide(shape: list[int]) -> None:
    settings = Settings(max_matrix_elements=156 * 64)
    with pytest.raises(
        LimitExceededError, match="where the shorter side counts as 64; this service generates at most 9984"
    ):
        layout_of({"shape": shape, "scheme": "orthogonal"}, settings)
    fits = [156 if size == 157 else size for size in shape]
    assert layout_of({"shape": fits, "scheme": "orthogonal"}, settings).size > 156


def test_the_memory_for_a_matrix_follows_its_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    aligned = native_orthogonal._aligned

    def counted(count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        taken.append(count * dtype.itemsize)
        return aligned(count, dtype)

    monkeypatch.setattr(native_orthogonal, "_aligned", counted)
    threads = 64
    kernel = NativeBackend(threads=threads)._orthogonal
    draw = Orthogonal(1.0, 4096, 64)
    out = memoryview(bytearray(4096 * 64 * 4))
    kernel.begin(draw, Stream("fanin/1", 1, "w"), DTYPES["F32"], out).make(0, 64)
    whole = 4096 * 64 * 4
    # With any number of threads: the panels, and one group of columns. Each is as large as the matrix.
    assert whole < sum(taken) < 2 * whole + 64 * 1024


def test_parts_are_not_made_again(calls: list[tuple[int, int]]) -> None:
    layout = FileLayout.of(RECIPE)
    expected = bytearray(layout.size)
    read_into(layout, 0, memoryview(expected), backends.load("native"))
    with running() as server:
        path = server.register(RECIPE)
        calls.clear()
        assert server.client.get(path).content == expected
        for start in range(0, layout.size - 1000, layout.size // 13):
            answer = server.client.get(path, headers={"Range": f"bytes={start}-{start + 999}"})
            assert answer.content == expected[start : start + 1000]
        assert calls == [(600, 900)]


class Waiting(CountingBackend):
    """Waits for permission before it generates a matrix."""

    prompt_bytes = 64 << 10

    def __init__(self) -> None:
        super().__init__()
        self.let, self.asked = threading.Event(), threading.Semaphore(0)

    def _generate(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        if isinstance(draw, Orthogonal) and draw.rows * draw.columns > 100_000:
            self.asked.release()
            assert self.let.wait(60)
        super()._generate(draw, stream, dtype, first, out)


def test_others_do_not_wait_for_them() -> None:
    backend = Waiting()
    with running(backend=backend) as server, ThreadPoolExecutor(8) as pool:
        try:
            path = "/v1/weights?shape=600,700&scheme=orthogonal&seed="
            few = {"Range": "bytes=1000-1999"}
            answers = [
                pool.submit(httpx.get, f"{server.url}{path}{seed}", headers=few if seed % 2 else {}, timeout=60)
                for seed in range(8)
            ]
            # Only one thread is certain to start: all others can wait for the same matrix.
            assert backend.asked.acquire(timeout=60)
            for seed in range(20):
                answer = server.client.get(f"/v1/weights?shape=600,700&scheme=normal&std=1&seed={seed}")
                assert len(answer.content) > 4 * 600 * 700
            assert server.client.get("/livez").status_code == 200
            assert server.client.head(f"{path}0").status_code == 200
            assert not any(answer.done() for answer in answers)
        finally:
            backend.let.set()
        assert all(answer.result().is_success and answer.result().content for answer in answers)


def test_what_a_failed_backend_has_made_is_forgotten(calls: list[tuple[int, int]]) -> None:
    class Broken(CountingBackend):
        def _generate(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
            raise BackendError("broken")

    layout = FileLayout.of(RECIPE)

    def read() -> None:
        read_into(layout, layout.entry("m").start, memoryview(bytearray(1000)), native)

    native = backends.create("native")
    guarded = GuardedBackend(native, 60)
    guarded.test()
    read()
    guarded.test()
    read()
    assert calls.count((600, 900)) == 1
    broken = Broken()
    broken.matrices = native.matrices
    GuardedBackend(broken, 60).test()
    read()
    assert calls.count((600, 900)) == 2


def test_each_service_has_its_own_cache_of_the_size_that_its_settings_allow() -> None:
    services = [create_app(Settings(backend="native", matrix_bytes=size)).state.service for size in (1000, 2000)]
    shared = backends.load("native").matrices
    assert [service.backend.matrices.limit for service in services] == [1000, 2000]
    assert shared.limit == matrices.CACHE_BYTES
    layout = FileLayout.of({"shape": [20, 30], "scheme": "orthogonal", "seed": 77})
    entry = layout.entries[0]
    assert isinstance(entry.draw, Orthogonal)
    services[0].backend.test()
    read_into(layout, entry.start, memoryview(bytearray(4)), services[0].backend)
    caches = [*(service.backend.matrices for service in services), shared]
    assert [cache.share(entry.draw, entry.stream, entry.dtype, 0, 1) for cache in caches] == [0, 1, 1]


def test_a_matrix_that_is_made_for_a_part_is_charged() -> None:
    """A part that needs all columns costs as much as the matrix, unless they are cached."""
    size = 300 * 200 * 4
    with running(Settings(client_bytes_per_day=2 * size)) as server:

        def part(seed: int, address: str = "192.0.2.1") -> httpx.Response:
            headers = {"Range": "bytes=100000-100799", "X-Forwarded-For": address}
            return server.client.get(f"/v1/weights?shape=300,200&scheme=orthogonal&seed={seed}", headers=headers)

        assert part(101).status_code == 206
        for _ in range(3):  # from the cache: 800 bytes each
            assert part(101).status_code == 206
        refused = part(102)
        assert (refused.status_code, refused.json()["type"]) == (429, "urn:fanin:problem:quota-exceeded")
        assert part(102, "192.0.2.2").status_code == 206


def test_rows_of_a_wide_matrix_cost_their_share() -> None:
    """The first row needs one of ten groups of columns of q, and the shortest: 0.036 of the work."""
    size = 640 * 700 * 4
    with running(Settings(client_bytes_per_day=size)) as server:

        def first_row(seed: int) -> int:
            path = f"/v1/weights?shape=640,700&scheme=orthogonal&seed={seed}"
            return server.client.get(path, headers={"Range": "bytes=1000-2999"}).status_code

        assert [first_row(seed) for seed in range(201, 221)] == [206] * 20
        assert 429 in [first_row(seed) for seed in range(221, 231)]
