"""`AsyncClient`: the results, requests and errors of `Client`."""

from __future__ import annotations

import asyncio
import gc
import inspect
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fanin
from fanin import AsyncClient, Client, FaninError, FileLayout, MismatchError, RefusedError, UnreachableError
from fanin.client.async_transport import AiohttpTransport
from fanin.client.messages import AsyncResponse, Request
from fanin.client.runtime import Asynchronous, InThread
from tests.support.faulty import Faulty, Handler, cut, ignore_range, refuse, well
from tests.support.hostile import ANSWERS, RECIPE, answering
from tests.support.samples import MIXED
from tests.support.servers import running

BIG: dict[str, Any] = {"shape": [200_000], "scheme": "normal", "std": 0.02}
TOKEN = "fanin_0123456789ab_" + "5ec2e7" * 10


@pytest.fixture
def service() -> Iterator[Faulty]:
    with Faulty() as faulty:
        yield faulty


def client(service: Faulty, **options: Any) -> AsyncClient:
    return AsyncClient(service.url, **{"where": "remote", "backoff": 0, "retries": 3, "timeout": 5, **options})


def test_it_has_the_methods_of_the_client() -> None:
    names = [name for name in vars(Client) if not name.startswith("_")]
    assert names == [name for name in vars(AsyncClient) if not name.startswith("_")]
    for name in names:
        method = getattr(AsyncClient, name)
        assert inspect.iscoroutinefunction(method)
        # A call that returns a handle returns the one of its kind of client.
        result = {"AsyncRemoteArtifact": "RemoteArtifact"}
        signature = inspect.signature(method)
        returned = result.get(signature.return_annotation, signature.return_annotation)
        assert signature.replace(return_annotation=returned) == inspect.signature(getattr(Client, name))
    assert inspect.signature(AsyncClient.__init__) == inspect.signature(Client.__init__)


def test_a_service_serves_both_alike(tmp_path: Path) -> None:
    async def use(url: str) -> None:
        async with AsyncClient(url, where="remote", verify="digest", connections=2) as client:
            digest = await client.register(MIXED)
            assert digest == fanin.as_recipe(MIXED).digest
            arrays = await client.materialize(MIXED)
            for name, array in fanin.materialize(MIXED).items():
                assert arrays[name].dtype == array.dtype
                assert arrays[name].tobytes() == array.tobytes()
            tensor, rows = await asyncio.gather(
                client.tensor(MIXED, "head"), client.slice(MIXED, "emb", np.s_[3:9:2, ::-1])
            )
            assert tensor.tobytes() == arrays["head"].tobytes()
            assert rows.tobytes() == arrays["emb"][3:9:2, ::-1].tobytes()
            await client.save(MIXED, tmp_path / "saved")
            await client.download(f"{url}/v1/recipes/{digest}/model.safetensors", tmp_path / "got", verify="full")
            with Client(url) as other:
                assert await client.digests(MIXED) == other.digests(MIXED)
            model = await client.push("me/tiny", {"shape": [4], "scheme": "ones"}, {"config.json": b"{}"})
            assert model["name"] == "me/tiny"

    with running() as server:
        asyncio.run(use(server.url))
    for name in ("saved", "got"):
        fanin.verify(tmp_path / name)


def test_it_resumes_registers_and_refetches(service: Faulty, tmp_path: Path) -> None:
    layout = FileLayout.of(BIG)
    flips = [layout.size - 1]

    def damage(start: int, data: bytearray) -> None:
        if flips and start <= flips[0] < start + len(data):
            data[flips.pop() - start] ^= 4

    async def use() -> None:
        async with client(service, verify="full") as one:
            service.faults = [well, well, cut(1000), cut(0), cut(300_000), refuse(503), ignore_range]
            service.damage = damage
            await one.save(BIG, tmp_path / "one")
        assert not flips
        assert [request.split()[0] for request in service.requests[:2]] == ["GET", "POST"]
        async with client(service, connections=4, request_bytes=1 << 16) as four:
            service.faults = [cut(1000), cut(0), cut(60_000), refuse(503), cut(1)]
            await four.save(BIG, tmp_path / "four")
            service.damage = lambda start, data: data.__setitem__(0, data[0] ^ 1) if start == 0 else None
            with pytest.raises(MismatchError):
                await four.save(BIG, tmp_path / "wrong", verify="full")

    asyncio.run(use())
    for name in ("one", "four"):
        fanin.verify(tmp_path / name)
    assert not (tmp_path / "wrong").exists()


def test_connections_are_used_again(service: Faulty) -> None:
    async def use() -> None:
        async with client(service) as one:
            for name in MIXED["tensors"]:
                await one.tensor(MIXED, name)

    asyncio.run(use())
    assert len(service.peers) == 1
    with Client(service.url, where="remote") as one:
        for name in MIXED["tensors"]:
            one.tensor(MIXED, name)
    assert len(service.peers) == 2


def test_a_client_of_another_event_loop_says_so(service: Faulty) -> None:
    one = client(service)
    with asyncio.Runner() as first:
        first.run(one.tensor(MIXED, "emb"))
        with asyncio.Runner() as second:
            for call in (lambda: one.tensor(MIXED, "emb"), one.close):
                with pytest.raises(RuntimeError, match="belongs to the event loop of its first request"):
                    second.run(call())
        first.run(one.close())


def test_a_cancelled_download_is_resumed(service: Faulty, tmp_path: Path) -> None:
    """The partial file stays, and its lock is released."""

    async def use() -> None:
        async with client(service) as one:
            await one.register(BIG)
            service.faults = [hold]
            task = asyncio.create_task(one.save(BIG, tmp_path / "file"))
            async with asyncio.timeout(60):
                while sum(path.stat().st_size for path in tmp_path.iterdir()) < 400_000:
                    await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            is_over.set()
            service.requests.clear()
            await one.save(BIG, tmp_path / "file")

    is_over = threading.Event()

    def hold(handler: Handler) -> bool:
        layout = next(iter(service.layouts.values()))
        handler.send_response(206)
        handler.send_header("Content-Length", str(layout.size))
        handler.send_header("Content-Range", f"bytes 0-{layout.size - 1}/{layout.size}")
        handler.send_header("ETag", f'"{layout.recipe.digest}"')
        handler.end_headers()
        content = (tmp_path.parent / "reference").read_bytes()[:400_000]
        handler.wfile.write(content)
        is_over.wait(60)
        handler.close_connection = True
        return True

    fanin.save(BIG, tmp_path.parent / "reference")
    asyncio.run(use())
    assert service.requests[0].endswith(f"bytes=400000-{FileLayout.of(BIG).size - 1}")
    fanin.verify(tmp_path / "file")


def test_a_context_that_was_entered_during_cancellation_is_left() -> None:
    """Otherwise a lock on a partial file would stay."""
    events: list[str] = []
    is_entering, may_enter = threading.Event(), threading.Event()

    @contextmanager
    def locked() -> Iterator[None]:
        is_entering.set()
        may_enter.wait(60)
        events.append("locked")
        try:
            yield
        finally:
            events.append("released")

    async def use() -> None:
        runtime = Asynchronous(AiohttpTransport(timeout=1))
        task = asyncio.create_task(InThread(runtime, locked()).__aenter__())
        await asyncio.to_thread(is_entering.wait)
        task.cancel()
        asyncio.get_running_loop().call_soon(may_enter.set)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert events == ["locked", "released"]

    asyncio.run(use())


@pytest.mark.parametrize("how", ["again", "by asyncio.run"])
def test_a_cancelled_call_ends_after_its_thread(how: str) -> None:
    """AnyIO cancels a task again in each turn of the loop, and `asyncio.run` cancels all tasks at its end."""
    events: list[str] = []
    has_begun, may_end = threading.Event(), threading.Event()

    def work() -> None:
        has_begun.set()
        may_end.wait(60)
        events.append("thread")

    async def call() -> None:
        try:
            await Asynchronous(AiohttpTransport(timeout=1)).call(work)
        finally:
            events.append("call")

    async def use() -> None:
        task = asyncio.create_task(call())
        await asyncio.to_thread(has_begun.wait)
        asyncio.get_running_loop().call_later(0.2, may_end.set)
        if how == "again":
            for _ in range(5):
                task.cancel()
                await asyncio.sleep(0)
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(use())
    assert events == ["thread", "call"]


def test_cancelling_local_work_leaves_no_file(service: Faulty, tmp_path: Path) -> None:
    async def use() -> None:
        async with client(service, where="local") as one:
            task = asyncio.create_task(one.save({"shape": [100_000, 100_000], "scheme": "zeros"}, tmp_path / "file"))
            while not list(tmp_path.iterdir()):
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(use())
    assert not list(tmp_path.iterdir())
    assert not service.requests


def test_the_event_loop_is_free_while_bytes_are_generated(service: Faulty) -> None:
    """The loop serves other tasks before the call ends."""

    async def use() -> list[str]:
        order: list[str] = []

        async def other() -> None:
            order.append("other")

        async with client(service, where="local") as one:
            task = asyncio.create_task(other())
            await one.materialize(MIXED)
            order.append("materialized")
            await task
        return order

    assert asyncio.run(use()) == ["other", "materialized"]


def test_a_service_that_is_down_is_asked_once_before_auto_falls_back() -> None:
    class Down:
        requests = 0

        async def send(self, request: Request) -> AsyncResponse:
            self.requests += 1
            raise UnreachableError("connection refused")

        async def close(self) -> None:
            pass

    async def use() -> None:
        down = Down()
        async with AsyncClient("http://service.test", transport=down) as one:
            assert (await one.tensor(MIXED, "head")).shape == (7, 101)
        assert down.requests == 1
        async with AsyncClient("http://127.0.0.1:9", where="remote", retries=1, backoff=0) as one:
            with pytest.raises(UnreachableError, match=r"127\.0\.0\.1"):
                await one.tensor(MIXED, "head")

    asyncio.run(use())


def test_no_other_host_gets_the_token(service: Faulty) -> None:
    def redirect(handler: Handler) -> bool:
        handler.answer(307, {"Location": other.url + handler.path}, b"")
        return True

    async def use() -> None:
        async with client(service, token=TOKEN) as one:
            service.faults = [redirect]
            await one.register(MIXED)
            service.faults = [refuse(403)]
            with pytest.raises(RefusedError, match="no such seed"):
                await one.register(MIXED)

    with Faulty() as other:
        asyncio.run(use())
        assert other.authorizations == [None]
    assert set(service.authorizations) == {f"Bearer {TOKEN}"}


def test_every_answer_of_a_hostile_service_is_an_error(tmp_path: Path) -> None:
    async def use(url: str) -> None:
        async with AsyncClient(url, where="remote", retries=0, timeout=10, token="secret") as one:
            for call in (
                one.register(RECIPE),
                one.digests(RECIPE),
                one.save(RECIPE, tmp_path / "file"),
                one.download(f"{url}/model.safetensors", tmp_path / "other"),
            ):
                with pytest.raises(FaninError) as caught:
                    await call
                assert "secret" not in str(caught.value)
                assert len(str(caught.value)) < 1 << 21

    for name, answer in ANSWERS.items():
        with answering(answer) as url:
            asyncio.run(use(url))
        assert not list(tmp_path.glob("*")), name
    gc.collect()
