"""Recording of torch: builders and other code in threads."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool
from typing import Any

import pytest
import torch
from torch import nn

from fanin.torch import RecordError, record
from fanin.torch.recorder import recording, threads
from fanin.torch.recorder.shadow_memory import Memory


def test_recordings_in_threads_leave_torch_as_it_is() -> None:
    """Two recordings overlap in two threads, while a third thread creates a model."""
    own = nn.init._no_grad_trunc_normal_, nn.init.sparse_
    began, both, ended = threading.Event(), threading.Event(), threading.Event()
    made: dict[str, Any] = {}

    def initialized() -> nn.Module:
        layer = nn.Linear(64, 64)
        nn.init.trunc_normal_(layer.weight, std=0.5, a=-0.75, b=0.75)
        return layer

    def first() -> nn.Module:
        began.set()
        assert both.wait(60)
        return initialized()

    def second() -> nn.Module:
        assert began.wait(60)
        both.set()
        assert ended.wait(60)
        return initialized()

    def record_first() -> None:
        made["first"] = record(first).recipe
        ended.set()

    def make() -> None:
        assert both.wait(60)
        made["truncated"] = nn.init.trunc_normal_(torch.full((64, 64), 7.0))
        made["sparse"] = nn.init.sparse_(torch.full((64, 64), 7.0), 0.25)

    def record_second() -> None:
        made["second"] = record(second).recipe

    threads = [threading.Thread(target=target) for target in (record_first, record_second, make)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (nn.init._no_grad_trunc_normal_, nn.init.sparse_) == own
    assert made["truncated"].abs().max() <= 2
    assert made["truncated"].std() > 0.5
    assert (made["sparse"] == 0).sum() == 16 * 64
    assert made["sparse"].abs().max() < 1
    assert made["first"] == made["second"]
    assert made["first"].tensors["weight"].scheme == "truncated_normal"


def _in_a_thread(work: Callable[[], Any]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def _in_a_pool(work: Callable[[], Any]) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(work).result()


def _with_workers(give: Callable[[Any, Callable[..., Any]], Any], kind: type = ThreadPool) -> Callable[..., None]:
    """Return a function that gives work to a pool whose threads run already."""
    pool = kind(1)
    give(pool, lambda *_: None)

    def beside(work: Callable[[], Any]) -> None:
        give(pool, lambda *_: (work(), None)[1])

    return beside


@pytest.mark.parametrize(
    "beside",
    [
        _in_a_thread,
        _in_a_pool,
        _with_workers(lambda pool, work: pool.submit(work).result(), ThreadPoolExecutor),
        _with_workers(lambda pool, work: list(pool.map(work, [0])), ThreadPoolExecutor),
        _with_workers(lambda pool, work: pool.apply(work)),
        _with_workers(lambda pool, work: pool.map(work, [0])),
        _with_workers(lambda pool, work: list(pool.imap(work, [0]))),
        _with_workers(lambda pool, work: list(pool.imap_unordered(work, [0]))),
        _with_workers(lambda pool, work: pool.apply(lambda: _in_a_thread(work))),
    ],
    ids=["thread", "new pool", "submit", "map", "apply", "pool.map", "imap", "imap_unordered", "thread of a pool"],
)
def test_a_builder_that_initializes_in_threads_is_refused(beside: Callable[[Callable[[], Any]], None]) -> None:
    def build() -> nn.Module:
        layer = nn.Linear(4, 4)
        beside(lambda: nn.init.constant_(layer.weight, 7.0))
        return layer

    words = r"test_record_threads\.py:\d+: aten\.fill_.* in a thread that works for the builder"
    with pytest.raises(RecordError, match=words):
        record(build)


def test_a_pool_works_as_before_after_a_recording() -> None:
    own = ThreadPoolExecutor.submit, ThreadPool.apply_async, ThreadPool.imap
    with ThreadPoolExecutor(1) as pool:
        pool.submit(abs, 1).result()  # starts its thread, which is then not a thread of the builder
        record(lambda: (pool.submit(abs, 1).result(), nn.Linear(2, 2))[1])
        assert torch.equal(pool.submit(torch.full, (2,), 7.0).result(), torch.full((2,), 7.0))
        assert pool.submit(threads._beside.get).result() is None
    assert (ThreadPoolExecutor.submit, ThreadPool.apply_async, ThreadPool.imap) == own


def test_a_thread_that_fails_without_values_is_blamed() -> None:
    def build() -> nn.Module:
        layer = nn.Linear(4, 4)
        _in_a_pool(lambda: layer.weight.sum().item())
        return layer

    with pytest.raises(RecordError, match="in a thread that works for the builder"):
        record(build)


def test_a_builder_may_start_threads_for_other_work() -> None:
    done: list[int] = []

    def build() -> nn.Module:
        _in_a_thread(lambda: done.append(1))
        return nn.Linear(4, 4)

    start = threading.Thread.start
    assert set(record(build).recipe.tensors) == {"weight", "bias"}
    assert done == [1]
    assert threading.Thread.start is start


def test_a_thread_that_goes_on_keeps_nothing_of_the_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[weakref.ref[Memory]] = []
    own = recording.Memory

    def memory() -> Memory:
        created = own()
        made.append(weakref.ref(created))
        return created

    monkeypatch.setattr(recording, "Memory", memory)
    done = threading.Event()

    def build() -> nn.Module:
        threading.Thread(target=done.wait, daemon=True).start()
        return nn.Linear(4, 4)

    record(build)
    gc.collect()
    assert [each() for each in made] == [None]
    done.set()
