"""Fake backends: idle, failing, waiting, wrong, counting."""

from __future__ import annotations

import threading

from starlette.types import Message

from fanin import BackendError, backends
from fanin.backends import Backend, ForwardingBackend
from fanin.draws import Draw, Orthogonal, Plain
from fanin.dtypes import DType
from fanin.streams import Stream

BEST = backends.get()


class CountingBackend(ForwardingBackend):
    """Forwards to another backend, by default the fastest, and counts the bytes."""

    name = "counting"

    def __init__(self, backend: Backend | None = None) -> None:
        super().__init__(backend or backends.get())
        self.generated = 0

    def _generate(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        super()._generate(draw, stream, dtype, first, out)
        self.generated += len(out)


class WaitingBackend(CountingBackend):
    """Waits for permission before it generates."""

    def __init__(self) -> None:
        super().__init__()
        self.let, self.asked = threading.Event(), threading.Event()
        self.let.set()

    def _generate(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        self.asked.set()
        assert self.let.wait(60)
        super()._generate(draw, stream, dtype, first, out)


class IdleBackend(Backend):
    """Writes nothing."""

    name = "idle"

    def _fill_plain(self, draw: Plain, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        pass

    def _fill_matrix(self, draw: Orthogonal, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        pass


class MoodyBackend(ForwardingBackend):
    """Generates right bits, wrong bits, or nothing, as the test sets it."""

    name = "moody"

    def __init__(self, matrix_bytes: int = 0) -> None:
        super().__init__(BEST)
        self.mood = "well"
        self.failures = 0

    def _generate(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        if self.mood == "failing":
            self.failures += 1
            raise BackendError("the GPU failed: cudaErrorECCUncorrectable")
        super()._generate(draw, stream, dtype, first, out)
        if self.mood == "wrong":
            out[0] ^= 1


async def never() -> Message:
    raise AssertionError("nothing is to be received")


class FailingBackend(CountingBackend):
    """Fails after it has generated some bytes."""

    def _generate(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        if first > 1 << 20:
            raise MemoryError("as it may happen")
        super()._generate(draw, stream, dtype, first, out)
