"""One thread generates a matrix once for all its parts, and the cache stays within its limit."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from fanin.backends.matrices import Complete, Matrices
from fanin.draws import Orthogonal
from fanin.dtypes import DTYPES, DType
from fanin.errors import BackendError
from fanin.streams import Stream

DRAW, SINGLE = Orthogonal(1.0, 10, 5), DTYPES["F32"]


class Maker:
    """Numbers the bytes of a matrix; can wait, and can fail."""

    def __init__(self) -> None:
        self.made: list[int] = []
        self.begun, self.may_go_on = threading.Event(), threading.Event()
        self.may_go_on.set()
        self.is_broken = False

    def begin(self, draw: Orthogonal, stream: Stream, dtype: DType, out: memoryview) -> Complete:
        return Complete(partial(self.make, draw, stream, dtype, out))

    def make(self, _draw: Orthogonal, stream: Stream, _dtype: DType, out: memoryview) -> None:
        self.begun.set()
        assert self.may_go_on.wait(300)
        self.made.append(stream.seed)
        if self.is_broken:
            raise BackendError("broken")
        out[:] = bytes((n + stream.seed) % 256 for n in range(len(out)))


def part(matrices: Matrices, maker: Maker, seed: int = 0, first: int = 3, count: int = 7) -> bytes:
    out = bytearray(4 * count)
    matrices.fill(maker.begin, DRAW, Stream("fanin/1", seed, "q"), SINGLE, first, memoryview(out))
    return bytes(out)


def test_parts_are_of_one_whole() -> None:
    matrices, maker = Matrices(), Maker()
    for first, count in ((0, 49), (1, 49), (49, 1), (3, 0)):
        assert part(matrices, maker, 0, first, count) == bytes(n % 256 for n in range(4 * first, 4 * (first + count)))
    assert maker.made == [0]
    part(matrices, maker, 1)
    assert maker.made == [0, 1]


def test_a_whole_is_not_kept() -> None:
    matrices, maker = Matrices(), Maker()
    for _ in range(2):
        assert part(matrices, maker, 0, 0, 50) == bytes(range(200))
    assert maker.made == [0, 0]


def test_nothing_is_made_for_nothing() -> None:
    matrices, maker = Matrices(), Maker()
    part(matrices, maker, count=0)
    matrices.fill(maker.begin, Orthogonal(1.0, 0, 5), Stream("fanin/1", 0, "q"), SINGLE, 0, memoryview(b""))
    assert not maker.made


def test_the_least_recently_used_goes() -> None:
    matrices, maker = Matrices(limit=400), Maker()
    for seed in (0, 1, 0, 2, 0, 1):
        part(matrices, maker, seed)
    assert maker.made == [0, 1, 2, 1]
    assert matrices.held == 400


def test_one_is_kept_however_large() -> None:
    matrices, maker = Matrices(limit=1), Maker()
    for _ in range(3):
        part(matrices, maker)
    assert maker.made == [0]
    matrices.clear()
    assert matrices.held == 0
    part(matrices, maker)
    assert maker.made == [0, 0]


def test_many_threads_make_it_once() -> None:
    matrices, maker = Matrices(), Maker()
    maker.may_go_on.clear()
    with ThreadPoolExecutor(8) as pool:
        parts = [pool.submit(part, matrices, maker) for _ in range(8)]
        maker.begun.wait(300)
        maker.may_go_on.set()
        assert {found.result() for found in parts} == {bytes(range(12, 40))}
    assert maker.made == [0]


def test_a_failure_is_told_to_all_and_not_kept() -> None:
    matrices, maker = Matrices(), Maker()
    maker.is_broken = True
    maker.may_go_on.clear()
    with ThreadPoolExecutor(4) as pool:
        parts = [pool.submit(part, matrices, maker) for _ in range(4)]
        maker.begun.wait(300)
        maker.may_go_on.set()
        for found in parts:
            with pytest.raises(BackendError, match="broken"):
                found.result()
    maker.is_broken = False
    assert matrices.held == 0
    assert part(matrices, maker) == bytes(range(12, 40))


def test_one_that_went_while_it_was_made_is_still_given() -> None:
    matrices, maker = Matrices(limit=200), Maker()
    maker.may_go_on.clear()
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(part, matrices, maker)
        maker.begun.wait(300)
        part(matrices, Maker(), 1)
        assert matrices.held == 200
        maker.may_go_on.set()
        assert found.result() == bytes(range(12, 40))
    assert matrices.held == 200


class _Interrupt(BaseException):
    """As KeyboardInterrupt, for which pytest ends."""


def test_a_thread_makes_it_itself_when_the_other_was_interrupted() -> None:
    matrices, maker, waiting = Matrices(), Maker(), threading.Event()
    interrupted: list[_Interrupt] = []

    def interrupt(_draw: Orthogonal, _stream: Stream, _dtype: DType, out: memoryview) -> None:
        if interrupted:
            out[:] = bytes(range(len(out)))
            return
        interrupted.append(_Interrupt())
        maker.begun.set()
        assert waiting.wait(300)
        raise interrupted[0]

    maker.make = interrupt  # type: ignore[method-assign]
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(part, matrices, maker)
        assert maker.begun.wait(300)
        second = pool.submit(part, matrices, maker)
        waiting.set()
        assert first.exception() is interrupted[0]
        assert second.result() == bytes(range(12, 40))
    assert matrices.held == 200


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python 3.12: a process with threads forks
def test_a_forked_child_waits_for_no_thread_of_its_parent() -> None:
    matrices, maker = Matrices(), Maker()
    maker.may_go_on.clear()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(part, matrices, maker)
        assert maker.begun.wait(300)
        child = os.fork()
        if child == 0:
            signal.alarm(20)  # ends it, were it to wait
            maker.may_go_on.set()
            os._exit(part(matrices, maker) != bytes(range(12, 40)))
        assert os.waitpid(child, 0)[1] == 0
        maker.may_go_on.set()
