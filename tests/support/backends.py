"""Fake backends: idle, failing, waiting, wrong, counting."""

from __future__ import annotations

import threading

from starlette.types import Message

from fanin import BackendError, backends
from fanin.backends import Backend
from fanin.draws import Draw
from fanin.dtypes import DType
from fanin.streams import Stream


class CountingBackend(Backend):
    """Generates as the best backend does, and counts the bytes."""

    name = "counting"

    def __init__(self, matrix_bytes: int = 0) -> None:
        self._backend = backends.get()
        super().__init__(matrix_bytes)
        self.matrices = self._backend.matrices
        self.generated = 0

    def fill(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        self._backend.fill(draw, stream, dtype, first, out)
        self.generated += len(out)


class WaitingBackend(CountingBackend):
    """Generates when it is let."""

    def __init__(self, matrix_bytes: int = 0) -> None:
        super().__init__(matrix_bytes)
        self.let, self.asked = threading.Event(), threading.Event()
        self.let.set()

    def fill(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        self.asked.set()
        assert self.let.wait(60)
        super().fill(draw, stream, dtype, first, out)


class IdleBackend(backends.Backend):
    """Writes nothing."""

    name = "idle"

    def fill(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        pass


BEST = backends.get()


class MoodyBackend(Backend):
    """Generates as the best one does, or wrong bits, or not at all."""

    name = "moody"

    def __init__(self, matrix_bytes: int = 0) -> None:
        super().__init__(matrix_bytes)
        self.matrices = BEST.matrices
        self.mood = "well"
        self.failures = 0

    def fill(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        if self.mood == "failing":
            self.failures += 1
            raise BackendError("the GPU failed: cudaErrorECCUncorrectable")
        BEST.fill(draw, stream, dtype, first, out)
        if self.mood == "wrong":
            out[0] ^= 1


async def never() -> Message:
    raise AssertionError("nothing is to be received")


class FailingBackend(CountingBackend):
    """Fails late."""

    def fill(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        if first > 1 << 20:
            raise MemoryError("as it may happen")
        super().fill(draw, stream, dtype, first, out)
