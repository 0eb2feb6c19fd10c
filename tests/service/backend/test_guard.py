"""The guard: it selects a backend, tests it repeatedly, and uses it only while it passes."""

from __future__ import annotations

import argparse
import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, get_args

import httpx
import pytest

from fanin import BackendError, FileLayout, backends
from fanin.backends import Backend
from fanin.backends.matrices import Complete
from fanin.backends.native import NativeBackend
from fanin.draws import Blocks, Draw, Function, Mapped, Orthogonal, Polar, Sparse
from fanin.dtypes import STORAGE, DType
from fanin.errors import NoDeviceError
from fanin.file.plan import read_into
from fanin.streams import Stream
from fanin_service.backend import guard, known_answer
from fanin_service.backend.guard import GuardedBackend, choose
from fanin_service.fair_executor import FairExecutor
from fanin_service.http.ranges import ByteRange
from fanin_service.recipes.digests import Manifests
from fanin_service.server import command
from fanin_service.service import Service
from fanin_service.settings import Settings
from tests.support.backends import BEST, CountingBackend, MoodyBackend, WaitingBackend
from tests.support.digests import manifest_of
from tests.support.servers import HUGE, Running, running, wait_for

SMALL = "/v1/weights?shape=1000&scheme=normal&std=1"


def status(server: Running, path: str = "/readyz") -> int:
    return server.client.get(path).status_code


def receive(server: Running, path: str, backend: MoodyBackend, mood: str) -> None:
    """Read a file to its end. After the first bytes, set the backend's mood."""
    with server.client.stream("GET", path) as answer:
        for n, _ in enumerate(answer.iter_raw(1 << 20)):
            if n == 3:
                backend.mood = mood


def moody(matrix_bytes: int, _: int | None) -> Backend:
    return MoodyBackend(matrix_bytes)


def broken_backend(error: Exception) -> Callable[..., Backend]:
    def create(matrix_bytes: int, fill_threads: int | None) -> Backend:
        raise error

    return create


@pytest.fixture
def factories(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Callable[..., Backend]]]:
    """The available backends, the fastest first."""
    known: dict[str, Callable[..., Backend]] = {**backends._FACTORIES, "cuda": moody}
    monkeypatch.setattr(backends, "_FACTORIES", known)
    for function in (backends.load, backends._usable):
        function.cache_clear()
    yield known
    for function in (backends.load, backends._usable):
        function.cache_clear()


def wrong(matrix_bytes: int, fill_threads: int | None) -> Backend:
    backend = MoodyBackend()
    backend.mood = "wrong"
    return backend


def test_a_usable_gpu_is_found(factories: dict[str, Any]) -> None:
    assert choose(Settings()).name == "moody"
    assert choose(Settings(backend="native")).name == "native"


@pytest.mark.parametrize("broken", [wrong, broken_backend(NoDeviceError("no NVIDIA GPU is visible"))])
def test_what_does_not_work_is_passed_over(factories: dict[str, Any], broken: Callable[..., Backend]) -> None:
    factories["cuda"] = broken
    assert choose(Settings()).name == "native"
    assert choose(Settings(backend="cuda", backend_fallback=True)).name == "native"
    with pytest.raises(BackendError, match=r"^the cuda backend (failed its known-answer|cannot be used: no NVIDIA)"):
        choose(Settings(backend="cuda"))


def test_a_name_that_there_is_not_is_never_passed_over(factories: dict[str, Any]) -> None:
    with pytest.raises(BackendError, match="unknown backend 'cudda'"):
        choose(Settings(backend="cudda", backend_fallback=True))


def test_some_backend_must_work(factories: dict[str, Any]) -> None:
    for name in factories:
        factories[name] = wrong
    with pytest.raises(BackendError, match="no backend passes"):
        choose(Settings())


def test_the_command_refuses(factories: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    factories["cuda"] = wrong
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    assert command.run(parser.parse_args(["--backend", "cuda", "--port", "0"])) == 2
    assert capsys.readouterr().err == "fanin serve: --backend: the cuda backend failed its known-answer test\n"


def test_the_chosen_backend_fills_in_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its matrices use all threads, and its bits are the same."""
    counts: list[Any] = []
    backend, other = choose(Settings(backend="native")), backends.create("native")
    assert isinstance(backend, NativeBackend)
    assert isinstance(other, NativeBackend)
    for each in (backend, other):
        for name in ("_fill", "_fill_one"):
            fill = getattr(each, name)
            monkeypatch.setattr(each, name, lambda *given, fill=fill: (counts.append(given[-1]), fill(*given)))
    layout = FileLayout.of(
        {"seed": 1, "tensors": {n: {"shape": [500_000], "scheme": "normal", "std": 1} for n in "ab"}}
    )
    files = [bytearray(layout.size) for _ in range(2)]
    for each, file in zip((backend, other), files):
        read_into(layout, 0, memoryview(file), each)
    assert files[0] == files[1]
    assert {getattr(count, "value", count) for count in counts[: len(counts) // 2]} == {1}
    assert backend._orthogonal.threads == other._orthogonal.threads


def test_a_failure_cuts_the_stream_and_is_looked_into_at_once() -> None:
    backend = MoodyBackend()
    with running(Settings(check_seconds=3600), backend) as server:
        path = server.register(HUGE)
        with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
            receive(server, path, backend, "failing")
        # One failure in the stream, and one in the test after it.
        wait_for(lambda: backend.failures >= 2)
        for refused in ("/readyz", SMALL, path):
            problem = server.client.get(refused)
            assert problem.status_code == 503
            assert problem.json()["type"] == "urn:fanin:problem:not-ready"
            assert "cudaErrorECCUncorrectable" in problem.json()["detail"]
        assert status(server, "/livez") == 200


def test_a_passing_failure_is_forgiven() -> None:
    class Once(MoodyBackend):
        def _generate(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
            try:
                super()._generate(draw, stream, dtype, first, out)
            finally:
                self.mood = "well"

    backend = Once()
    with running(Settings(check_seconds=3600), backend) as server:
        backend.mood = "failing"
        assert status(server, SMALL) == 503
        assert backend.failures == 1
        wait_for(lambda: status(server) == 200)
        assert status(server, SMALL) == 200


def test_wrong_bits_are_found_at_the_interval() -> None:
    backend = MoodyBackend()
    with running(Settings(check_seconds=1), backend) as server:
        path = server.register(HUGE)
        with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
            receive(server, path, backend, "wrong")
        assert status(server) == status(server, SMALL) == 503
        backend.mood = "well"
        wait_for(lambda: status(server) == 200)
        assert status(server, SMALL) == 200


def test_a_digest_that_cannot_be_made_is_not_our_fault() -> None:
    backend = MoodyBackend()
    with running(Settings(check_seconds=3600), backend) as server:
        path = server.register({"shape": [5], "scheme": "normal", "std": 1})
        backend.mood = "failing"
        assert status(server, path.replace("model.safetensors", "digests")) == 503


def recheck(server: Running, expected: int) -> None:
    """Run the known-answer test now, and wait until the service is or is not ready."""
    server.app.state.service.backend.on_failure()
    wait_for(lambda: status(server) == expected)


def test_digests_of_wrong_bits_are_discarded() -> None:
    backend = MoodyBackend()
    with running(Settings(check_seconds=3600), backend) as server:
        recipe = {"shape": [5], "scheme": "normal", "std": 1.0}
        path = server.register(recipe)
        digests = path.replace("model.safetensors", "digests")
        right = manifest_of(FileLayout.of(recipe), BEST).file
        backend.mood = "wrong"
        assert server.client.get(digests).json()["file"] != right
        recheck(server, 503)
        backend.mood = "well"
        recheck(server, 200)
        assert "Repr-Digest" not in server.client.head(path).headers
        assert server.client.get(digests).json()["file"] == right


@pytest.mark.parametrize("is_found", [True, False])
def test_small_bodies_of_wrong_bits_are_discarded(is_found: bool) -> None:
    """Also if the known-answer test passes after a failure before anything has seen the fault."""
    backend = MoodyBackend()
    backend.prompt_bytes = 1 << 16
    layout = FileLayout.of({"shape": [1000], "scheme": "normal", "std": 1.0})
    right = bytearray(layout.size)
    read_into(layout, 0, memoryview(right), BEST)
    with running(Settings(check_seconds=3600), backend) as server:
        backend.mood = "wrong"
        wrong = server.client.get(SMALL).content
        assert wrong != right
        if is_found:
            recheck(server, 503)
            backend.mood = "well"
        else:
            backend.mood = "well"
            assert server.client.get(SMALL).content == wrong  # it is cached
        recheck(server, 200)
        assert server.client.get(SMALL).content == right


def test_a_failure_discards_digests_in_the_making() -> None:
    class Slow(MoodyBackend):
        def __init__(self) -> None:
            super().__init__()
            self.asked, self.let = threading.Event(), threading.Event()

        def _generate(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
            self.asked.set()
            assert self.let.wait(60)
            super()._generate(draw, stream, dtype, first, out)

    async def free(size: int) -> None:
        pass

    async def run() -> None:
        backend, layout = Slow(), FileLayout.of({"shape": [5], "scheme": "normal", "std": 1.0})
        known = Manifests(backend)
        backend.mood = "wrong"
        threads = FairExecutor(1, "test")
        made = asyncio.create_task(known.get(layout, threads, "client", free))
        await asyncio.to_thread(backend.asked.wait, 60)
        known.forget()
        backend.let.set()
        with pytest.raises(BackendError, match="while these digests were computed"):
            await made
        backend.mood = "well"
        assert (await known.get(layout, threads, "client", free)).file.hex() == manifest_of(layout, BEST).file
        threads.shutdown()

    asyncio.run(run())


def test_what_a_backend_generated_while_it_failed_is_not_sent() -> None:
    class Failing(MoodyBackend):
        """A backend whose known-answer test fails while it generates."""

        def _generate(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
            super()._generate(draw, stream, dtype, first, out)
            if self.mood == "during":
                self.mood = "wrong"
                guarded.test()

    backend = Failing()
    guarded = GuardedBackend(backend, 60)
    guarded.test()
    backend.mood = "during"
    layout = FileLayout.of({"shape": [5], "scheme": "normal", "std": 1.0})
    with pytest.raises(BackendError, match="failed its known-answer test"):
        read_into(layout, 0, memoryview(bytearray(layout.size)), guarded)


def test_what_began_before_a_failure_is_not_sent_after_the_next_test() -> None:
    """The backend fails and passes its test again, both while a call in another thread generates."""

    class Between(CountingBackend):
        """It fails during the first part of a tensor."""

        is_first = True

        def _generate(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
            super()._generate(draw, stream, dtype, first, out)
            if first == 3 and self.is_first:
                self.is_first = False
                with pytest.raises(BackendError, match="as it may happen"):
                    guarded._guarded(fail)
                assert guarded.test() is None

    def fail() -> None:
        raise MemoryError("as it may happen")

    guarded = GuardedBackend(Between(), 60)
    guarded.test()
    layout = FileLayout.of({"shape": [5], "scheme": "normal", "std": 1.0})
    part = memoryview(bytearray(8))
    with pytest.raises(BackendError, match="failed in another thread"):
        read_into(layout, layout.size - 8, part, guarded)
    assert guarded.fault is None
    read_into(layout, layout.size - 8, part, guarded)


def test_a_test_that_began_before_a_failure_does_not_excuse_it() -> None:
    class During(CountingBackend):
        """It fails for another thread during its known-answer test."""

        is_failing = False

        def _generate(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
            super()._generate(draw, stream, dtype, first, out)
            if self.is_failing:
                self.is_failing = False
                with pytest.raises(BackendError, match="as it may happen"):
                    guarded._guarded(fail)

    def fail() -> None:
        raise MemoryError("as it may happen")

    backend = During()
    guarded = GuardedBackend(backend, 60)
    guarded.test()
    backend.is_failing = True
    assert guarded.test() is None
    assert guarded.fault == "the counting backend failed: as it may happen"
    assert guarded.test() is None
    assert guarded.fault is None


def test_a_failed_test_counts_if_another_passes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bodies are discarded, although the backend has passed a test in another thread since."""
    backend = MoodyBackend()
    service = Service.start(Settings(), backend)
    layout = FileLayout.of({"shape": [5], "scheme": "normal", "std": 1.0})
    test = service.backend.test

    def both() -> str | None:
        fault = test()
        backend.mood = "well"
        assert test() is None
        return fault

    async def run() -> None:
        with service.threads.running():
            await service.check_backend()
            service.small_body("client", layout, ByteRange(0, layout.size))
            await service.check_backend()
            assert len(service.small_bodies) == 1
            backend.mood = "wrong"
            monkeypatch.setattr(service.backend, "test", both)
            await service.check_backend()

    asyncio.run(run())
    assert service.ready
    assert len(service.small_bodies) == 0


def test_calls_after_a_failure_name_it_as_their_cause() -> None:
    """A failure in one thread is the cause of the error in others: of a call in flight, and of a later call."""

    class Two(WaitingBackend):
        """The thread of the pool waits and then generates. Any other thread fails."""

        def _generate(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
            if threading.current_thread().name == "first_0":
                super()._generate(draw, stream, dtype, first, out)
            else:
                raise failure

    def generate() -> None:
        read_into(layout, 0, memoryview(bytearray(layout.size)), guarded)

    failure = OSError("the GPU failed")
    backend, layout = Two(), FileLayout.of({"shape": [5], "scheme": "normal", "std": 1.0})
    guarded = GuardedBackend(backend, 60)
    guarded._passed_at = time.monotonic()
    backend.let.clear()
    with ThreadPoolExecutor(1, "first") as pool:
        in_flight = pool.submit(generate)
        assert backend.asked.wait(60)
        try:
            with pytest.raises(BackendError, match="the counting backend failed: the GPU failed") as first:
                generate()
            assert first.value.__cause__ is failure
            assert guarded.fault == "the counting backend failed: the GPU failed"
        finally:
            backend.let.set()
        with pytest.raises(BackendError, match="the GPU failed") as late:
            in_flight.result(60)
        assert late.value.__cause__ is failure
    with pytest.raises(BackendError, match="the GPU failed") as refused:
        generate()
    assert refused.value.__cause__ is failure
    guarded._backend = BEST
    guarded.test()
    generate()


def test_a_matrix_kept_after_a_failure_is_discarded() -> None:
    class Keeping(MoodyBackend):
        """Caches a wrong matrix during a known-answer test, as a thread that began before the test can do."""

        def _generate(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
            super()._generate(draw, stream, dtype, first, out)
            if self.mood == "late":
                self.mood = "well"
                orthogonal, at = matrix.entries[0].draw, matrix.entries[0].stream
                assert isinstance(orthogonal, Orthogonal)
                part = memoryview(bytearray(4))
                self.matrices.fill(lambda *_: Complete(lambda: None), orthogonal, at, matrix.entries[0].dtype, 0, part)

    matrix = FileLayout.of({"shape": [8, 8], "scheme": "orthogonal", "seed": 7})
    entry = matrix.entries[0]
    assert isinstance(entry.draw, Orthogonal)
    backend = Keeping()
    guarded = GuardedBackend(backend, 60)
    backend.mood = "wrong"
    guarded.test()
    backend.mood = "late"
    guarded.test()
    assert guarded.fault is None
    assert guarded.matrices.share(entry.draw, entry.stream, entry.dtype, 0, 1) == 1  # all of the work


def test_a_backend_that_hangs_is_trusted_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    guarded = GuardedBackend(MoodyBackend(), seconds=60)
    assert guarded.fault == "the moody backend has not passed its known-answer test yet"
    guarded.test()
    assert guarded.fault is None
    now = time.monotonic()
    monkeypatch.setattr(guard.time, "monotonic", lambda: now + 181)
    assert guarded.fault == "the moody backend has not passed its known-answer test recently"
    guarded.test()
    assert guarded.fault is None


def test_the_known_answer_has_every_kind_of_draw() -> None:
    entries = FileLayout.of(known_answer.RECIPE).entries
    kinds, functions, pending = set[type](), set[str](), [entry.draw for entry in entries]
    while pending:
        draw = pending.pop()
        kinds.add(type(draw))
        if isinstance(draw, Mapped):
            functions.add(draw.function)
        if isinstance(draw, Polar):
            functions.add("normal in a disk" if draw.mass else "uniform in a disk")
        pending += draw.draws if isinstance(draw, Blocks) else [draw.draw] if isinstance(draw, Sparse) else []
    assert kinds == set(get_args(Draw))
    assert functions == {*get_args(Function), "normal in a disk", "uniform in a disk"}
    assert {entry.dtype.name for entry in entries} == set(STORAGE)


@pytest.mark.parametrize("name", [*known_answer.RECIPE["tensors"]])
def test_a_wrong_bit_of_any_tensor_fails_the_known_answer(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(layout: FileLayout, start: int, out: memoryview, backend: Backend) -> None:
        read_into(layout, start, out, backend)
        out[layout.entry(name).stop - 1] ^= 1

    assert known_answer.passes(BEST)
    monkeypatch.setattr(known_answer, "read_into", damaged)
    assert not known_answer.passes(BEST)
